"""Files into the store and out of it: every row that is refused is named, and no row is stored twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from components import files
from components.feedback.exchange import argilla, label_studio, line
from components.feedback.exchange.line import Line, Place
from components.feedback.store import Answered, Store, StoreBusy, StoreError, StoreFull
from components.schema import Feedback, FeedbackRow, Interaction, content_id
from components.task import Task

Format = Literal["jsonl", "parquet", "argilla", "label-studio"]
READERS: dict[Format, Callable[[Path], Iterator[tuple[Place, Line | str]]]] = {
    "jsonl": line.read_jsonl,
    "parquet": line.read_parquet,
    "argilla": argilla.read,
    "label-studio": label_studio.read,
}
WRITERS: dict[Format, Callable[[Path, Sequence[FeedbackRow]], None]] = {
    "jsonl": line.write_jsonl,
    "parquet": line.write_parquet,
    "argilla": argilla.write,
    "label-studio": label_studio.write,
}
TOGETHER = 200
"""Rows in one transaction."""


@dataclass
class Imported:
    """What became of a file's rows."""

    stored: int = 0
    known: int = 0
    """Were there already: the file, or a part of it, was read before."""
    refused: list[tuple[Place, str]] = field(default_factory=list)
    """Where each stood, and why."""


def format_of(path: Path) -> Format:
    """A file's format by its name, and of a `.json` file by what its first record holds.

    Raises:
        files.DataError: it is told by neither.
    """
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return "jsonl"
        case ".parquet" | ".pq":
            return "parquet"
        case ".json" if path.exists():
            first: object = next(iter(argilla.array(path)), {})
            if isinstance(first, dict) and "data" in first:
                return "label-studio"
            if isinstance(first, dict) and "fields" in first:
                return "argilla"
    raise files.DataError(f"{path}: which format is it? Say --format {', '.join(READERS)}")


def import_file(store: Store, task: Task, path: Path, form: Format) -> Imported:
    """Read a file into the store; reading it again changes nothing.

    Answers that were not served here are kept as answers of version `imported` (or what the file says),
    under an id made of their content, so the same answer in two files is one.

    Raises:
        files.DataError: the file as a whole cannot be read.
        StoreBusy, StoreFull: nothing more can be written; what was is kept, and reading it again goes on.
    """
    if not path.exists():
        raise files.DataError(f"{path} does not exist")
    result = Imported()
    waiting: list[tuple[Place, Line | str]] = []
    for place, row in READERS[form](path):
        waiting.append((place, row))
        if len(waiting) == TOGETHER:
            _store(store, task, waiting, result)
            waiting = []
    _store(store, task, waiting, result)
    return result


def export_file(store: Store, task: str, path: Path, form: Format, after: int = 0) -> int:
    """Write a task's feedback events with number > `after` to a file; returns how many.

    Argilla and Label Studio hold what everybody says now (`line.standing`), and no marks of critical cases; the
    others every event.
    """
    rows: Sequence[FeedbackRow] = store.rows(task, after, store.latest_seq(task))
    if form in ("argilla", "label-studio"):
        rows = line.standing(rows)
    WRITERS[form](path, rows)
    return len(rows)


def _store(store: Store, task: Task, rows: Sequence[tuple[Place, Line | str]], result: Imported) -> None:
    """Some rows in one transaction; what is refused of them is named in their order."""
    refused: dict[Place, str] = {place: row for place, row in rows if isinstance(row, str)}
    try:
        _store_valid(store, task, [(place, row) for place, row in rows if isinstance(row, Line)], refused, result)
    finally:
        result.refused += [(place, refused[place]) for place, _ in rows if place in refused]


def _store_valid(
    store: Store, task: Task, rows: Iterable[tuple[Place, Line]], refused: dict[Place, str], result: Imported
) -> None:
    accepted: list[tuple[Place, Feedback]] = []
    answers: dict[str, Interaction] = {}
    now = datetime.now(UTC)
    for place, row in rows:
        problem = _wrong(task, row)
        interaction = None if problem else _answer(store, task, row, now)
        if interaction is None:
            unknown = f"no answer with id {row.interaction_id!r} was served here; give its messages and answer"
            problem = problem or unknown
        elif interaction.task != task.name:
            problem = f"the answer {interaction.id!r} is of task {interaction.task!r}, not of {task.name!r}"
        if problem or interaction is None:
            refused[place] = problem or ""
            continue
        if row.event_id is None and _said_already(store, interaction.id, row):
            result.known += 1
            continue
        answers[interaction.id] = interaction
        accepted.append((place, _event(row, interaction, now)))
    if not accepted:
        return
    failed: dict[str, str] = {}
    for interaction, error in zip(
        answers.values(), store.add_answers([Answered(one) for one in answers.values()]), strict=True
    ):
        if isinstance(error, (StoreBusy, StoreFull)):
            raise error
        if error is not None:
            failed[interaction.id] = str(error)
    good = [(place, event) for place, event in accepted if event.interaction_id not in failed]
    refused.update({p: failed[e.interaction_id] for p, e in accepted if e.interaction_id in failed})
    for (place, _), outcome in zip(good, store.add_said([[event] for _, event in good]), strict=True):
        if isinstance(outcome, (StoreBusy, StoreFull)):
            raise outcome
        if isinstance(outcome, StoreError):
            refused[place] = str(outcome)
        elif isinstance(outcome, Exception):
            raise outcome
        else:
            result.stored += outcome.new[0]
            result.known += not outcome.new[0]


def _said_already(store: Store, id: str, row: Line) -> bool:
    """Did this person say just this of the answer? Other tools' formats do not carry our events' ids.

    Nor do they say which of somebody's events a comment belongs to.
    """
    own = [event for event in store.feedback_for(id) if event.rater == row.rater]
    commented = row.comment is None or any(event.comment == row.comment for event in own)
    said = row.kind == "comment" or any((e.kind, e.correction) == (row.kind, row.correction) for e in own)
    return said and commented


def _wrong(task: Task, row: Line) -> str | None:
    if row.correction is not None and task.parse(row.correction) is None:
        return f"the correction is no valid answer of task {task.name!r}: {row.correction[:120]!r}"
    return None


def _answer(store: Store, task: Task, row: Line, now: datetime) -> Interaction | None:
    """The answer that a row speaks of: as it was served here, or as the row says."""
    known = None if row.interaction_id is None else store.interaction(row.interaction_id)
    if known is not None or row.answer is None or not row.messages:
        return known
    version = row.model_version or "imported"
    made = content_id(task.name, version, *(m.role + m.content for m in row.messages), row.answer)
    id = row.interaction_id or f"import-{made}"
    return store.interaction(id) or Interaction(
        id=id,
        created_at=row.created_at or now,
        task=task.name,
        model_version=version,
        messages=row.messages,
        answer=row.answer,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
        latency_ms=0,
        parameters={"imported": True},
    )


def _event(row: Line, of: Interaction, now: datetime) -> Feedback:
    """An event whose id is its content's, unless it has one: read again, it is the same one."""
    own = content_id("import", of.id, row.rater, row.kind, row.correction or "", row.comment or "")
    return Feedback(
        id=row.event_id or f"import-{own}",
        interaction_id=of.id,
        created_at=row.created_at or now,
        rater=row.rater,
        kind=row.kind,
        correction=row.correction,
        comment=row.comment,
    )
