"""Critical cases on their way through curation: tested on whichever side they stand, and never lost silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components import files, layout
from components.curation.__main__ import main
from components.curation.critical import DISLIKED, UNSAID
from components.schema import Example, FeedbackRow
from tests.components.curation.conftest import Write, correction, example, sentence


def read(name: str) -> list[Example]:
    return files.read_rows(layout.curated("mail") / f"{name}.jsonl", Example)


def report() -> dict[str, Any]:
    return dict(json.loads(Path("reports/mail/curation.json").read_text())["critical"])


def own() -> list[Example]:
    return [example(f"own-{n}", sentence(n)) for n in range(10)]


def about(row: FeedbackRow, kind: str, rater: str = "rev", **changes: Any) -> FeedbackRow:
    """Another event on the same served answer."""
    values: dict[str, Any] = {"interaction_id": row.interaction_id, "kind": kind, "correction": None, "rater": rater}
    return correction(row.messages[0].content, **(values | changes))


@pytest.mark.parametrize(("share", "usual"), [(0.0, "train"), (0.999, "target")])
def test_a_marked_case_is_critical_whether_taught_or_locked_and_stays_in_its_file(
    project: Write, share: float, usual: str
) -> None:
    said, other = correction(sentence(100)), correction(sentence(101))
    main(project(own(), snapshots=[[said, other, about(said, "critical")]], regression_share=share))
    (case,) = read("critical")
    assert (case.id, case.answer, case.source, case.critical) == (said.event_id, "spam", "correction", True)
    assert {said.event_id, other.event_id} <= {row.id for row in read(usual)}
    (same,) = [row for row in read(usual) if row.id == case.id]
    assert same == case.model_copy(update={"critical": False})
    assert report() == {"marked": 1, "cases": 1, "without_answer": [], "contradicted": []}
    lines = (layout.curated("mail") / f"{usual}.jsonl").read_text()
    assert '"critical"' not in lines
    assert '"critical":true' in (layout.curated("mail") / "critical.jsonl").read_text()


def test_a_confirmed_answer_can_be_critical_and_a_mark_may_come_before_the_right_answer(project: Write) -> None:
    served = correction(sentence(100))
    snapshots = [[about(served, "critical")], [about(served, "thumb_up", rater="ann")]]
    settings = project(own(), snapshots=snapshots[:1])
    main(settings)
    assert read("critical") == []
    assert [row["reason"] for row in report()["without_answer"]] == [UNSAID]
    main(project(own(), snapshots=snapshots))
    assert [(row.source, row.answer) for row in read("critical")] == [("confirmed", "ham")]


def test_a_mark_counts_in_every_later_turn_until_it_is_taken_back_and_follows_the_answer_that_counts(
    project: Write,
) -> None:
    said = correction(sentence(100))
    first = [said, about(said, "critical")]
    second = [about(said, "correction", rater="ann", correction="ham")]
    third = [about(said, "not_critical", rater="boss")]
    main(project(own(), snapshots=[first, second]))
    assert [row.answer for row in read("critical")] == ["ham"]
    main(project(own(), snapshots=[first, second, third]))
    assert read("critical") == []
    assert report()["marked"] == 0
    main(project(own(), snapshots=[first, second, third, [about(said, "critical")]]))
    assert [row.answer for row in read("critical")] == ["ham"]


def test_marks_on_two_answers_to_one_question_are_one_case(project: Write) -> None:
    text = sentence(100, 30)
    said, again = correction(text), correction(text.upper(), rater="bob")
    near = correction(f"{text} please", rater="cid")
    marks = [about(row, "critical") for row in (said, again, near)]
    main(project(own(), snapshots=[[said, again, near, *marks]]))
    assert [row.id for row in read("critical")] == [said.event_id]
    assert (report()["marked"], report()["cases"]) == (3, 1)


def test_marks_without_a_right_answer_are_reported_with_the_reason(
    project: Write, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = correction(sentence(100)), correction(sentence(100), answer="ham", rater="bob")
    disliked, invalid = correction(sentence(101)), correction(sentence(102), answer="eggs")
    rows = [one, other, about(disliked, "thumb_down"), invalid]
    marks = [about(row, "critical") for row in (one, disliked, invalid)]
    main(project(own(), snapshots=[[*rows, *marks]]))
    assert read("critical") == []
    found = {row["interaction_id"]: row for row in report()["without_answer"]}
    assert set(found) == {one.interaction_id, disliked.interaction_id, invalid.interaction_id}
    assert "contradicts event" in found[one.interaction_id]["reason"]
    assert found[disliked.interaction_id]["reason"] == DISLIKED
    assert "no valid answer of this task" in found[invalid.interaction_id]["reason"]
    assert all(row["marked_by"] == "rev" for row in found.values())
    assert caplog.text.count("is marked critical by rev but cannot be tested") == 3


def test_somebody_who_contradicts_a_settled_case_does_not_take_it_out_but_is_reported(project: Write) -> None:
    said, served_later = correction(sentence(100)), correction(sentence(100), answer="ham", rater="eve")
    second = [served_later, about(said, "critical"), about(served_later, "critical")]
    main(project(own(), snapshots=[[said], second]))
    assert [(row.id, row.answer) for row in read("critical")] == [(said.event_id, "spam")]
    (doubt,) = report()["contradicted"]
    assert doubt["interaction_id"] == served_later.interaction_id
    assert f"contradicts event {said.seq}" in doubt["reason"]


def test_a_mark_changes_nothing_of_what_is_taught_and_the_counts_add_up(project: Write) -> None:
    rows = [correction(sentence(n)) for n in range(100, 120)]
    main(project(own(), snapshots=[rows]))
    before = {name: read(name) for name in ("train", "target", "replay")}
    main(project(own(), snapshots=[[*rows, *(about(row, "critical") for row in rows[:3])]]))
    assert {name: read(name) for name in before} == before
    counts = json.loads(Path("reports/mail/curation.json").read_text())
    assert counts["feedback"]["out"]["marks"] == 3
    assert counts["files"]["critical"] == 3
