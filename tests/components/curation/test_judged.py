"""Answers judged one by one through the stage: from thumbs and from the task's own file."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from components import config, files, layout
from components.curation.__main__ import main
from components.schema import Example, FeedbackRow, Judged
from tests.components.curation.conftest import Write, correction, example, sentence
from tests.components.curation.test_pairs import brought, write
from tests.components.curation.test_pairs import read as pairs
from tests.components.curation.test_stage import dropped, own, report
from tests.components.feedback.conftest import NOW


def thumb(kind: str, text: str, answer: str = "ham", rater: str = "ann", **changes: Any) -> FeedbackRow:
    row = correction(text, rater=rater, kind=kind, correction=None, **changes)
    return row.model_copy(update={"answer": answer})


def judged(text: str, answer: str, label: bool, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "label": label, **more}


def read(name: str = "judged") -> list[Judged]:
    return files.read_rows(layout.curated("mail") / f"{name}.jsonl", Judged)


def said(name: str = "judged") -> set[tuple[str, str, bool]]:
    return {(row.prompt[-1].content, row.answer, row.desirable) for row in read(name)}


def removed() -> dict[str, tuple[str, str]]:
    """The step that removed each judged answer, and how, by the first word of its question."""
    found = {row.text.split()[0]: (row.step, row.action) for row in dropped().values() if row.action != "changed"}
    assert report()["judged"]["removed"] == len(found)
    return found


def test_thumbs_judge_the_served_answer_and_corrections_make_pairs_as_before(project: Write) -> None:
    up, down, right = (sentence(n) for n in (100, 101, 102))
    rows = [thumb("thumb_up", up), thumb("thumb_down", down, "eggs", rater="bob"), correction(right)]
    settings = project(own(5), snapshots=[rows], regression_share=0.0)
    main(settings)
    assert said() == {(up, "ham", True), (down, "eggs", False)}
    (bad,) = (row for row in read() if not row.desirable)
    assert (bad.source, bad.rater, bad.version, bad.prompt[0].content) == ("human", "bob", "1", "Label it.")
    assert [pair.prompt[-1].content for pair in pairs()] == [right]
    assert [row.event_id for row in files.read_rows(layout.curated("mail") / "review.jsonl", FeedbackRow)] == [
        rows[1].event_id
    ], "a person still looks at what was found bad"
    assert report()["judged"] | {"steps": None} == {
        "in": 2, "steps": None, "removed": 0, "out": {"judged": 2, "judged_heldout": 0}, "sources": {"human": 2},
    }  # fmt: skip
    before = files.sha256_of(layout.curated("mail"))
    main(settings)
    assert files.sha256_of(layout.curated("mail")) == before


def test_an_answer_that_people_disagree_about_in_one_turn_or_two_teaches_neither(project: Write) -> None:
    at_once = thumb("thumb_up", "once " + sentence(100))
    against = thumb("thumb_down", at_once.messages[-1].content, rater="bob", interaction_id=at_once.interaction_id)
    later = "later " + sentence(101)
    trusted = "trusted " + sentence(102)
    mind = "mind " + sentence(103)
    first = [at_once, against, *(thumb("thumb_down", text, "spam") for text in (later, trusted, mind))]
    second = [
        thumb("thumb_up", later, "spam", rater="bob"),
        thumb("thumb_up", trusted, "spam", rater="boss"),
        thumb("thumb_up", mind, "spam"),
    ]
    main(project(own(5), snapshots=[first, second], regression_share=0.0, trusted_raters=["boss"]))
    assert said() == {(trusted, "spam", True), (mind, "spam", True)}
    gone = [row for row in dropped().values() if row.text.split()[0] in ("later", "trusted", "mind")]
    assert Counter((row.text.split()[0], row.step, row.action) for row in gone) == {
        ("later", "contradictions", "quarantined"): 2,
        ("trusted", "contradictions", "quarantined"): 1,
        ("mind", "duplicates", "dropped"): 1,
    }
    assert report()["judged"]["in"] == 6


def test_a_thumb_down_that_is_corrected_later_is_in_its_pair_alone(project: Write) -> None:
    text = sentence(100)
    main(project(own(5), snapshots=[[thumb("thumb_down", text)], [correction(text)]], regression_share=0.0))
    assert (read(), len(pairs())) == ([], 1)
    (row,) = (row for row in dropped().values() if row.text == text)
    assert (row.step, row.reason) == ("duplicates", "a pair says the same of this answer")


def test_what_nobody_can_learn_from_is_dropped_with_its_reason_and_the_counts_add_up(project: Write) -> None:
    settings = project(own(10), test=[example("t", sentence(900, 30))], regression_share=0.0)
    write(
        [
            judged("good " + sentence(1), "ham", True),
            judged("wrong " + sentence(2), "eggs", False),
            judged("again " + sentence(3), "ham", True),
            judged("Again, " + sentence(3) + "!", "ham", True, rater="bob"),
            judged("label " + sentence(4), "eggs", True),
            judged("long " + sentence(5), "ham " * 900, False),
            brought("pair " + sentence(6)),
            judged("pair " + sentence(6), "ham", True),
        ]
    )
    main(settings)
    assert removed() == {
        "Again,": ("duplicates", "dropped"),
        "label": ("answers", "dropped"),
        "long": ("too long", "dropped"),
        "pair": ("contradictions", "quarantined"),
    }
    assert {text.split()[0] for text, _, _ in said()} == {"good", "wrong", "again"}
    assert [pair.prompt[-1].content.split()[0] for pair in pairs()] == ["pair"]


def test_personal_data_is_in_no_judged_answer(project: Write) -> None:
    settings = project(own(5), regression_share=0.0)
    write([judged("please write to jo@example.com about the basket by the window", "to jo@example.com", False)])
    main(settings)
    (row,) = read()
    assert row.answer == "to <EMAIL>"
    assert "example.com" not in "".join(path.read_text() for path in layout.curated("mail").iterdir())


def test_held_out_answers_are_near_nothing_that_is_taught_and_test_questions_are_never_taught(project: Write) -> None:
    taught = [example(f"near-{n}", sentence(n)) for n in range(200, 240)]
    rows = [thumb("thumb_down", sentence(n).upper(), "eggs") for n in range(200, 240)]
    rows += [thumb("thumb_down", sentence(n), "eggs") for n in range(300, 340)]
    asked_in_test = thumb("thumb_down", sentence(900, 30) + " !", "eggs")
    settings = project([*own(5), *taught], test=[example("t", sentence(900, 30))], snapshots=[[*rows, asked_in_test]])
    main(settings.model_copy(update={"train": settings.train.model_copy(update={"replay": 100})}))
    learned = {row.question for row in files.read_rows(layout.curated("mail") / "train.jsonl", Example)}
    assert set(map(sentence, range(200, 240))) <= learned
    held = {text for text, _, _ in said("judged_heldout")}
    assert asked_in_test.messages[-1].content in held
    assert {text.lower() for text in held}.isdisjoint(learned)
    assert 5 < len(held) < 30
    given_away = [row for row in dropped().values() if row.step == "sides"]
    assert 3 < len(given_away) < 25
    assert len(held) + len(read()) + len(given_away) == 81


def test_a_burst_of_thumbs_down_is_quarantined_and_one_person_gives_no_more_than_the_share(project: Write) -> None:
    def down(number: int, rater: str, seconds: float) -> FeedbackRow:
        at = NOW + timedelta(seconds=seconds)
        return thumb("thumb_down", sentence(number), "eggs", rater=rater, created_at=at)

    rows = [down(100 + n, "mallory", n / 10) for n in range(40)]
    rows += [down(200 + n, "bob", 60.0 * n) for n in range(30)] + [down(300 + n, "ann", 60.0 * n) for n in range(10)]
    trust = {"burst_events": 20, "burst_seconds": 10}
    main(project(own(5), snapshots=[rows], regression_share=0.0, trust=trust, rater_free=5))
    assert Counter(row.rater for row in read()) == {"ann": 10, "bob": 10}
    steps = report()["judged"]["steps"]
    assert (steps["suspicion"]["quarantined"], steps["rater cap"]["dropped"]) == (40, 20)
    assert "rater bob gave 30 of 40 judged answers; at most 10 may be taught" in {r.reason for r in dropped().values()}
    assert report()["feedback"]["out"]["review"] == 80, "a person looks at all of them"


def test_a_file_of_judged_answers_alone_is_enough(project: Write) -> None:
    settings: config.Settings = project(own(5), regression_share=0.0)
    own_form = json.loads(json.dumps(judged(sentence(1), "ham", True, source="ai", rater="judge", version="3")))
    write([own_form, {"prompt": sentence(2), "completion": "eggs", "label": False}])
    main(settings)
    assert [(row.desirable, row.source, row.rater, row.version) for row in read()] == [
        (True, "ai", "judge", "3"),
        (False, "human", "imported", None),
    ]
    assert report()["pairs"]["not understood"] == []
    assert report()["judged"]["sources"] == {"ai": 1, "human": 1}
