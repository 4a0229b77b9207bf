"""The narrow frame of judged answers: what is wrong with each, in words, and how long it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.chat import examples_ids
from components.curation.near import asked, question_key
from components.quality.lines import Line
from components.quality.overlap import nearest
from components.quality.pairs import narrow, roles
from components.schema import Judged, Message, Preference
from components.task import Task

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

FAULTS = ("record", "roles", "answer", "decided", "overlap")
COLUMNS = ("where", "id", *FAULTS, "tokens")
Said = tuple[tuple[str, str], bool]
"""Question and answer, and whether that answer is desirable."""


def frame_of_judged(
    lines: Sequence[Line[Judged]],
    pairs: Sequence[Line[Preference]],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    tested: Sequence[tuple[str, str]],
    near: float,
) -> pd.DataFrame:
    """Derive the columns. `pairs` judge answers as well, and none may say the opposite; `tested` are (place, question)
    of everything that no answer's prompt may be near to."""
    rows = [line.row for line in lines if line.row is not None]
    whole = [(*row.prompt, Message(role="assistant", content=row.answer)) for row in rows]
    tokens = [len(ids) for ids, _ in examples_ids(tokenizer, whole)]
    near_to = nearest([asked(row.prompt) for row in rows], [question for _, question in tested], near)
    found = iter(zip(tokens, near_to, strict=True))
    said: dict[Said, str] = {}
    for pair in pairs:
        said |= dict.fromkeys(_both(pair.row), pair.where) if pair.row is not None else {}
    said |= {_said(line.row): line.where for line in lines if line.row is not None}
    records: list[dict[str, Any]] = []
    for line in lines:
        row = line.row
        record: dict[str, Any] = dict.fromkeys(COLUMNS)
        record |= {"where": line.where, "record": line.fault}
        if row is not None:
            count, hit = next(found)
            about, desirable = _said(row)
            opposite = said.get((about, not desirable))
            record |= {
                "id": row.id,
                "roles": roles(row.prompt),
                "answer": _answer(row, task),
                "decided": f"{opposite} says the opposite of the same answer" if opposite else None,
                "overlap": None if hit is None else f"near {tested[hit[0]][0]}, similarity {hit[1]:.2f}",
                "tokens": float(count),
            }
        records.append(record)
    return narrow(records, COLUMNS, FAULTS)


def _said(row: Judged) -> Said:
    return (question_key(asked(row.prompt)), row.answer), row.desirable


def _both(pair: Preference) -> tuple[Said, Said]:
    question = question_key(asked(pair.prompt))
    return ((question, pair.chosen), True), ((question, pair.rejected), False)


def _answer(row: Judged, task: Task) -> str | None:
    """A desirable answer is one that the task allows; another one may be wrong in any way but silence."""
    if not row.answer.strip():
        return "the answer is empty"
    if row.desirable and task.parse(row.answer) is None:
        return f"{row.answer[:60]!r} is called desirable and is no answer of this task"
    return None
