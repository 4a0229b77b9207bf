"""A miniature DVC project with trivial stages, and one Prefect server for all flow tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from components import config, preloaded
from flows import environment, prefect_database
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent

DVC = """
stages:
  first:
    desc: writes a number
    cmd: python first.py
    deps: [first.py]
    params: [seed]
    outs: [data/first]
  second:
    desc: reads it
    cmd: python second.py
    deps: [second.py, data/first]
    outs: [models/second]
    meta: {pool: gpu}
  aside:
    desc: needs nobody
    cmd: python aside.py
    deps: [aside.py]
    outs: [data/aside]
  last:
    desc: needs both
    cmd: python last.py
    deps: [last.py, models/second, data/aside]
    params: [turn]
    outs: [reports/intake]
"""

STAGE = """
import os, pathlib, yaml
print("{name} says hello", flush=True)
out = pathlib.Path("{out}"); out.mkdir(parents=True)
(out / "value").write_text(str(yaml.safe_load(open("params.yaml"))["seed"]))
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git repository with four trivial stages."""
    folder = tmp_path / "project"
    for name, out in (
        ("first", "data/first"),
        ("second", "models/second"),
        ("aside", "data/aside"),
        ("last", "reports/intake"),
    ):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(STAGE.format(name=name, out=out))
    (folder / "dvc.yaml").write_text(DVC)
    (folder / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text().replace("retry_seconds: 5", "retry_seconds: 0")
    )
    (folder / ".gitignore").write_text("/data/\n/models/\n/reports/\n/.saqia/\n__pycache__/\n")
    (folder / ".dvcignore").write_text(".saqia\n__pycache__\n*.pyc\n")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text())
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


LIGHT = """
from components import preloaded
preloaded.THEN = ()
preloaded.main({name!r})
"""


@pytest.fixture(scope="package", autouse=True)
def preloaded_process() -> Iterator[None]:
    """Where the stages of these tests begin: they need none of the libraries that a flow's own one would import."""
    name = f"saqia-tests-{uuid.uuid4().hex}"
    process = subprocess.Popen([sys.executable, "-c", LIGHT.format(name=name)], cwd=ROOT)
    os.environ[preloaded.VARIABLE] = name
    yield
    del os.environ[preloaded.VARIABLE]
    process.terminate()
    process.wait(120)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prefect server of the tests' own."""
    home = tmp_path_factory.mktemp("prefect")
    prefect_database.provide(home)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **environment.QUIET, "PREFECT_HOME": str(home)},
        stdout=(home / "log").open("w"),
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        until(lambda: healthy(port), lambda: f"Prefect's server is healthy: {(home / 'log').read_text()[-2000:]}")
        yield port
    finally:
        process.terminate()
        process.wait(120)


@pytest.fixture
def places(tmp_path: Path, project: Path) -> config.Places:
    return config.Places(home=tmp_path / "saqia-home").absolute(project)
