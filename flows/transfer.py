"""What goes between two clones of a project by DVC's remote: outputs, and the record of how a stage made them.

The record is DVC's run cache. A stage that ran elsewhere is in it under its command, inputs and parameters, so the
next `dvc repro` of the same stage here takes its outputs and writes dvc.lock as if it had run here.

DVC looks for stages in the folder that its process works in. So each transfer is a process of its own in the
workspace: `python -m flows.transfer WHAT STAGE…`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.stage import StageError

NOT_THERE = 3
"""Exit code of `made_before` and `made_elsewhere` for no."""


def push(root: Path, stages: Sequence[str]) -> None:
    """Send the outputs of stages to the remote.

    Raises:
        StageError: there is no remote, or it cannot be written.
    """
    _run(root, "push", stages)


def push_made(root: Path, stage: str) -> None:
    """Send the outputs of a stage to the remote, and how they were made.

    Raises:
        StageError: as `push`.
    """
    _run(root, "push_made", [stage])


def pull(root: Path, stages: Sequence[str]) -> None:
    """Put the outputs of stages, as dvc.lock names them, in place.

    Raises:
        StageError: there is no remote, or it does not hold them.
    """
    _run(root, "pull", stages)


def made_before(root: Path, stage: str) -> bool:
    """Whether the stage has been run here with these very inputs: its outputs are in the cache.

    Raises:
        StageError: DVC's own line.
    """
    return _run(root, "made_before", [stage])


def made_elsewhere(root: Path, stage: str) -> bool:
    """Whether somebody who ran the stage with these very inputs sent what it made: then it is in the cache now.

    Raises:
        StageError: there is no remote, or it cannot be read.
    """
    return _run(root, "made_elsewhere", [stage])


def check_remote(root: Path) -> None:
    """Whether the project's DVC remote is one that others see, too.

    Raises:
        StageError: there is none, or it is a folder inside this clone.
    """
    with _repository(root) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            raise StageError("no DVC remote is set: dvc remote add -d NAME URL (a shared folder, s3://…, ssh://…)")
        url = str(repo.config["remote"][name]["url"])
        if "://" not in url and (root / ".dvc" / url).resolve().is_relative_to(root):
            raise StageError(
                f"the DVC remote {name} is a folder of this clone ({url}), where others put nothing: "
                f"dvc remote modify --local {name} url URL (a shared folder, s3://…, ssh://…)"
            )


def _run(root: Path, what: str, stages: Sequence[str]) -> bool:
    if not stages:
        return True
    done = subprocess.run(
        [sys.executable, "-m", "flows.transfer", what, *stages],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, NOT_THERE):
        said = done.stderr.strip().splitlines()
        raise StageError(said[-1] if said else f"DVC in {root}: {what} was killed (exit {done.returncode})")
    return done.returncode == 0


@contextmanager
def _repository(root: Path) -> Iterator[Any]:
    """DVC at `root`; what it refuses is one line.

    Raises:
        StageError: that line.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except (DvcException, OSError) as error:
        raise StageError(f"DVC in {root}: {' '.join(str(error).split())}") from error


def main(what: str, stages: list[str]) -> int:
    """Do it in the folder that this process works in; the exit code."""
    from dvc.stage.cache import RunCacheNotFoundError

    with _repository(Path.cwd()) as repo:
        if what in ("push", "push_made"):
            repo.push(targets=stages, run_cache=what == "push_made")
        elif what == "pull":
            repo.pull(targets=stages, force=True)
        else:
            remote = what == "made_elsewhere"
            with repo.lock:
                if remote:
                    repo.stage_cache.pull(None)
                try:
                    repo.stage_cache.restore(repo.stage.load_one(name=stages[0]), run_cache=True, pull=remote)
                except RunCacheNotFoundError:
                    return NOT_THERE
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except StageError as error:
        sys.exit(str(error))
