"""A turn works in a folder of its own, so that nobody's working tree is ever disturbed.

Inside git that folder is a detached worktree of a commit that holds exactly what the user
sees (HEAD, uncommitted changes, new files that git does not ignore). The commit is made with
a temporary index, so the user's branch, index and files stay as they were. DVC's cache and
remotes are shared with the project. What the turn made (params.yaml, dvc.lock) is committed
on top and kept reachable by a ref under refs/saqia/<task>/. Outside git the folder is a plain
copy and the recorded dvc.lock alone is kept.

A workspace has a name; a turn that was killed finds its workspace again by that name, with
the finished stages' outputs and the checkpoints of the one it was in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components import config, files, layout, stage
from components.task import parameters
from flows import environment

IDENTITY = {
    "GIT_AUTHOR_NAME": "saqia",
    "GIT_AUTHOR_EMAIL": "saqia@localhost",
    "GIT_COMMITTER_NAME": "saqia",
    "GIT_COMMITTER_EMAIL": "saqia@localhost",
}
"""Who commits where the user has told git no name; the machine's own commits need one."""

NOT_COPIED = {".git", ".venv", ".saqia", "mlruns", "data", "models", "reports", "__pycache__", "node_modules"}


class WorkspaceError(stage.StageError):
    """A turn's folder cannot be made; the message is git's or the system's own first line."""


@dataclass(frozen=True)
class Workspace:
    """Where a turn works, and how its processes are told so."""

    name: str
    task: str
    root: Path
    """The turn's own folder."""
    project: Path
    """The user's tree, never written to."""
    commit: str | None
    """The commit of what the user saw; None outside git."""
    env: Mapping[str, str] = field(repr=False, default_factory=dict)
    """The whole environment of the turn's stages."""

    def settings(self) -> config.Settings:
        """The settings that the turn's stages read."""
        return config.load(self.root / layout.PARAMS)


def prepare(
    project: Path,
    name: str,
    task: str,
    overrides: Mapping[str, Any] | None = None,
    places: config.Places | None = None,
) -> Workspace:
    """Make the workspace called `name`, or bring an interrupted one up to date with the user's tree.

    `overrides` is merged over params.yaml after the task's own `tasks/<task>/params.yaml`.

    Raises:
        WorkspaceError: git refuses, or the folder cannot be written.
        ConfigError: the merged parameters are impossible; nothing was made.
    """
    places = (places or config.Places()).absolute(project)
    project = project.resolve()
    root = places.home / "work" / name
    params = merged_params(project, task, overrides or {})
    try:
        commit = snapshot(project) if in_git(project) else None
        if commit is None:
            _copy(project, root)
        else:
            worktree(project, root, commit)
        share_dvc(project, root, places, git=commit is not None)
        if not (root / "dvc.lock").exists() or not _lock_is_own(root):
            _seed_lock(root, name, task, places)
        files.write_text(root / layout.PARAMS, params)
    except OSError as error:
        raise WorkspaceError(f"the turn's folder {root} cannot be written: {error.strerror or error}") from error
    env = {**os.environ, **environment.variables(places), "PYTHONPATH": str(root)}
    return Workspace(name=name, task=task, root=root, project=project, commit=commit, env=env)


def merged_params(project: Path, task: str, overrides: Mapping[str, Any]) -> str:
    """The text of a turn's params.yaml: see `components.task.parameters`.

    Raises:
        ConfigError: the result is impossible (key, value and what is allowed are named).
    """
    return yaml.safe_dump(parameters(task, project, overrides), sort_keys=False, allow_unicode=True)


