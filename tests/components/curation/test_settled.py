from __future__ import annotations

from components.curation.settled import Body
from components.feedback.triage import Teaching
from components.schema import FeedbackRow
from tests.components.curation.conftest import correction, sentence

LONG = sentence(1, 30)


def teach(row: FeedbackRow) -> tuple[Teaching, str]:
    text = row.messages[-1].content
    return Teaching(row, row.correction or row.answer, text), text


def test_the_same_answer_again_is_a_duplicate() -> None:
    body = Body(0.8, any_answer=False)
    body.settle([teach(correction(LONG))], 1)
    kept, dropped = body.settle([teach(correction(LONG, rater="bob"))], 2)
    assert (kept, len(dropped)) == ([], 1)
    assert "says the same as event" in dropped[0].reason


def test_a_near_duplicate_with_the_same_answer_is_dropped_and_with_another_is_a_lesson() -> None:
    near = LONG.replace(LONG.split()[-1], "other")
    body = Body(0.8, any_answer=False)
    body.settle([teach(correction(LONG))], 1)
    kept, dropped = body.settle([teach(correction(near))], 1)
    assert (len(kept), len(dropped)) == (0, 1)
    kept, dropped = body.settle([teach(correction(near, "ham"))], 1)
    assert (len(kept), len(dropped)) == (1, 0)


def test_in_free_text_a_near_duplicate_is_one_whatever_its_answer() -> None:
    body = Body(0.8, any_answer=True)
    near = LONG.replace(LONG.split()[-1], "other")
    body.settle([teach(correction(LONG, "one"))], 1)
    assert body.settle([teach(correction(near, "two"))], 1)[0] == []


def test_a_persons_later_correction_replaces_their_earlier_one() -> None:
    body = Body(0.8, any_answer=False)
    first = correction(LONG, "spam")
    body.settle([teach(first)], 1)
    kept, _ = body.settle([teach(correction(LONG, "ham"))], 2)
    assert [row.answer for row in body.rows()] == ["ham"]
    assert [record.id for record in body.superseded(kept)] == [first.event_id]


def test_somebody_else_cannot_undo_what_was_taught() -> None:
    body = Body(0.8, any_answer=False)
    body.settle([teach(correction(LONG, "spam"))], 1)
    kept, dropped = body.settle([teach(correction(LONG, "ham", rater="mallory"))], 2)
    assert kept == []
    assert dropped[0].action == "quarantined"
    assert [row.answer for row in body.rows()] == ["spam"]


def test_somebody_else_may_correct_the_same_served_answer() -> None:
    body = Body(0.8, any_answer=False)
    first = correction(LONG, "spam")
    body.settle([teach(first)], 1)
    edit = correction(LONG, "ham", rater="reviewer", interaction_id=first.interaction_id)
    body.settle([teach(edit)], 2)
    assert [row.answer for row in body.rows()] == ["ham"]


def test_a_row_that_is_not_used_after_all_gives_its_place_back() -> None:
    body = Body(0.8, any_answer=False)
    first = correction(LONG, "spam")
    body.settle([teach(first)], 1)
    kept, _ = body.settle([teach(correction(LONG, "ham"))], 2)
    body.forget(kept[0])
    assert [row.row.event_id for row in body.rows()] == [first.event_id]
