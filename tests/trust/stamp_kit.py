"""A time stamp server (RFC 3161) of OpenSSL's own, on 127.0.0.1."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[req]
distinguished_name = name
x509_extensions = ca
prompt = no
[name]
O = Trial stamps
CN = {name}
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[stamps]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = here
[here]
dir = {folder}
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/stamps.pem
certs = {folder}/root.pem
signer_key = {folder}/stamps.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256,sha384,sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def _openssl(folder: Path, *words: object) -> None:
    command = ["openssl", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=60)


def make_server(folder: Path) -> Path:
    """Its root, as PEM."""
    folder.mkdir()
    for name, text in (("root", "root"), ("stamps", "stamps")):
        (folder / f"{name}.cnf").write_text(CONFIG.format(name=text, folder=folder))
    new = ("req", "-new", "-newkey", "rsa:2048", "-nodes")
    _openssl(folder, *new, "-x509", "-days", 30, "-config", "root.cnf", "-keyout", "root.key",
             "-out", "root.pem")  # fmt: skip
    _openssl(folder, *new, "-config", "stamps.cnf", "-keyout", "stamps.key", "-out", "stamps.csr")
    _openssl(folder, "x509", "-req", "-in", "stamps.csr", "-CA", "root.pem", "-CAkey", "root.key",
             "-CAcreateserial", "-days", 30, "-extfile", "stamps.cnf", "-extensions", "stamps",
             "-out", "stamps.pem")  # fmt: skip
    (folder / "serial").write_text("01\n")
    return folder / "root.pem"


@contextmanager
def stamping(folder: Path) -> Iterator[str]:
    """The server's URL while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            (folder / "query.tsq").write_bytes(query)
            _openssl(folder, "ts", "-reply", "-config", "stamps.cnf", "-queryfile", "query.tsq",
                     "-out", "reply.tsr")  # fmt: skip
            reply = (folder / "reply.tsr").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
