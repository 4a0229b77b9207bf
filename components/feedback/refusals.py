"""What is kept of a turn's refusal: what would change it, and what was there then.

Whether that has come is asked in `components.feedback.unserved`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from components import config, layout
from components.config import Settings
from components.schema import Need, Record
from components.task import parameters


class OwnRows(Record):
    """A task's own rows, as far as they decide which rows are held out."""

    sha256: str
    """Of the task's files, the sizes of its sets and the rows held back for replay."""
    rows: int | None = None
    """Lines of examples.jsonl; None where a generator writes the rows."""


class Refusal(Record):
    """Stored with the turn when it is closed."""

    needs: tuple[Need, ...] = ()
    own_rows: OwnRows | None = None
    """The user's rows when the turn began or was resumed; more of them let it run again."""


def own_rows(root: Path, task: str, settings: Settings | None = None) -> OwnRows:
    """The task's own rows under `root` now: cheap enough to be asked every few seconds.

    Args:
        settings: of the task, where they are at hand.

    Raises:
        ConfigError, TaskError: the task's parameters or its task.yaml are impossible.
    """
    settings = settings or config.parse(parameters(task, root))
    folder = root / layout.task_folder(task)
    examples = folder / "examples.jsonl"
    there = [file for file in (examples, folder / "task.yaml", *sorted(folder.rglob("*.py"))) if file.is_file()]
    sizes = f"{settings.examples.model_dump_json()} {settings.curate.replay_rows} {settings.seed}"
    digest = hashlib.sha256(sizes.encode())
    for file in there:
        digest.update(f"{file.relative_to(folder).as_posix()} {_content(file).sha256}\n".encode())
    counted = examples.is_file() and not (folder / "generator.py").exists()
    return OwnRows(sha256=digest.hexdigest(), rows=_content(examples).rows if counted else None)


def _content(file: Path) -> OwnRows:
    now = file.stat()
    return _read(file, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=1000)
def _read(file: Path, changed: int, size: int) -> OwnRows:
    """Digest and lines of a file; read again only where its time or size is another."""
    digest, rows = hashlib.sha256(), 0
    with file.open("rb") as lines:
        for line in lines:
            digest.update(line)
            rows += bool(line.strip())
    return OwnRows(sha256=digest.hexdigest(), rows=rows)
