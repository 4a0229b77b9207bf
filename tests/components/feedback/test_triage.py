from __future__ import annotations

from typing import Any

import pytest

from components.feedback.triage import Triage, triage
from components.schema import FeedbackRow, Message
from tests.components.feedback.conftest import NOW


def event(seq: int, kind: str = "correction", interaction: str = "c1", **changes: Any) -> FeedbackRow:
    values: dict[str, Any] = {
        "seq": seq,
        "event_id": f"e{seq}",
        "created_at": NOW,
        "rater": "ann",
        "kind": kind,
        "interaction_id": interaction,
        "model_version": "1",
        "messages": (Message(role="user", content=f"what is {interaction}?"),),
        "answer": "ham",
        "correction": "spam" if kind == "correction" else None,
    }
    return FeedbackRow.model_validate(values | changes)


def sorted_out(*events: FeedbackRow) -> Triage:
    result = triage(
        events,
        lambda answer: answer if answer in ("ham", "spam", "eggs") else None,
        lambda row: row.messages[-1].content,
    )
    fates = (
        [t.row.event_id for t in result.teach]
        + [row.event_id for row in result.review]
        + [row.id for row in result.dropped]
    )
    assert sorted(fates) == sorted(e.event_id for e in events), "every event has exactly one fate"
    return result


def taught(result: Triage) -> list[tuple[str, str]]:
    return [(t.row.event_id, t.answer) for t in result.teach]


def test_a_correction_is_taught_and_a_confirmed_answer_too() -> None:
    result = sorted_out(event(1), event(2, "thumb_up", "c2"))
    assert taught(result) == [("e1", "spam"), ("e2", "ham")]
    assert [t.corrects for t in result.teach] == [True, False]


def test_the_latest_correction_of_an_answer_counts() -> None:
    result = sorted_out(event(1), event(2, correction="eggs"), event(3, "thumb_up"))
    assert taught(result) == [("e2", "eggs")]
    assert {d.reason for d in result.dropped} == {"superseded by event 2, an event on the same answer"}


def test_a_thumb_down_without_a_correction_goes_to_review_and_with_one_does_not() -> None:
    result = sorted_out(event(1, "thumb_down"), event(2, "thumb_down", "c2"), event(3, "correction", "c2"))
    assert [row.event_id for row in result.review] == ["e1"]
    assert taught(result) == [("e3", "spam")]


def test_one_person_may_change_their_mind_but_two_who_differ_go_to_review() -> None:
    assert taught(sorted_out(event(1, "thumb_down"), event(2, "thumb_up"))) == [("e2", "ham")]
    result = sorted_out(event(1, "thumb_down", rater="bob"), event(2, "thumb_up", rater="ann"))
    assert [row.event_id for row in result.review] == ["e1"]


def test_a_comment_is_kept_out_with_its_reason() -> None:
    result = sorted_out(event(1, "comment", comment="nice"))
    assert [(d.id, d.action) for d in result.dropped] == [("e1", "dropped")]
    assert "comment" in result.dropped[0].reason


@pytest.mark.parametrize("kind", ["correction", "thumb_up"])
def test_an_answer_that_the_task_does_not_allow_is_quarantined(kind: str) -> None:
    wrong = {"correction": "bacon"} if kind == "correction" else {"answer": "bacon"}
    result = sorted_out(event(1, kind, **wrong))
    assert [d.action for d in result.dropped] == ["quarantined"]
    assert "'bacon'" in result.dropped[0].reason


def test_people_who_contradict_each_other_are_both_quarantined() -> None:
    same = (Message(role="user", content="the same question"),)
    result = sorted_out(
        event(1, messages=same, rater="ann"),
        event(2, interaction="c2", messages=same, rater="bob", correction="eggs"),
    )
    assert taught(result) == []
    assert [d.reason for d in result.dropped] == [
        "contradicts event 2 on the same question; a person must decide",
        "contradicts event 1 on the same question; a person must decide",
    ]


def test_one_persons_later_answer_to_the_same_question_counts() -> None:
    same = (Message(role="user", content="the same question"),)
    result = sorted_out(event(1, messages=same), event(2, interaction="c2", messages=same, correction="eggs"))
    assert taught(result) == [("e2", "eggs")]


def test_a_correction_outweighs_confirmations_of_another_answer() -> None:
    same = (Message(role="user", content="the same question"),)
    result = sorted_out(
        event(1, "thumb_up", messages=same, rater="bob"), event(2, interaction="c2", messages=same, rater="ann")
    )
    assert taught(result) == [("e2", "spam")]


def test_people_who_agree_are_all_kept() -> None:
    same = (Message(role="user", content="the same question"),)
    result = sorted_out(event(1, messages=same), event(2, interaction="c2", messages=same, rater="bob"))
    assert taught(result) == [("e1", "spam"), ("e2", "spam")]