def settle_lock(workspace: Workspace) -> None:
    """Sort dvc.lock by stage: stages that ran side by side write it in the order they ended."""
    lock = workspace.root / "dvc.lock"
    values = yaml.safe_load(lock.read_text(encoding="utf-8"))
    values["stages"] = dict(sorted(values["stages"].items()))
    files.write_text(lock, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def record(workspace: Workspace, label: str) -> str | None:
    """Commit what the workspace holds and keep it reachable as refs/saqia/<task>/<label>; return the commit.

    The commit stands on what the user saw, touches no branch and runs no hooks. dvc.lock is
    also kept under <home>/locks/<task>/, which is all there is outside git (None is returned).
    """
    lock = workspace.root / "dvc.lock"
    if lock.exists():
        kept = Path(workspace.env["SAQIA_HOME"]) / "locks" / workspace.task
        for name in {label, workspace.name, "latest"}:
            files.write_text(kept / f"{name}.lock", lock.read_text(encoding="utf-8"))
    if workspace.commit is None:
        return None
    git(workspace.root, "add", "--all")
    tree = git(workspace.root, "write-tree")
    message = f"{workspace.task}: {label}\n\nThe parameters and the DVC lock that made it."
    commit = git(workspace.root, "commit-tree", tree, "-p", workspace.commit, "-m", message)
    keep_ref(workspace, label, commit)
    return commit


def keep_ref(workspace: Workspace, label: str, commit: str) -> None:
    """Keep a recorded commit reachable as refs/saqia/<task>/<label>, whatever becomes of branches."""
    git(workspace.project, "update-ref", f"refs/saqia/{workspace.task}/{label}", commit)


def keep_reports(workspace: Workspace, label: str) -> Path:
    """Copy the turn's reports to <home>/reports/<task>/<label> (returned), its sets to <home>/examples/<task>."""
    kept = Path(workspace.env["SAQIA_HOME"]) / "reports" / workspace.task / label
    with files.replacing_folder(kept) as temporary:
        for part in (workspace.task, "base"):
            made = workspace.root / "reports" / part
            if made.exists():
                shutil.copytree(made, temporary if part == workspace.task else temporary / part, dirs_exist_ok=True)
    sets = workspace.root / layout.examples(workspace.task)
    if sets.exists():
        with files.replacing_folder(Path(workspace.env["SAQIA_HOME"]) / "examples" / workspace.task) as temporary:
            shutil.copytree(sets, temporary, dirs_exist_ok=True)
    return kept


def remove(workspace: Workspace) -> None:
    """Remove the folder; what is recorded stays reachable by its ref."""
    _remove_folder(workspace.project, workspace.root)


def remove_stopped(workspace: Workspace) -> None:
    """Remove the folders of the task's earlier turns, which were kept because a gate stopped them."""
    kind = workspace.name.rpartition("-")[0]
    for folder in workspace.root.parent.glob(f"{kind}-[0-9]*"):
        if folder.name < workspace.name:
            _remove_folder(workspace.project, folder)


@contextlib.contextmanager
def checked_out(project: Path, commit: str, name: str, task: str, places: config.Places) -> Iterator[Workspace]:
    """A recorded commit in a folder of its own, exactly as it was, removed afterwards: for rebuilding a version.

    Raises:
        WorkspaceError: the commit is unknown here.
    """
    places = places.absolute(project)
    root = places.home / "work" / name
    worktree(project, root, commit)
    share_dvc(project, root, places, git=True)
    env = {**os.environ, **environment.variables(places), "PYTHONPATH": str(root)}
    workspace = Workspace(name=name, task=task, root=root, project=project, commit=commit, env=env)
    try:
        yield workspace
    finally:
        remove(workspace)


def in_git(project: Path) -> bool:
    """Whether `project` is the top of a git working tree (and git may read it)."""
    done = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"], cwd=project, capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and Path(done.stdout.strip()).resolve() == project.resolve()


def snapshot(project: Path) -> str:
    """A commit of exactly what the user sees, made without touching index, branch or files.

    A temporary copy of the index takes the additions; the commit is reachable only by its id
    until `record` builds on it. The same tree on the same HEAD gives the same commit.
    """
    head = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=project, capture_output=True, text=True, check=False
    ).stdout.strip()
    index = Path(git(project, "rev-parse", "--git-path", "index"))
    index = index if index.is_absolute() else project / index
    temporary = index.with_name(f"index.saqia.{os.getpid()}")
    try:
        if index.exists():
            shutil.copy2(index, temporary)
        env = {"GIT_INDEX_FILE": str(temporary)}
        git(project, "add", "--all", env=env)
        tree = git(project, "write-tree", env=env)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(temporary.name + ".lock").unlink(missing_ok=True)
    if head and git(project, "rev-parse", f"{head}^{{tree}}") == tree:
        return head
    date = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "@0 +0000")
    return git(
        project,
        "commit-tree",
        tree,
        *(("-p", head) if head else ()),
        "-m",
        "The working tree that a turn started from",
        env=date,
    )


