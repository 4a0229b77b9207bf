"""What goes between two clones of a project by git: the commit that a stage is to run on, under a ref of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from components import config
from components.stage import StageError
from flows import environment, workspace
from flows.workspace import Workspace, WorkspaceError

REFS = "refs/saqia/stages"


@contextlib.contextmanager
def published(made: Workspace, name: str) -> Iterator[str]:
    """A commit of exactly what the workspace holds (code, params.yaml, dvc.lock) as a ref; its name.

    The ref is in the project, and where the project has an `origin`, there too: a worker fetches it from its own
    `origin`, which may be either. It goes when the block ends.

    Raises:
        StageError: the project is no git repository, or its origin refuses.
    """
    if made.commit is None:
        raise StageError(
            f"{made.project} is no git repository: a stage goes to another machine as a commit; `git init` and commit, "
            "or take the pool out of improve.pools in params.yaml"
        )
    ref = f"{REFS}/{name}"
    commit = workspace.snapshot(made.root)
    workspace.git(made.project, "update-ref", ref, commit)
    origin = has_origin(made.project)
    try:
        if origin:
            workspace.git(made.project, "push", "--quiet", "--force", "origin", f"{ref}:{ref}")
        yield ref
    finally:
        with contextlib.suppress(WorkspaceError):
            workspace.git(made.project, "update-ref", "-d", ref)
            if origin:
                workspace.git(made.project, "push", "--quiet", "origin", f":{ref}")


def fetched(project: Path, ref: str, name: str, task: str, places: config.Places) -> Workspace:
    """The commit of a ref of this clone's origin, in a folder that keeps what stages left there before.

    Raises:
        WorkspaceError: the origin cannot be reached, or has no such ref.
    """
    workspace.git(project, "fetch", "--quiet", "--no-tags", "origin", f"+{ref}:{ref}")
    commit = workspace.git(project, "rev-parse", ref)
    workspace.git(project, "update-ref", "-d", ref)
    root = places.home / "work" / name
    (root / "dvc.lock").unlink(missing_ok=True)  # the commit's own counts
    workspace.worktree(project, root, commit)
    workspace.share_dvc(project, root, places, git=True)
    env = {**os.environ, **environment.variables(places), "PYTHONPATH": str(root)}
    return Workspace(name=name, task=task, root=root, project=project, commit=commit, env=env)


def has_origin(project: Path) -> bool:
    """Whether the project's git knows an `origin`."""
    asked = ["git", "remote", "get-url", "origin"]
    return subprocess.run(asked, cwd=project, capture_output=True, check=False).returncode == 0
