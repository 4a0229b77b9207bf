"""The narrow frame that Great Expectations sees: a few short columns a row, never the messages.

With the messages in the frame the suites take thirty times as long (47 s instead of 1.5 s
for a million rows); so every check that needs the text is done here, and its outcome is a
column: a fault in words or nothing, a length, a flag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.chat import examples_ids
from components.curation.near import question, question_key
from components.quality import checks
from components.quality.language import other_language
from components.quality.lines import Line
from components.quality.overlap import nearest
from components.schema import Example
from components.task import Task

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

COLUMNS = {
    "where": "str",
    "id": "str",
    "record": "str",
    "roles": "str",
    "tokens": "float",
    "answer": "str",
    "language": "str",
    "duplicate": "str",
    "overlap": "str",
    "other_language": "float",
    "label_share": "float",
    "feedback": "float",
}
FAULTS = ("record", "roles", "answer", "language", "duplicate", "overlap")
"""Columns that hold what is wrong with the row, led by its place so that Data Docs name it; empty where nothing is."""


def frame(
    lines: Sequence[Line[Example]],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    languages: Sequence[str],
    apart_from: Mapping[str, Sequence[Line[Example]]],
    near: float,
) -> pd.DataFrame:
    """Derive the columns. `apart_from` are evaluation sets by name, which no row may be near to."""
    import pandas as pd

    rows = [line.row for line in lines if line.row is not None]
    tokens = iter(lengths(tokenizer, rows))
    overlaps = iter(_overlaps(rows, apart_from, near))
    labels = Counter(row.answer for row in rows) if task.answer == "label" else Counter[str]()
    first: dict[str, str] = {}
    records: list[dict[str, Any]] = []
    for line in lines:
        row = line.row
        record: dict[str, Any] = {"where": line.where, "id": row.id if row else None, "record": line.fault}
        if row is not None:
            same = first.setdefault(question_key(question(row)), line.where)
            foreign = _foreign(row, task, languages)
            record |= {
                "roles": checks.roles(row),
                "tokens": float(next(tokens)),
                "answer": task.fault(row.answer),
                "language": foreign,
                "duplicate": None if same == line.where else f"the same question as {same}",
                "overlap": next(overlaps),
                "other_language": float(foreign is not None),
                "label_share": labels[row.answer] / len(rows) if labels else None,
                "feedback": float(row.is_new),
            }
        for column in FAULTS:
            if record.get(column):
                record[column] = f"{line.where}: {record[column]}"
        records.append(record)
    table = pd.DataFrame(records, columns=list(COLUMNS))
    for column, kind in COLUMNS.items():
        table[column] = table[column].astype("float64" if kind == "float" else object)
    return (
        table.astype(object)
        .where(table.notna(), None)
        .astype({c: "float64" for c, k in COLUMNS.items() if k == "float"})
    )


def lengths(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Example]) -> list[int]:
    """Tokens of prompt and answer together."""
    return [len(ids) for ids, _ in examples_ids(tokenizer, [row.messages for row in rows])]


def _foreign(row: Example, task: Task, languages: Sequence[str]) -> str | None:
    texts = [question(row)] + ([row.answer] if task.answer == "text" else [])
    found = next((code for text in texts if (code := other_language(text, languages))), None)
    return None if found is None else f"looks like {found}"


def _overlaps(
    rows: Sequence[Example], apart_from: Mapping[str, Sequence[Line[Example]]], near: float
) -> list[str | None]:
    names: list[str] = []
    texts: list[str] = []
    for name, lines in apart_from.items():
        for line in lines:
            if line.row is not None:
                names.append(f"{name} ({line.where})")
                texts.append(question(line.row))
    found = nearest([question(row) for row in rows], texts, near)
    return [None if hit is None else f"near {names[hit[0]]}, similarity {hit[1]:.2f}" for hit in found]