def git(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run git without hooks or signing; return its output.

    Raises:
        WorkspaceError: with git's own last line.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    identity = {} if _has_identity(folder, inherited) else IDENTITY
    settings = ("core.hooksPath=/dev/null", "commit.gpgSign=false", "advice.detachedHead=false", "gc.auto=0")
    done = subprocess.run(
        ["git", *(word for setting in settings for word in ("-c", setting)), *arguments],
        cwd=folder,
        env={**inherited, **identity, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        # What could not be written stands before what git then could not do; that the disk is full it often leaves out.
        refused = next((said for said in lines if "unable to write" in said or "No space left" in said), None)
        line = f"{refused}; the disk seems full: free some space and run it again" if refused else lines[-1]
        raise WorkspaceError(f"git {arguments[0]} failed in {folder}: {line}")
    return done.stdout.strip()


def _has_identity(folder: Path, env: Mapping[str, str]) -> bool:
    return all(
        subprocess.run(
            ["git", "config", key], cwd=folder, env=dict(env), capture_output=True, text=True, check=False
        ).stdout.strip()
        for key in ("user.name", "user.email")
    )


def worktree(project: Path, root: Path, commit: str) -> None:
    """A worktree of `commit` at `root`; one that is there already keeps its ignored files and its dvc.lock."""
    if (root / ".git").is_file():
        try:
            lock = root / "dvc.lock"
            own = lock.read_text(encoding="utf-8") if lock.exists() else None
            folder = Path(git(root, "rev-parse", "--absolute-git-dir"))
            (folder / "index.lock").unlink(missing_ok=True)
            git(root, "checkout", "--force", "--detach", "--quiet", commit)
            git(root, "clean", "--force", "-d", "--quiet")
            if own is not None:
                files.write_text(lock, own)
            return
        except WorkspaceError:
            pass  # half made when its turn was killed: make it anew
    _remove_folder(project, root)
    root.parent.mkdir(parents=True, exist_ok=True)
    git(project, "worktree", "add", "--detach", "--force", "--force", str(root), commit)


def _copy(project: Path, root: Path) -> None:
    """The same without git: a plain copy of the project's own files over what is there."""
    root.mkdir(parents=True, exist_ok=True)

    def ignored(folder: str, names: list[str]) -> set[str]:
        top = Path(folder).resolve() == project
        here = {n for n in names if n == "__pycache__" or (top and (n in NOT_COPIED or n == "dvc.lock"))}
        if Path(folder).name == ".dvc":
            here |= set(names) - {"config", ".gitignore"}
        return here | {n for n in names if (Path(folder) / n).resolve() in (root, root.parent, root.parent.parent)}

    shutil.copytree(project, root, ignore=ignored, dirs_exist_ok=True)


def _remove_folder(project: Path, root: Path) -> None:
    if (project / ".git").exists() and root.exists():
        with contextlib.suppress(WorkspaceError):
            git(project, "worktree", "remove", "--force", "--force", str(root))
    shutil.rmtree(root, ignore_errors=True)
    if (project / ".git").exists():
        with contextlib.suppress(WorkspaceError):
            git(project, "worktree", "prune")


def share_dvc(project: Path, root: Path, places: config.Places, git: bool) -> None:
    """Point the workspace's DVC at the project's cache and remotes, whatever they are configured as."""
    from configobj import ConfigObj
    from dvc.config import Config

    dvc = project / ".dvc"
    merged = Config(str(dvc)) if dvc.exists() else None
    local = ConfigObj(encoding="utf-8")
    local["core"] = {"no_scm": str(not git).lower(), "analytics": "false", "check_update": "false"}
    cache = str(merged.get("cache", {}).get("dir") or dvc / "cache") if merged else str(places.home / "cache")
    local["cache"] = {"dir": cache if os.path.isabs(cache) else str((dvc / cache).resolve())}
    for name, remote in (merged.get("remote", {}) if merged else {}).items():
        url = str(remote["url"])
        if "://" not in url and not os.path.isabs(url):
            url = str((dvc / url).resolve())
        local[f'remote "{name}"'] = {**{key: str(value) for key, value in remote.items()}, "url": url}
    (root / ".dvc").mkdir(exist_ok=True)
    with files.replacing(root / ".dvc" / "config.local") as temporary:
        local.filename = str(temporary)
        local.write()
    Path(local["cache"]["dir"]).mkdir(parents=True, exist_ok=True)


def _lock_is_own(root: Path) -> bool:
    """Whether dvc.lock was written by this workspace's own stages (which DVC leaves a trace of)."""
    return (root / ".dvc" / "tmp").exists()


def _seed_lock(root: Path, name: str, task: str, places: config.Places) -> None:
    """Start from the last lock recorded under this name, else of the task: unchanged stages are then known to be."""
    for kept in (name, "latest"):
        file = places.home / "locks" / task / f"{kept}.lock"
        if file.exists():
            files.write_text(root / "dvc.lock", file.read_text(encoding="utf-8"))
            return
