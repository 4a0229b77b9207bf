"""Exact and near duplicates among the task's own rows; the first of them stays."""

from __future__ import annotations

from collections.abc import Sequence

from components.curation.near import NearIndex, question, question_key
from components.schema import Dropped, Example

STEP = "duplicates"


def without_duplicates(rows: Sequence[Example], near: float, any_answer: bool) -> tuple[list[Example], list[Dropped]]:
    """Keep the first of each question.

    Two questions that differ in a word or two but have different answers ("for three days",
    "for four days") are a lesson, not a duplicate; `any_answer` says that answers are free text
    and so never decide.
    """
    kept: list[Example] = []
    dropped: list[Dropped] = []
    by_id: dict[str, Example] = {}
    by_key: dict[str, Example] = {}
    index = NearIndex(near)
    for position, row in enumerate(rows):
        text = question(row)
        same = by_key.get(question_key(text))
        reason = None
        if same is not None:
            agrees = same.answer == row.answer
            reason = f"the same question as row {same.id}" + ("" if agrees else ", with another answer")
        else:
            for name, similarity in index.matches(text):
                if any_answer or by_id[name].answer == row.answer:
                    reason = f"a near-duplicate of row {by_id[name].id} (similarity {similarity:.2f})"
                    break
        if reason is not None:
            dropped.append(Dropped(id=row.id, step=STEP, action="dropped", reason=reason, text=row.question))
            continue
        name = str(position)
        by_id[name] = by_key[question_key(text)] = row
        index.add(name, text)
        kept.append(row)
    return kept, dropped
