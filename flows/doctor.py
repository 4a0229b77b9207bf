"""`saqia doctor`: is this machine and this installation fit to turn the wheel? Each finding says what to do."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from components import config
from components.optimization.precision import kept
from flows import databases, environment, stack

NEEDED_GIB = 3.0
HUB = ("huggingface.co", 443)


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: Literal["good", "note", "bad"]
    found: str
    remedy: str = ""


def check_all(start: Path) -> list[Finding]:
    """Look at everything; a check that breaks is itself a finding."""
    try:
        root = environment.project_root(start)
    except environment.NoProject as error:
        return [Finding("project", "bad", str(error), "cd into the project's folder")]
    checks: list[tuple[str, Callable[[Path], Finding]]] = [
        ("Python", python),
        ("lock", lock),
        ("params.yaml", params),
        ("disk", disk),
        ("git", git),
        ("DVC cache", dvc_cache),
        ("databases", state),
        ("gate", gate),
        ("feedback", feedback),
        ("ports", ports),
        ("GPU", gpu),
        ("precision", precision),
        ("model hub", hub),
    ]
    found = []
    for what, check in checks:
        try:
            found.append(check(root))
        except Exception as error:
            found.append(Finding(what, "bad", f"the check itself failed: {error}", "report this"))
    return found


def print_findings(findings: list[Finding]) -> int:
    """Print them; return the exit code: 1 if something is broken."""
    console = Console(highlight=False)
    marks = {"good": "[green]✓[/]", "note": "[yellow]·[/]", "bad": "[red]✗[/]"}
    for f in findings:
        console.print(f"{marks[f.state]} {f.what:<12} ", end="")
        console.print(f.found, markup=False)
        if f.remedy:
            console.print(f"               → {f.remedy}", markup=False)
    return int(any(f.state == "bad" for f in findings))


def python(root: Path) -> Finding:
    """Which one (the Makefile and pip refuse one before 3.11), and whether it is the project's own."""
    version = sys.version.split()[0]
    if sys.prefix == sys.base_prefix:
        return Finding("Python", "note", f"{version}, outside a virtual environment", "use .venv/bin/saqia (make run)")
    return Finding("Python", "good", version)


def lock(root: Path) -> Finding:
    """Installed versions against requirements.lock."""
    file = root / "requirements.lock"
    if not file.exists():
        return Finding("lock", "note", "requirements.lock is missing", "restore it: git checkout requirements.lock")
    wrong = []
    for line in file.read_text(encoding="utf-8").splitlines():
        pinned = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)\s*(;.*)?$", line.strip())
        if not pinned or pinned[3]:
            continue
        try:
            installed = importlib.metadata.version(pinned[1]).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed != pinned[2].split("+")[0]:
            wrong.append(f"{pinned[1]} {installed} (lock: {pinned[2]})")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Finding(
            "lock",
            "bad",
            f"not in step: {', '.join(wrong[:3])}{more}",
            f"{sys.executable} -m pip install -r requirements.lock",
        )
    return Finding("lock", "good", "everything installed as locked")


def params(root: Path) -> Finding:
    """params.yaml, and each task's own parameters over it."""
    from flows.workspace import merged_params

    try:
        settings = config.load(root / "params.yaml")
        for file in sorted((root / "tasks").glob("*/task.yaml")):
            merged_params(root, file.parent.name, {})
    except config.ConfigError as error:
        return Finding("params.yaml", "bad", str(error).splitlines()[0], "correct that key")
    return Finding("params.yaml", "good", f"valid; task {settings.task}, base {settings.model.base}")


def disk(root: Path) -> Finding:
    """Room where the state is kept."""
    home = config.places(root).home
    there = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(there).free / 2**30
    if free < NEEDED_GIB:
        return Finding("disk", "bad", f"{free:.1f} GiB free at {there}", "make room, or move the state: SAQIA_HOME")
    return Finding("disk", "good", f"{free:.0f} GiB free at {there}")


def git(root: Path) -> Finding:
    """Git, and whether the project is a repository."""
    if shutil.which("git") is None:
        return Finding("git", "note", "not installed: versions are recorded by dvc.lock alone", "install git")
    from flows.workspace import in_git

    if not in_git(root):
        done = subprocess.run(["git", "status"], cwd=root, capture_output=True, text=True, check=False)
        if "dubious ownership" in done.stderr:
            return Finding("git", "bad", "refuses this folder", f"git config --global --add safe.directory {root}")
        return Finding("git", "note", "no repository here: versions are recorded by dvc.lock alone", "git init")
    return Finding("git", "good", "repository; turns work in worktrees of their own")


def dvc_cache(root: Path) -> Finding:
    """DVC's configuration can be read and its cache written."""
    from dvc.repo import Repo

    try:
        cache = Path(Repo(str(root)).cache.local.path).parent.parent
        cache.mkdir(parents=True, exist_ok=True)
        probe = cache / ".saqia-probe"
        probe.write_text("")
        probe.unlink()
    except Exception as error:
        return Finding("DVC cache", "bad", " ".join(str(error).split()), "look at .dvc/config and its cache folder")
    return Finding("DVC cache", "good", str(cache))


