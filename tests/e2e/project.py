"""A project of the tests' own: a copy of this one with a task that two cores learn in seconds, and ports of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.preloaded import VARIABLE
from flows import preload

ROOT = Path(__file__).parent.parent.parent
PARCELS = Path(__file__).parent / "parcels"
AT_ONCE = """
import runpy, sys
from components.preloaded import handed_over
module, *arguments = sys.argv[1:]
code = handed_over(module, arguments)
if code is None:
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
sys.exit(code)
"""
"""`python -m MODULE`, begun with the large libraries imported where a preloaded process waits: half of its time."""
LEFT_OUT = {".git", ".venv", ".saqia", "mlruns", "data", "models", "reports", "shared", "tests", "dvc.lock"}


@dataclass(frozen=True)
class Project:
    """The copy, and how `saqia` is run in it."""

    root: Path
    ports: Mapping[str, str] = field(default_factory=dict)
    preloaded: Mapping[str, str] = field(default_factory=dict)
    """The variable that names the preloaded process of these tests (components/preloaded.py)."""

    @property
    def home(self) -> Path:
        return self.root / ".saqia"

    @property
    def env(self) -> dict[str, str]:
        own = ("SAQIA_", "MLFLOW_TRACKING_URI", "PREFECT_", "GIT_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        return env | {
            **self.ports,
            "PYTHONPATH": str(self.root),
            "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }

    def url(self, of: str) -> str:
        return f"http://127.0.0.1:{self.ports[of]}"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `saqia …`; a process group of its own, as a shell gives it."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            # a shell that runs the tests in the background has it ignored, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def saqia(self, *arguments: str, code: int = 0) -> str:
        """Run `saqia …`; return everything it wrote. Its exit code must be `code`."""
        return self._run([sys.executable, "-c", AT_ONCE, "flows.cli", *arguments], code)

    def dvc(self, *arguments: str, code: int = 0) -> str:
        """Run `dvc …` in the copy."""
        return self._run([sys.executable, "-c", AT_ONCE, "dvc", *arguments], code)

    def git(self, *arguments: str) -> str:
        """Run git in the copy."""
        return self._run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], 0)

    def _run(self, command: list[str], code: int) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.env | self.preloaded,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(command[3:])} ended with {done.returncode}:\n{done.stdout[-4000:]}"
        return done.stdout

    def set_params(self, **over: Any) -> None:
        """Change params.yaml, section by section."""
        file = self.root / "params.yaml"
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        _merge(values, over)
        file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def copy(folder: Path) -> Project:
    """Copy the project as it is here now, make `parcels` its task, and commit that."""
    shutil.copytree(ROOT, folder, ignore=_ignored, symlinks=True)
    shutil.copytree(PARCELS, folder / "tasks" / "parcels", ignore=shutil.ignore_patterns("params.yaml", "__pycache__"))
    project = reuse(folder)
    project.set_params(task="parcels", **yaml.safe_load((PARCELS / "params.yaml").read_text(encoding="utf-8")))
    project.git("init", "--quiet", "--initial-branch", "main")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "a project of the tests' own")
    return project


def reuse(folder: Path) -> Project:
    """A copy that is there, with ports of its own."""
    ports = map(str, free_ports(3))
    named = dict(zip(("SAQIA_PORT", "SAQIA_PREFECT_PORT", "SAQIA_MLFLOW_PORT"), ports, strict=True))
    preload.start(Project(folder).env)
    inherited = {name: value for name, value in os.environ.items() if name == VARIABLE}
    return Project(folder, named, inherited or preload.variables())


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _ignored(folder: str, names: list[str]) -> set[str]:
    here = {n for n in names if n in LEFT_OUT} if Path(folder) == ROOT else set()
    here |= {n for n in names if n == "__pycache__" or n.endswith(".egg-info") or n.startswith(".mypy")}
    if Path(folder) == ROOT / ".dvc":
        here |= set(names) - {"config", ".gitignore"}
    return here


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
