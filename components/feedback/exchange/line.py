"""What one row of an exchanged file is, and how our own JSON lines and Parquet hold it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from components import files
from components.schema import MARKS, FeedbackKind, FeedbackRow, Message, Record


class Line(Record):
    """What one person said of one answer, with the answer, so that it can be read without our store.

    For an answer that was served here `interaction_id` is enough; else `messages` and `answer` say what it was.
    """

    kind: FeedbackKind
    rater: str = Field(min_length=1, max_length=200)
    correction: str | None = None
    comment: str | None = None
    event_id: str | None = Field(None, min_length=1, max_length=190)
    created_at: datetime | None = None
    interaction_id: str | None = Field(None, min_length=1, max_length=190)
    model_version: str | None = Field(None, max_length=100)
    messages: tuple[Message, ...] = ()
    answer: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Line:
        if self.kind == "correction" and not (self.correction or "").strip():
            raise ValueError("kind correction needs the right answer in `correction`")
        if self.kind != "correction" and self.correction is not None:
            raise ValueError(f"a right answer goes with kind correction, not with {self.kind}")
        if self.kind == "comment" and not self.comment:
            raise ValueError("kind comment needs its text in `comment`")
        if self.interaction_id is None and (self.answer is None or not any(m.role == "user" for m in self.messages)):
            raise ValueError("name an answer served here in `interaction_id`, or give `messages` and `answer`")
        return self


Place = str
"""Where in a file a row stands, in words: `line 7`, `record 'x', response 2`."""


def line_of(row: FeedbackRow) -> Line:
    """An event as it is exported."""
    values = row.model_dump(exclude={"seq"})
    return Line.model_validate(values)


def problem_of(error: ValidationError | ValueError) -> str:
    """The first thing that is wrong, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"


def parsed(place: Place, values: Any) -> tuple[Place, Line | str]:
    """A row, or what is wrong with it."""
    try:
        if not isinstance(values, dict):
            raise ValueError("a row must be an object")
        return place, Line.model_validate(values, strict=False)
    except (ValidationError, ValueError) as error:
        return place, problem_of(error)


def joined(rows: Iterable[tuple[Place, dict[str, Any]]]) -> Iterator[tuple[Place, Line | str]]:
    """Rows that were given together: a comment beside somebody's correction or thumb is that event's, as it is here.

    Other tools ask for each by itself; what is left over of comments are events of their own.
    """
    rows = list(rows)
    speaks: dict[str, dict[str, Any]] = {}
    for kind in ("thumb_up", "thumb_down", "correction"):
        speaks |= {values["rater"]: values for _, values in rows if values["kind"] == kind}
    kept = []
    for place, values in rows:
        event, text = speaks.get(values["rater"]), values.get("comment")
        if values["kind"] == "comment" and event is not None and "comment" not in event and isinstance(text, str):
            event["comment"] = text
        else:
            kept.append((place, values))
    yield from (parsed(place, values) for place, values in kept)


def standing(rows: Sequence[FeedbackRow]) -> list[FeedbackRow]:
    """What everybody says now: of one person's thumbs and of their corrections of an answer the last, and each comment.

    Tools that ask each person each question once can hold no more, and have no question for critical cases.
    """
    last: dict[tuple[str, ...], FeedbackRow] = {}
    for row in rows:
        if row.kind in MARKS:
            continue
        question = "right" if row.kind in ("thumb_up", "thumb_down") else row.kind
        said = (row.comment or "",) if row.kind == "comment" else ()
        key = (row.interaction_id, row.rater, question, *said)
        last.pop(key, None)
        last[key] = row
    return list(last.values())


def read_jsonl(path: Path) -> Iterator[tuple[Place, Line | str]]:
    """One row a line; blank lines are none."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except ValueError as error:
                yield f"line {number}", f"not valid JSON: {error}"
                continue
            yield parsed(f"line {number}", values)


def write_jsonl(path: Path, rows: Sequence[FeedbackRow]) -> None:
    """One row a line."""
    files.write_rows(path, map(line_of, rows))


def read_parquet(path: Path) -> Iterator[tuple[Place, Line | str]]:
    """One row a row; columns that are null are left out.

    Raises:
        files.DataError: it is no Parquet file.
    """
    import pyarrow.parquet

    try:
        content = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise files.DataError(f"{path} is no Parquet file: {' '.join(str(error).split())}") from None
    number = 0
    with content:
        for batch in content.iter_batches(1000):
            for values in batch.to_pylist():
                number += 1
                yield parsed(f"row {number}", {key: value for key, value in values.items() if value is not None})


def write_parquet(path: Path, rows: Sequence[FeedbackRow]) -> None:
    """A column a field, `messages` a list of structs."""
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    message = pyarrow.struct([("role", text), ("content", text)])
    kinds = {"created_at": pyarrow.timestamp("us", "UTC"), "messages": pyarrow.list_(message)}
    schema = pyarrow.schema([(name, kinds.get(name, text)) for name in Line.model_fields])
    table = pyarrow.Table.from_pylist([line_of(row).model_dump() for row in rows], schema=schema)
    with files.replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
