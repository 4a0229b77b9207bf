"""A project folder of its own with a real MLflow registry, and the service as a process in it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import yaml

from components import registry
from components.schema import Verdict
from tests.waiting import until

ROOT = Path(__file__).parents[2]
FIRST = Verdict(decision="first", reasons=("the first version",), comparisons=(), confidence=0.95, delta=0.02)


def make(folder: Path, threads: int = 1, **serving: object) -> Path:
    """params.yaml and the default task; what `registry` and `Store` use comes from the environment."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["threads"] = threads
    params["serving"] |= {"poll_seconds": 0.2, **serving}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "tasks", folder / "tasks", dirs_exist_ok=True)
    return folder


def register(version: Path, base: Path, *, promote: bool = True) -> str:
    """Put a version folder into the registry, by default as the champion."""
    lineage = registry.Lineage(dvc_lock_sha256=version.name)
    made = registry.register(version, base, FIRST, lineage)
    if promote:
        registry.promote("intake", made.version)
    return made.version


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """`python -m serving` in a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True, seconds: float = 180) -> Service:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "serving", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self.wait(200 if ready else 503, seconds)
        return self

    def wait(self, status: int, seconds: float = 180) -> dict[str, object]:
        """Until /readyz says so."""
        deadline = time.monotonic() + seconds
        seen = "no answer"
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                response = httpx.get(f"{self.url}/readyz", timeout=30)
                seen = response.text
                if response.status_code == status:
                    return dict(response.json())
            except httpx.HTTPError as error:
                seen = str(error)
            time.sleep(0.1)
        raise AssertionError(f"/readyz is not {status}: {seen}\n{self.log.read_text()[-3000:]}")

    def wait_for_pages(self, seconds: float = 180) -> None:
        """Until the pages are open: they open behind the API, and are 503 before."""
        until(
            lambda: httpx.get(f"{self.url}/ui/", follow_redirects=True, timeout=30).status_code == 200,
            lambda: f"the pages are open\n{self.log.read_text()[-3000:]}",
            seconds,
        )

    def stop(self, seconds: float = 120) -> int:
        """SIGTERM, and the exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0 if self.process is None else int(self.process.returncode)
        self.process.terminate()
        return self.process.wait(seconds)
