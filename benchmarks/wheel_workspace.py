"""A copy of the project in a folder of its own, for benchmarks that turn the wheel without touching this one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components import config, layout
from components.stage import StageError

OWN = ("SAQIA_", "MLFLOW_TRACKING_URI", "PREFECT_", "GIT_")
"""Variables that would lead a copy to another installation's state."""


def parse_changes(words: Sequence[str]) -> dict[str, Any]:
    """`train.steps=400` as {"train.steps": 400}; the value is YAML."""
    pairs = [word.partition("=") for word in words]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        sys.exit(f"--set: {wrong[0]!r} must be KEY=VALUE, e.g. train.steps=400")
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def copy_project(folder: Path, cache: Path) -> None:
    """Copy the tracked and new files of the project here into `folder`; its DVC keeps what it makes in `cache`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if Path(name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, folder / name)
    (folder / ".dvc" / "config.local").write_text(f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n")


def set_params(folder: Path, changes: Mapping[str, Any]) -> None:
    """Write values under dotted keys into a folder's params.yaml.

    Raises:
        ConfigError: a value is impossible; nothing was written.
    """
    params = yaml.safe_load((folder / layout.PARAMS).read_text())
    for key, value in changes.items():
        section = params
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    config.parse(params)
    (folder / layout.PARAMS).write_text(yaml.safe_dump(params, sort_keys=False))


def commit_all(folder: Path) -> None:
    """Make the copy a git repository of its own with everything in one commit, as a user's project is one."""
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    for arguments in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "--all"),
        ("commit", "--quiet", "--allow-empty", "--message", "a copy for a benchmark"),
    ):
        subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment(folder), check=True)


def environment(folder: Path) -> dict[str, str]:
    """The variables for a process that works in the copy: its own code, state and ports."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OWN)}
    ports = free_ports(3)
    return inherited | {
        "PYTHONPATH": str(folder),
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "SAQIA_HOME": str(folder / ".saqia"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlruns/mlflow.db",
        "SAQIA_PORT": str(ports[0]),
        "SAQIA_PREFECT_PORT": str(ports[1]),
        "SAQIA_MLFLOW_PORT": str(ports[2]),
        "PYTHONUNBUFFERED": "1",
    }


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


def copy_code(project: Path, folder: Path) -> None:
    """Copy a project's code and parameters, without what it has made."""
    made = {".git", ".venv", ".saqia", "mlruns", "data", "models", "reports", "tests", "docs", "dvc.lock"}

    def ignored(here: str, names: list[str]) -> set[str]:
        return {n for n in names if n == "__pycache__" or (Path(here) == project and n in made)}

    shutil.copytree(project, folder, ignore=ignored, dirs_exist_ok=True)


def run_stage(folder: Path, name: str, env: Mapping[str, str]) -> None:
    """Run a stage of dvc.yaml in a folder where its inputs lie, without DVC.

    Raises:
        StageError: it failed; the message is its last line.
    """
    stage = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"][name]
    done = subprocess.run(stage["cmd"].split(), cwd=folder, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise StageError(f"{name}: {lines[-1]}")


def outs(folder: Path, name: str, task: str) -> list[Path]:
    """What a stage of dvc.yaml writes."""
    stage = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"][name]
    return [folder / out.replace("${task}", task) for out in stage["outs"]]


def stages_from(folder: Path, name: str) -> list[str]:
    """A stage and those that dvc.yaml names after it."""
    names = list(yaml.safe_load((folder / "dvc.yaml").read_text())["stages"])
    return names[names.index(name) :]
