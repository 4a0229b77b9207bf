"""The share of corrections in what is taught."""

from __future__ import annotations

from collections import Counter

import pytest

from components.schema import Example
from components.training.mixture import mixed
from tests.components.training.conftest import rows


def _with_corrections(old: int, new: int) -> list[Example]:
    corrected = [row.model_copy(update={"source": "correction"}) for row in rows(1000, new)]
    return [*rows(count=old), *corrected]


@pytest.mark.parametrize(("old", "new", "times"), [(90, 10, 4), (50, 50, 1), (60, 20, 2)])
def test_corrections_are_repeated_as_often_as_their_share_takes_and_old_rows_never(
    old: int, new: int, times: int
) -> None:
    counts = Counter((example.id, example.source) for example in mixed(_with_corrections(old, new), 0.3))
    assert {count for (_, source), count in counts.items() if source == "task"} == {1}
    assert {count for (_, source), count in counts.items() if source == "correction"} == {times}


def test_rehearsed_corrections_are_seen_once_and_count_as_old() -> None:
    earlier = [row.model_copy(update={"source": "correction", "rehearsed": True}) for row in rows(2000, 45)]
    examples = [*_with_corrections(45, 10), *earlier]
    counts = Counter(example.id for example in mixed(examples, 0.3))
    assert {counts[example.id] for example in examples if example.is_new} == {4}
    assert {counts[example.id] for example in examples if not example.is_new} == {1}


def test_without_feedback_or_without_old_rows_nothing_changes() -> None:
    for examples in (rows(), [row.model_copy(update={"source": "correction"}) for row in rows()]):
        assert mixed(examples, 0.3) == examples


def test_a_teacher_s_rows_are_no_feedback() -> None:
    examples = [*rows(count=90), *(row.model_copy(update={"source": "teacher"}) for row in rows(1000, 10))]
    assert mixed(examples, 0.3) == examples
