"""Images, Compose and Kubernetes by validators of their own: none of them was run here, for there
is no Docker daemon and no cluster.
"""

import importlib.metadata as metadata
import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from src.core.paths import REPOSITORY

PROGRAMS = Path(sysconfig.get_path("scripts"))
SECRETS = dict.fromkeys(
    ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "S3_SECRET", "GRAFANA_PASSWORD"), "x"
)
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
NOT_IN_IMAGES = {"pytest", "pytest-xdist", "execnet", "hypothesis", "ruff", "import-linter",
                 "jsonschema", "schemathesis", "playwright", "axe-playwright-python",
                 "httpx"}  # fmt: skip
"""Packages that tests and linters take."""


def program(name):
    if not (PROGRAMS / name).is_file():
        if os.environ.get("CI"):
            pytest.fail(f"CI installs {name}; it is not here")
        pytest.skip(f"{name} is not installed (requirements-dev.txt)")
    return str(PROGRAMS / name)


def run(*command, **variables):
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True,
                          env=os.environ | variables)  # fmt: skip


def names(file):
    """Packages that a requirements file names, without versions."""
    text = (REPOSITORY / file).read_text("utf-8")
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return {re.split(r"[=<>;\[ ]", line)[0] for line in lines if line and line[0] != "-"}


@pytest.mark.parametrize("file", ["Dockerfile", "Dockerfile.api"])
def test_images_are_what_hadolint_takes(file):
    done = run(program("hadolint"), "--failure-threshold", "warning", file)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["compose.yaml", "compose.fleet.yaml"])
def test_compose_takes_its_files(file):
    done = run(program("docker-compose"), "-f", file, "config", "-q", **SECRETS)
    assert done.returncode == 0, done.stderr


def test_a_fleet_without_its_secrets_does_not_start():
    done = run(program("docker-compose"), "-f", "compose.fleet.yaml", "config", "-q")
    assert done.returncode != 0 and "POSTGRES_PASSWORD" in done.stderr


def test_what_a_fleet_mounts_is_there():
    compose = yaml.safe_load((REPOSITORY / "compose.fleet.yaml").read_text("utf-8"))
    mounted = [
        each.split(":")[0]
        for one in compose["services"].values()
        for each in one.get("volumes", ())
    ]
    here = [name for name in mounted if name.startswith("./") and not name.endswith(".key")]
    assert len(here) > 6 and all((REPOSITORY / name).exists() for name in here)
    assert {name for name in mounted if not name.startswith(".")} <= set(compose["volumes"])


def test_kubernetes_takes_its_files():
    files = sorted(KUBERNETES.rglob("*.yaml"))
    plain = [
        str(path)
        for path in files
        if path.name not in ("kustomization.yaml", "scale.yaml")  # no schema of Kubernetes' own
    ]
    assert len(plain) == 6
    for path in plain:  # of a file with several it stops at the first error
        done = run(program("kubernetes-validate"), "--strict", path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_kustomizations_name_every_file():
    for path in KUBERNETES.rglob("kustomization.yaml"):
        listed = yaml.safe_load(path.read_text("utf-8"))["resources"]
        assert all((path.parent / name).exists() for name in listed)
        there = {each.name for each in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert there == {name for name in listed if name.endswith(".yaml")}


def test_a_worker_may_drain_before_it_is_killed():
    documents = yaml.safe_load_all((KUBERNETES / "base" / "worker.yaml").read_text("utf-8"))
    pod = next(documents)["spec"]["template"]["spec"]
    command = pod["containers"][0]["command"]
    drain = int(command[command.index("--drain") + 1])
    assert pod["terminationGracePeriodSeconds"] > drain + 30


def test_no_test_package_is_in_an_image_and_no_torch_in_that_of_the_api():
    api, worker = names("requirements-api.txt"), names("requirements-worker.txt")
    every = names("requirements.txt")
    assert not (api | worker) & NOT_IN_IMAGES
    assert every - worker == NOT_IN_IMAGES
    assert worker - every == set()
    assert api - every == {"opencv-python-headless"}  # the same without what the API never calls
    assert not needed_by(api) & {"torch", "diffusers", "transformers", "numba"}


def needed_by(packages):
    """Names of all that these require, and what that requires, where it is installed here."""
    found, ahead = set(), {name.lower() for name in packages}
    while ahead:
        name = ahead.pop()
        found.add(name)
        try:
            told = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        plain = [each for each in told if "extra ==" not in each]
        ahead |= {re.split(r"[^\w.-]", each)[0].lower() for each in plain} - found
    return found


def test_one_version_of_opencv_serves_both():
    pins = (REPOSITORY / "requirements.txt").read_text("utf-8")
    contrib = re.search(r"opencv-contrib-python-headless==(\S+)", pins)[1]
    assert f"opencv-python-headless=={contrib}" in (
        (REPOSITORY / "requirements-api.txt").read_text("utf-8")
    )
