"""A file of records line by line, the broken ones with their fault, so that all of them can be named at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from components.files import DataError
from components.schema import Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Line(Generic[R]):
    """One line of a file: a record, or why it is none."""

    where: str
    row: R | None
    fault: str | None


def read_lines(path: Path, kind: type[R]) -> list[Line[R]]:
    """Every line of a file.

    Raises:
        DataError: there is no such file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: run the stage that makes it (dvc repro curate)") from None
    lines: list[Line[R]] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            lines.append(Line(where, kind.model_validate_json(line), None))
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(str(part) for part in first["loc"])
            lines.append(Line(where, None, f"{at + ': ' if at else ''}{first['msg']}"[:200]))
    return lines
