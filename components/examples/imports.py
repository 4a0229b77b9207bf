"""Reading the examples that a user brings, in whatever of the usual formats they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from components.examples.formats import alpaca, openai_messages, pairs, reading, sharegpt, table
from components.examples.formats.records import Imported, Record, Skipped, Unusable, kind_of
from components.examples.preferences import holds_judgements
from components.examples.preferences import read as read_pairs
from components.files import DataError
from components.schema import Example

FORMATS: tuple[ModuleType, ...] = (openai_messages, sharegpt, alpaca, pairs)
_LOOKED_AT = 200
"""Records that decide the format."""


def read(path: Path, prompt_column: str | None = None, answer_column: str | None = None) -> Imported:
    """Read a file of examples: OpenAI messages, ShareGPT, Alpaca, prompt/completion (JSON Lines or
    one JSON array), CSV or TSV; or of preference pairs and judged answers, whose chosen and good answers are the
    examples. The format is found by looking at the content.

    `prompt_column` and `answer_column` name columns of a table, or keys of JSON objects.

    Raises:
        DataError: the file cannot be read, is in none of the formats, or none of its rows is usable.
    """
    reading.check(path)
    if prompt_column is None and answer_column is None and holds_judgements(path):
        imported = read_pairs(path).imported
    elif is_json(path):
        imported = _read_json(path, prompt_column, answer_column)
    else:
        imported = table.read(path, prompt_column, answer_column)
    if not imported.examples:
        why = f"; first: {imported.skipped[0]}" if imported.skipped else ""
        if imported.judged:
            why += "; there is no good answer to learn from"
        rows = len(imported.skipped) + len(imported.judged)
        raise DataError(f"{path}: none of its {rows} rows is usable as {imported.format}{why}")
    return imported


def is_json(path: Path) -> bool:
    """JSON by its name, or by its first character that is none of a table's."""
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        return True
    if path.suffix.lower() in (".csv", ".tsv"):
        return False
    first = next((item[1] for item in reading.lines(path) if not isinstance(item, Skipped) and item[1].strip()), "")
    return first.lstrip().startswith(("{", "["))


def _read_json(path: Path, prompt_key: str | None, answer_key: str | None) -> Imported:
    if (prompt_key is None) != (answer_key is None):
        raise DataError(f"{path}: give both --prompt-column and --answer-column")
    array = reading.is_array(path)
    where = "a JSON array" if array else "JSON lines"
    records: Iterable[Record | Skipped] = reading.json_array(path) if array else reading.json_lines(path)
    if prompt_key is not None:
        return _as(pairs, records, where, lambda value: pairs.read(value, prompt_key, answer_key))
    head = list(islice(iter(records), _LOOKED_AT)) if array else list(islice(reading.json_lines(path), _LOOKED_AT))
    format_ = _format(path, head)
    records = reading.json_array(path) if array else reading.json_lines(path)
    return _as(format_, records, where, format_.read)


def _format(path: Path, head: list[Record | Skipped]) -> ModuleType:
    """The format of most records."""
    found = [record for record in head if isinstance(record, Record)]
    if not found and reading.is_one_object(path):
        raise DataError(
            f"{path} is one JSON object over several lines: bring an array of objects, or one object a line"
        )
    if not found:
        raise DataError(f"{path}: no line holds a JSON object; first: {head[0] if head else 'nothing'}")
    votes = Counter(
        next((i for i, f in enumerate(FORMATS) if f.matches(record.value)), len(FORMATS)) for record in found
    )
    votes.pop(len(FORMATS), None)
    if not votes:
        keys = ", ".join(list(map(str, found[0].value))[:12]) or "none"
        raise DataError(
            f"{path}, line {found[0].line}: no known format; its keys are {keys}. Known: messages (OpenAI), "
            "conversations (ShareGPT), instruction/output (Alpaca), prompt/completion; or name keys with "
            "--prompt-column and --answer-column"
        )
    return FORMATS[min(votes, key=lambda i: (-votes[i], i))]


def _as(
    format_: ModuleType, records: Iterable[Record | Skipped], where: str, convert: Callable[[dict[str, Any]], Example]
) -> Imported:
    examples: list[Example] = []
    skipped: list[Skipped] = []
    notes: list[str] = []
    unused: Counter[str] = Counter()
    mended: Counter[str] = Counter()
    for record in records:
        if isinstance(record, Skipped):
            skipped.append(record)
            continue
        try:
            if format_ is not pairs and not format_.matches(record.value):
                held = ", ".join(f"{key} ({kind_of(value)})" for key, value in islice(record.value.items(), 12))
                raise Unusable(f"not {format_.NAME} like the others; it holds {held or 'nothing'}")
            examples.append(convert(record.value))
            mended[record.mended] += 1
            unused.update(
                key for key in ("rejected", "chosen", "label") if key in record.value and format_ is not pairs
            )
        except Unusable as error:
            skipped.append(Skipped(record.line, str(error)))
    if unused["chosen"] and format_ is sharegpt:
        notes.append("preference data: the chosen answer is taken, the rejected one is not used")
    notes += [f"{what} was passed over, {count} times" for what, count in mended.items() if what]
    return Imported(tuple(examples), f"{format_.NAME} ({where})", tuple(skipped), tuple(notes))