def state(root: Path) -> Finding:
    """The SQLite files of runs, versions and feedback are whole."""
    found = databases.damaged(databases.of(config.places(root)))
    if found:
        what, _, remedy = found.partition("; it is left as it is: ")
        return Finding("databases", "bad", what.removeprefix("its database "), remedy)
    return Finding("databases", "good", "whole, as far as they are SQLite files")


def gate(root: Path) -> Finding:
    """What the rows of the default task's old tests can prove, by its newest version."""
    from components import registry
    from components.evaluation.plan import of_guards
    from components.noninferiority import allowed_loss, provable_loss
    from components.task import parameters

    task = config.load(root / "params.yaml").task
    tracking = str(config.places(root).tracking_uri)
    begun = not tracking.startswith(databases.SQLITE) or Path(tracking.removeprefix(databases.SQLITE)).exists()
    versions = registry.versions(task) if begun else []  # looking at a registry that is not there would make one
    if not versions:
        return Finding("gate", "note", f"no version of {task} yet", f"saqia build --task {task}")
    guards = [c for c in versions[-1].verdict.comparisons if c.role == "guard"]
    rows = sum(c.available or c.examples for c in guards)
    promotion = config.parse(parameters(task, root)).promotion
    error = (1 - promotion.confidence) / 2
    enough = rows > 0 and provable_loss(rows, error) <= allowed_loss(promotion.delta, rows, error)
    remedy = "" if enough else "bring more rows, or allow a larger loss: promotion.delta in the task's params.yaml"
    return Finding("gate", "good" if enough else "note", f"{task}: {of_guards(rows, promotion)}", remedy)


def feedback(root: Path) -> Finding:
    """Whether corrections of refused turns wait, and for what. The registry is asked only after a refusal."""
    from components.feedback import unserved
    from components.feedback.store import Store
    from flows import unserved as unserved_now

    places = config.places(root)
    name = config.load(root / "params.yaml").task
    if (places.database_url or "").startswith("sqlite:") and not Path(str(places.database_url)[10:]).exists():
        return Finding("feedback", "good", "none yet")
    with Store(places.database_url) as store:
        behind = unserved_now.waiting(store, name) if unserved.refused(store, name) else []
        new = store.waiting(name)["correction"]
    if behind:
        return Finding("feedback", "note", unserved.in_words(behind), "saqia status; docs/how-to/feedback.md")
    return Finding("feedback", "good", f"{new} corrections wait for the next turn of {name}")


def ports(root: Path) -> Finding:
    """Each port is free or held by our own program."""
    places = config.places(root)
    left = [f"{p.title}: {found}" for p in stack.programs(places) for found in stack.left_behind(places, p)]
    if left:
        return Finding("ports", "note", f"left by an interrupted command: {'; '.join(left)}", "saqia down ends it")
    taken = [f"{program.port} for the {program.title} by {owner}" for program, owner in stack.strangers(places)]
    if taken:
        return Finding(
            "ports",
            "note",
            f"taken: {'; '.join(taken)}",
            "saqia up --port --prefect-port --mlflow-port, or SAQIA_PORT, SAQIA_PREFECT_PORT, SAQIA_MLFLOW_PORT",
        )
    return Finding("ports", "good", "free or ours")


def gpu(root: Path) -> Finding:
    """A GPU, as far as the driver's own tool knows (importing torch would take seconds)."""
    tool = shutil.which("nvidia-smi")
    if tool:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=20)
        if done.returncode == 0 and done.stdout.strip():
            return Finding("GPU", "good", done.stdout.strip().splitlines()[0])
    return Finding("GPU", "note", "none found; the default task needs none")


def precision(root: Path) -> Finding:
    """What `train.precision: auto` was measured to take on a processor, for each model that was trained on one."""
    wanted = config.load(root / "params.yaml").train.precision
    if wanted != "auto":
        return Finding("precision", "good", f"{wanted}, by train.precision")
    answers = kept(config.places(root).home)
    if not answers:
        return Finding(
            "precision", "good", "auto; nothing was measured yet (only models above 20 million parameters are)"
        )
    taken = ", ".join(
        f"{answer['taken']} (float32 {answer['float32']:.0f}, bfloat16 {answer['bfloat16']:.0f} GFLOP/s)"
        for answer in answers.values()
    )
    return Finding("precision", "good", f"auto, as measured: {taken}")


def hub(root: Path) -> Finding:
    """Whether a hub model could be fetched: one connection, two seconds."""
    try:
        socket.create_connection(HUB, timeout=2).close()
    except OSError:
        base = config.load(root / "params.yaml").model.base
        needed = base != "local" and not Path(base).exists()
        return Finding(
            "model hub",
            "note",
            "not reachable" + ("" if needed else "; not needed with this base"),
            "set model.base to a folder or to local, and HF_HUB_OFFLINE=1 to save the waiting" if needed else "",
        )
    return Finding("model hub", "good", "reachable")
