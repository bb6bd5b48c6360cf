"""A door before a service, whose connections break."""

import socket
import threading


class Door:
    """Passes connections on. limits: how many bytes of answers pass on each connection, in order,
    before it breaks; those beyond the list are whole. A request arrives in any case.
    """

    def __init__(self, port, limits):
        self.port, self.limits, self.connections = port, limits, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def _serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            limit = self.limits[number] if number < len(self.limits) else None
            threading.Thread(target=self._carry, args=(peer, limit), daemon=True).start()

    def _carry(self, peer, limit):
        with peer, socket.create_connection(("127.0.0.1", self.port)) as inner:
            up = threading.Thread(target=self._copy, args=(peer, inner, None), daemon=True)
            up.start()
            self._copy(inner, peer, limit)
            for end in (peer, inner):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was first
                    continue
            up.join()

    @staticmethod
    def _copy(source, target, limit):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data if limit is None else data[:limit])
                if limit is not None:
                    limit -= len(data)
                    if limit <= 0:
                        return
        except OSError:
            return
