"""The stage on real files, from rows to the folder that training reads."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components import config, files, layout, stage
from components.curation.__main__ import main
from components.curation.ledger import Ledger
from components.curation.near import NearIndex
from components.curation.sources import share_of_teachers
from components.schema import Dropped, Example, FeedbackRow, Preference
from components.sentences import say
from tests.components.curation.conftest import Write, correction, example, sentence
from tests.components.feedback.conftest import NOW


def read(name: str) -> list[Example]:
    return files.read_rows(layout.curated("mail") / f"{name}.jsonl", Example)


def dropped() -> dict[str, Dropped]:
    return {row.id: row for row in files.read_rows(layout.curated("mail") / "dropped.jsonl", Dropped)}


def report() -> dict[str, Any]:
    return json.loads(Path("reports/mail/curation.json").read_text())  # type: ignore[no-any-return]


def own(count: int, start: int = 0) -> list[Example]:
    return [example(f"own-{n}", sentence(n), "ham" if n % 2 else "spam") for n in range(start, start + count)]


def test_the_first_version_is_taught_all_own_rows(project: Write) -> None:
    main(project(own(20)))
    assert [row.id for row in read("train")] == [f"own-{n}" for n in range(20)]
    assert read("target") == read("regression") == []
    assert report()["own"]["out"] == {"train": 20, "replay": 0, "tuning": 0, "not_sampled": 0}


def test_a_teacher_s_rows_are_taught_counted_and_never_held_back_to_test_with(project: Write) -> None:
    by = {"source": "teacher", "rater": "ai:big"}
    near = [example(f"near-{n}", f"{sentence(n)} please", "spam" if n % 2 else "ham", **by) for n in range(40)]
    far = [example(f"far-{n}", sentence(n), **by) for n in range(300, 310)]
    main(project([*own(40), *near, *far], replay_rows=8))
    replay, train = read("replay"), read("train")
    assert len(replay) == 8
    assert {row.source for row in replay} == {"task"}
    leaked = {f"near-{row.id.removeprefix('own-')}" for row in replay}
    assert {row.id for row in train if row.source == "teacher"} == {row.id for row in (*near, *far)} - leaked
    assert all(dropped()[id].reason.startswith("a teacher's, and a near-duplicate of rows held back") for id in leaked)
    assert report()["taught"] == {"sources": {"task": 32, "teacher": 42}, "teachers": {"ai:big": 42}}
    said = share_of_teachers(report())
    assert said == "42 of 74 taught rows (57%) were answered by a teacher (ai:big); none of them is a test"
    main(project(own(20)))
    assert share_of_teachers(report()) is None


def test_a_turn_teaches_feedback_beside_a_sample_of_old_rows(project: Write) -> None:
    snapshots = [[correction(sentence(n)) for n in range(100, 140)]]
    main(project(own(20), snapshots=snapshots))
    train = read("train")
    taught = [row for row in train if row.source == "correction"]
    assert len(train) - len(taught) == 5
    assert len(taught) + len(read("target")) == 40
    assert 0 < len(read("target")) < 20
    assert all(row.answer == "spam" and row.rater == "ann" for row in taught)
    assert {row.id for row in train} & {row.id for row in read("target")} == set()


def test_last_turns_locked_rows_are_the_target_and_earlier_ones_the_regression_set(project: Write) -> None:
    first = [correction(sentence(n)) for n in range(100, 140)]
    second = [correction(sentence(n)) for n in range(200, 240)]
    settings = project(own(20), snapshots=[first], replay=100)
    main(settings)
    locked_before, taught_before = {r.id for r in read("target")}, {r.id for r in read("train") if r.source != "task"}
    settings = project(own(20), snapshots=[first, second], replay=100)
    main(settings)
    assert {row.id for row in read("regression")} == locked_before
    assert {row.id for row in read("target")} <= {row.event_id for row in second}
    assert taught_before <= {row.id for row in read("train")}


def test_locked_rows_that_no_served_version_learned_are_the_target_and_none_of_them_a_fixed_case(
    project: Write,
) -> None:
    turns = [[correction(sentence(100 * turn + n)) for n in range(40)] for turn in (1, 2, 3)]
    settings = project(own(20), snapshots=turns)

    def locked(unserved: int) -> list[set[str]]:
        turn = {"snapshots": [{"through": n, "sha256": "0" * 64} for n in (1, 2, 3)], "unserved": unserved}
        main(settings.model_copy(update={"turn": config.TurnSettings.model_validate(turn)}))
        return [{row.id for row in read(name)} for name in ("target", "regression")]

    of_turn = [{row.event_id for row in turn} for turn in turns]
    target, fixed = locked(1)
    assert target <= of_turn[2]
    assert fixed <= of_turn[0] | of_turn[1]
    everything = target | fixed
    target, fixed = locked(2)
    assert target == everything & (of_turn[1] | of_turn[2])
    assert fixed == everything & of_turn[0] != set()
    assert locked(3) == [everything, set()], "rolled back to the first version: none of it was ever learned"


def test_replay_rows_are_never_taught_and_the_same_whatever_feedback_says(project: Write) -> None:
    main(project(own(50), replay_rows=8))
    held = read("replay")
    assert len(held) == 8
    assert not {row.id for row in held} & {row.id for row in read("train")}
    main(project(own(50), snapshots=[[correction(sentence(n)) for n in range(100, 140)]], replay_rows=8))
    assert read("replay") == held


SETS = ("train", "replay", "target", "regression", "tuning_target", "tuning_guard")


def test_tuning_rows_and_what_is_near_them_stand_in_no_other_set_and_keep_their_role(project: Write) -> None:
    def near(number: int) -> str:
        return f"{sentence(number, 30)} please"

    first = [correction(text) for n in range(100, 160) for text in (sentence(n, 30), near(n))]
    second = [correction(text) for n in range(130, 220) for text in (near(n), f"{near(n)} do")]
    test = [example(f"test-{n}", sentence(n, 30)) for n in range(100, 105)]
    held = {"replay_rows": 8, "tuning_rows": 8, "regression_share": 0.5, "tuning_share": 0.5}
    roles: list[dict[str, str]] = []
    for snapshots in ([first], [first, second]):
        main(project(own(50), test=test, snapshots=snapshots, **held))
        roles.append({row.question: name for name in SETS for row in read(name)})
        rows = [(name, row) for name in SETS for row in read(name)]
        assert len(roles[-1]) == len(rows), "no question stands in two sets"
        index = NearIndex(0.8)
        for name, row in [*rows, *(("test", row) for row in test)]:
            index.add(name, row.question)
        around = {name: {other for other, _ in index.matches(row.question)} for name, row in rows if "tuning" in name}
        assert set(around) <= {"tuning_target", "tuning_guard"}
        assert all(others <= {"tuning_target", "tuning_guard"} for others in around.values()), around
    turn = {"tuning_target": "tuning_guard", "target": "regression"}
    assert {"tuning_target", "target"} <= set(roles[0].values())
    for text, role in roles[0].items():
        again = roles[1].get(text)
        sampled = again is None and role in ("train", "tuning_target")  # of earlier turns a sample is used
        assert sampled or again in (role, turn.get(role)), (text, role, again)
    sources = Counter(row.source for row in read("tuning_guard"))
    assert sources["task"] == 3, "of 50 own rows a fifth, a third of it for tuning"
    assert sources["correction"] > 5
    assert report()["feedback"]["out"]["tuning"] == len(read("tuning_target")) + sources["correction"]


def test_a_task_with_enough_rows_holds_back_as_many_as_it_is_asked_for(project: Write) -> None:
    main(project(own(100), replay_rows=8))
    replay = read("replay")
    main(project(own(100), replay_rows=8, tuning_rows=4))
    assert read("replay") == replay, "tuning rows are further ones"
    assert (len(read("tuning_guard")), len(read("train"))) == (4, 88)
    main(project(own(100), replay_rows=40, tuning_rows=20))
    assert (len(read("replay")), len(read("tuning_guard")), len(read("train"))) == (14, 6, 80)


def test_an_own_row_near_an_evaluation_row_is_not_taught(project: Write) -> None:
    text = sentence(999, 30)
    rows = [*own(10), example("leak", text.upper() + "!!")]
    main(project(rows, test=[example("test-1", text)]))
    assert "leak" not in {row.id for row in read("train")}
    assert dropped()["leak"].step == "decontaminate"
    assert "evaluation set test (similarity 1.00)" in dropped()["leak"].reason


def test_a_correction_of_a_test_question_is_locked_and_never_taught(project: Write) -> None:
    text = sentence(999, 30)
    main(project(own(10), test=[example("test-1", text)], snapshots=[[correction(text)]], regression_share=0.0))
    assert [row.question for row in read("target")] == [text]
    assert all(row.source == "task" for row in read("train"))


def test_duplicates_of_own_rows_are_dropped_with_the_row_they_repeat(project: Write) -> None:
    text = sentence(999, 30)
    rows = [
        example("a", text), example("b", text + "."), example("c", text.replace(text.split()[-1], "x")),
        example("d", text.replace(text.split()[-1], "x"), "spam"),
    ]  # fmt: skip
    main(project([*own(10), *rows]))
    assert [row.id for row in read("train")][10:] == ["a", "d"]
    assert dropped()["b"].reason == "the same question as row a"
    assert dropped()["c"].reason.startswith("a near-duplicate of row a")


def test_an_own_row_that_feedback_corrects_gives_way(project: Write) -> None:
    text = sentence(999, 30)
    rows = [*own(10), example("old", text, "ham")]
    main(project(rows, snapshots=[[correction(text, "spam")]], regression_share=0.0))
    assert [row.answer for row in read("train") if row.question == text] == ["spam"]
    assert dropped()["old"].step == "superseded"


def test_personal_data_is_in_no_file_that_is_written(project: Write) -> None:
    rows = [*own(5), example("mine", "my mail is jo@example.com please sort this one out for me")]
    said = correction("call me on (650) 253-0000 about the basket by the window")
    down = correction("and jane@example.com too", kind="thumb_down", correction=None)
    main(project(rows, snapshots=[[said, down]]))
    written = "".join(path.read_text() for path in layout.curated("mail").iterdir())
    assert "example.com" not in written
    assert "253-0000" not in written
    assert "<EMAIL>" in written
    assert "<PHONE>" in written
    assert dropped()["mine"].action == "changed"
    assert dropped()["mine"].reason == "1 email replaced"


def test_a_correction_makes_a_preference_and_a_thumb_down_waits_for_review(project: Write) -> None:
    rows = [correction(sentence(100)), correction(sentence(101), kind="thumb_down", correction=None)]
    main(project(own(5), snapshots=[rows], regression_share=0.0))
    preferences = files.read_rows(layout.curated("mail") / "preferences.jsonl", Preference)
    assert [(p.chosen, p.rejected) for p in preferences] == [("spam", "ham")]
    review = files.read_rows(layout.curated("mail") / "review.jsonl", FeedbackRow)
    assert [row.event_id for row in review] == [rows[1].event_id]


def test_one_person_of_several_cannot_flood_a_turn(project: Write) -> None:
    flood = [  # not so fast that it would be suspicious
        correction(sentence(n), "ham", rater="mallory", created_at=NOW + timedelta(minutes=n))
        for n in range(1000, 1500)
    ]
    good = [
        correction(sentence(n), rater=rater) for rater, n in zip(["ann", "bob"] * 30, range(2000, 2060), strict=True)
    ]
    main(project(own(5), snapshots=[[*flood, *good]]))
    kept = [row.rater for name in ("train", "target") for row in read(name) if row.source == "correction"]
    assert kept.count("mallory") == 60
    assert len(kept) == 120


def test_a_burst_is_quarantined_whole_and_says_why(project: Write, caplog: pytest.LogCaptureFixture) -> None:
    flood = [correction(sentence(n), "ham", rater="mallory") for n in range(1000, 1130)]
    main(project(own(5), snapshots=[[*flood, *(correction(sentence(n)) for n in range(2000, 2030))]]))
    kept = [row.rater for name in ("train", "target") for row in read(name) if row.source == "correction"]
    assert kept == ["ann"] * 30
    quarantined = [row for row in dropped().values() if row.action == "quarantined"]
    assert {row.reason for row in quarantined} == {say("burst", rater="mallory", events=120, seconds="60")}
    assert report()["feedback"]["steps"]["suspicion"]["quarantined"] == 130
    assert "130 quarantined: they teach nothing until a person has looked" in caplog.text


def test_a_trusted_persons_word_stands_in_the_same_turn_and_in_later_ones(project: Write) -> None:
    text = sentence(100)
    trusted, later = correction(text, "spam", rater="ann"), correction(text, "ham", rater="mallory")
    at_once = correction(text, "ham", rater="mallory", interaction_id=trusted.interaction_id)
    main(project(own(5), snapshots=[[trusted, at_once], [later]], regression_share=0.0, trusted_raters=["ann"]))
    assert [row.answer for row in read("train") if row.source == "correction"] == ["spam"]
    for event in (at_once, later):
        assert "by ann, who is trusted" in dropped()[event.event_id].reason


def test_a_trusted_person_may_put_right_what_another_taught(project: Write) -> None:
    text = sentence(100)
    turns = [[correction(text, "ham", rater="mallory")], [correction(text, "spam", rater="ann")]]
    main(project(own(5), snapshots=turns, regression_share=0.0, trusted_raters=["ann"]))
    assert [row.answer for row in read("train") if row.source == "correction"] == ["spam"]


def test_five_hundred_copies_of_one_bad_correction_are_one_row(project: Write) -> None:
    flood = [
        correction(sentence(7, 30) + " !" * n, "ham", rater="mallory", created_at=NOW + timedelta(minutes=n))
        for n in range(500)
    ]
    main(project(own(5), snapshots=[flood]))
    assert sum(row.source == "correction" for name in ("train", "target") for row in read(name)) == 1


def test_counts_add_up_to_every_row_and_event(project: Write) -> None:
    events = [
        correction(sentence(n % 60, 14), "ham" if n % 7 else "bacon", rater=f"r{n % 3}", kind="correction")
        for n in range(150)
    ]
    events += [correction(sentence(n), kind="thumb_up", correction=None) for n in range(300, 320)]
    events += [correction(sentence(n), kind="comment", correction=None, comment="hm") for n in range(300, 320)]
    main(project([*own(80), *own(10)[:0]], test=[example("t", sentence(3))], snapshots=[events[:90], events[90:]]))
    found = report()
    assert found["feedback"]["in"] == len(events)
    assert sum(found["feedback"]["out"].values()) + found["feedback"]["removed"] == len(events)
    assert sum(found["own"]["out"].values()) + found["own"]["removed"] == 80
    for file, count in found["files"].items():
        lines = (layout.curated("mail") / f"{file}.jsonl").read_text().splitlines()
        assert len(lines) == count


def test_counts_that_do_not_add_up_stop_the_stage() -> None:
    ledger = Ledger("rows", 3)
    ledger.end(train=2)
    with pytest.raises(stage.StageError, match="do not add up: 3 rows in, 2 kept and 0 removed"):
        ledger.report()


def test_the_same_input_gives_the_same_bytes(project: Write) -> None:
    settings = project(own(60), test=own(5, 500), snapshots=[[correction(sentence(n)) for n in range(100, 140)]])
    main(settings)
    before = files.sha256_of(layout.curated("mail"))
    main(settings)
    assert files.sha256_of(layout.curated("mail")) == before


def test_a_broken_line_is_named_and_nothing_is_written(project: Write) -> None:
    settings = project(own(3))
    path = layout.examples("mail") / "train.jsonl"
    path.write_text(path.read_text() + '{"id": "x"\n')
    with pytest.raises(files.DataError, match=r"train\.jsonl, line 4"):
        main(settings)
    assert not layout.curated("mail").exists()


def test_two_rows_of_one_id_are_named(project: Write) -> None:
    with pytest.raises(files.DataError, match=r"train\.jsonl, row 2: id 'a' is that of row 1 too"):
        main(project([example("a", "one"), example("a", "two")]))


def test_a_missing_input_says_what_to_run(project: Write) -> None:
    settings = project(own(3))
    (layout.examples("mail") / "train.jsonl").unlink()
    with pytest.raises(files.DataError, match="run the stage that makes it"):
        main(settings)


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(config.ConfigError, match=r"curate\.regression_share = 1\.5"):
        config.parse({"curate": {"regression_share": 1.5}})


def test_a_correction_that_makes_a_row_too_long_is_left_out_and_the_turn_goes_on(project: Write) -> None:
    long = correction(sentence(500, length=600))
    settings = project(own(20), snapshots=[[correction(sentence(n)) for n in range(100, 110)] + [long]])
    main(settings)
    assert dropped()[long.event_id].step == "too long"
    assert "and model.context is 512" in dropped()[long.event_id].reason
    assert long.event_id not in {row.id for name in ("train", "target") for row in read(name)}
