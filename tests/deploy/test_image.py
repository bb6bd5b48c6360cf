"""What can be known of the image without Docker: the Dockerfile's own words, and its files and
command in a bare folder.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import yaml

from src.api.app import create_app
from src.api.settings import ServiceSettings
from src.core.paths import REPOSITORY

SETTINGS = {f"NEWSREEL_{name.upper()}" for name in ServiceSettings.model_fields} | {
    "NEWSREEL_HOME",
    "NEWSREEL_LOG",
}


def _instructions():
    """(name, arguments) of each instruction, continued lines joined, comments left out."""
    text = (REPOSITORY / "Dockerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace(
        "\\\n", " "
    )
    return [tuple(line.split(None, 1)) for line in lines.splitlines() if line.strip()]


def _all(name):
    return [rest for found, rest in _instructions() if found == name]


def _variables():
    return dict(item.split("=", 1) for rest in _all("ENV") for item in rest.split())


def _command():
    return json.loads(_all("CMD")[-1])


def _compose():
    return yaml.safe_load((REPOSITORY / "compose.yaml").read_text("utf-8"))


def _sources():
    """(source, target) of what each COPY takes."""
    return [(source, target) for rest in _all("COPY") for *sources, target in [rest.split()]
            for source in sources]  # fmt: skip


def test_it_is_a_cuda_image_that_runs_as_nobody_special():
    assert _all("FROM")[0].startswith("nvidia/cuda:")
    assert _all("USER") == ["newsreel"]
    names = [name for name, _ in _instructions()]
    assert names.index("USER") > max(
        index for index, name in enumerate(names) if name in ("RUN", "COPY")
    )
    assert "EXPOSE" in names


def test_variables_are_settings_and_the_pipeline_is_warmed():
    ours = {name: value for name, value in _variables().items() if name.startswith("NEWSREEL_")}
    assert set(ours) <= SETTINGS
    assert ours["NEWSREEL_WARM"] == "optimized"
    assert f'"{ours["NEWSREEL_HOME"]}"' in _all("VOLUME")[0]


def test_the_command_listens_where_the_port_is_exposed_and_health_is_asked(tmp_path):
    command, port = _command(), _all("EXPOSE")[0]
    assert command[:2] == ["uvicorn", "src.api_server:app"]
    assert command[command.index("--host") + 1] == "0.0.0.0"
    assert command[command.index("--port") + 1] == port
    asked = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", _all("HEALTHCHECK")[0])
    app = create_app(ServiceSettings(database=f"sqlite:///{tmp_path / 'jobs.db'}"))
    assert asked[1] == port
    assert asked[2] in app.openapi()["paths"]
    app.state.service.database.engine.dispose()


def test_sources_are_there_and_not_ignored():
    kept = re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text("utf-8"), re.M)
    for source, _ in _sources():
        assert (REPOSITORY / source).exists()
        assert any(name == source or name.startswith(f"{source}/") for name in kept), source
    for name in kept:
        assert (REPOSITORY / name).exists(), name


@pytest.fixture
def image(tmp_path):
    """The folder that the COPY instructions make, less what .dockerignore leaves out, and its
    environment.
    """
    folder = tmp_path / "app"
    kept = re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text("utf-8"), re.M)
    for name in kept:
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NEWSREEL_", "PYTHON"))
    }
    variables |= {
        name: value for name, value in _variables().items() if name.startswith("NEWSREEL_")
    }
    return folder, variables | {"NEWSREEL_HOME": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}


def test_the_files_suffice_for_the_service(image):
    folder, variables = image
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", *_command()]
    command[command.index("--port") + 1] = port
    command[command.index("--host") + 1] = "127.0.0.1"
    variables |= {"NEWSREEL_MAKER": "fake", "NEWSREEL_MIN_FREE": "0"}
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            ready = _answer(f"http://127.0.0.1:{port}/ready")
        finally:
            server.terminate()
            said = server.stdout.read()
    assert ready == {"status": "ready", "warm": "optimized"}
    assert re.search(r"^    nr_\S{43}$", said, re.M)


def _answer(url, seconds=40.0):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.loads(answer.read())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_files_suffice_for_the_embedded_model(image):
    folder, variables = image
    code = (
        "from src.engine.generate import plans_for, prepare; from src.engine.probe import probe;"
        "from src.core.request import Request; from src.engine.warm import SAMPLE, describe_model;"
        "prepared = prepare(Request(input_image=SAMPLE, prompt='p', device='cpu'));"
        "plans_for(prepared, probe('cpu')); print(prepared.folder, describe_model('cpu')['name'], "
        "sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(folder / "checkpoints" / "nano"), "nano"], done.stderr


def test_compose_names_what_there_is():
    compose, image = _compose(), _variables()
    service = compose["services"]["newsreel"]
    assert service["build"] == "."
    assert service["ports"] == [f"{_all('EXPOSE')[0]}:{_all('EXPOSE')[0]}"]
    assert {name for name in service["environment"] if name.startswith("NEWSREEL_")} <= SETTINGS
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert mounts["data"] == image["NEWSREEL_HOME"]
    assert mounts["models"] == image["HF_HOME"]
    assert {name for name in mounts if not name.startswith(".")} <= set(compose["volumes"])
    assert (
        int(service["stop_grace_period"].rstrip("s"))
        > ServiceSettings.model_fields["drain"].default + 5
    )
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert compose["services"]["postgres"]["profiles"] == ["postgres"]
