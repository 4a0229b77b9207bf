"""The parts of `benchmarks.turns` that need no model: who says what, which families come when, what a verdict was."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from benchmarks.turns import families, people
from benchmarks.turns.families import OLD, Draws
from benchmarks.turns.people import Answered
from benchmarks.turns.truth import Gain, clopper_pearson, judge, stratified, truth
from tasks.intake.schema import IntakeNote
from tests.conftest import ROOT

KNOWN, LATER = families.split()
CAME = families.order(3, LATER)

WRITES = """
import json, sys
from tasks.intake.generator import corpus, example_sets
from benchmarks.turns import families
sets = example_sets(3, dict(train=400, test=100, unseen=100, new=100, new_unseen=40, traffic=40))
known, later = families.split()
print(json.dumps({
    "texts": list(corpus(3, 600)),
    "sets": {name: [row.model_dump(mode="json") for row in rows] for name, rows in sets.items()},
    "split": [[f.name for f in known], [f.name for f in later]],
}))
"""


def gain(value: float, half: float, rows: int = 100) -> Gain:
    return Gain(value, value - half, value + half, rows)


def plain(text: str) -> str:
    """Its words alone, each between spaces."""
    return f" {' '.join(re.findall(r'[a-z]+', text.lower().replace(chr(39), '')))} "


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the copied task writes: corpus and sets."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("tasks", "components", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    families.move(folder / "tasks" / "intake")
    done = subprocess.run([sys.executable, "-c", WRITES], cwd=folder, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_twenty_families_are_known_and_ten_come_later_in_the_project_and_in_its_copy(written: dict[str, Any]) -> None:
    assert (len(KNOWN), len(LATER)) == (20, 10)
    assert written["split"] == [[f.name for f in KNOWN], [f.name for f in LATER]]


def test_nothing_that_version_1_learns_from_or_is_tested_with_speaks_of_a_later_family(
    written: dict[str, Any],
) -> None:
    phrasings = [
        text.replace("{site}", site)
        for family in LATER
        for phrasing in (*family.seen_phrasings, *family.unseen_phrasings)
        for text in phrasing.texts
        for site in family.sites
        if text.count(" ") >= 2
    ]
    names = {family.name for family in LATER}
    rows = [row for name in ("train", "test", "unseen") for row in written["sets"][name]]
    assert rows
    assert not {row["group"] for row in rows} & names
    texts = map(plain, [*written["texts"], *(message["content"] for row in rows for message in row["messages"])])
    forbidden = list(map(plain, {*phrasings, *names}))
    spoken = [(text, phrase) for text in texts for phrase in forbidden if phrase in text]
    assert not spoken, spoken[:3]


def test_the_sets_of_new_families_are_of_all_ten(written: dict[str, Any]) -> None:
    assert {row["group"] for row in written["sets"]["new"]} == {family.name for family in LATER}


def test_every_seed_has_its_own_order_of_the_same_families() -> None:
    other = families.order(4, LATER)
    assert set(other) == set(CAME)
    assert other != CAME
    assert families.order(3, LATER) == CAME


def messages(turn: int, draws: Draws | None = None, seen: Any = None) -> list[Any]:
    shares = families.mixture(turn, [family.name for family in CAME])
    texts = draws.texts if draws else set()
    return families.traffic(f"3/traffic/{turn}", shares, 300, KNOWN, CAME, seen or families.written([]), texts)


def test_a_turns_messages_are_of_its_family_of_earlier_ones_and_of_old_kinds_and_of_no_later_one() -> None:
    counts = Counter(row.group for row in messages(4))
    names = [family.name for family in CAME]
    old = {family.name for family in KNOWN}
    assert counts[names[3]] / 300 == pytest.approx(0.4, abs=0.08)
    assert sum(counts[name] for name in names[:3]) / 300 == pytest.approx(0.3, abs=0.08)
    assert sum(counts[name] for name in old) / 300 == pytest.approx(0.3, abs=0.08)
    assert not any(counts[name] for name in names[4:])


def test_messages_keep_apart_from_what_was_written_and_from_the_independent_draw() -> None:
    draws = Draws(3, KNOWN, LATER)
    for kind in (OLD, *(family.name for family in LATER)):
        draws.rows(kind, 200)
    before = messages(2)
    rows = messages(2, draws, families.written(before))
    assert not {row.question for row in rows} & draws.texts
    seen = families.written(before)
    assert not [row for row in rows if seen.has(row.question)]


def test_more_rows_of_the_independent_draw_begin_with_the_same_ones() -> None:
    few, many = Draws(3, KNOWN, LATER).rows(OLD, 30), Draws(3, KNOWN, LATER).rows(OLD, 60)
    assert many[:30] == few
    assert {row.group for row in few} == {family.name for family in KNOWN}
    assert Draws(4, KNOWN, LATER).rows(OLD, 30) != few


@pytest.fixture
def answers() -> list[Answered]:
    return [Answered(f"c-{i}", row.answer, right=i % 3 == 0) for i, row in enumerate(messages(5))]


def test_careful_people_are_never_wrong(answers: list[Answered]) -> None:
    by_id = {answer.id: answer for answer in answers}
    said = [event for event in people.look(answers, 5, 3) if event.rater.startswith("careful")]
    assert said
    for event in said:
        answer = by_id[event.interaction_id]
        assert (event.kind, event.correction) == (("thumb_up", None) if answer.right else ("correction", answer.truth))


def test_a_careless_person_is_wrong_in_a_tenth_of_the_looks_and_every_slip_is_a_valid_note(
    answers: list[Answered],
) -> None:
    by_id = {answer.id: answer.truth for answer in answers}
    said = [e for seed in range(20) for e in people.look(answers, 1, seed) if e.rater == "careless-1"]
    wrong = [e for e in said if e.correction is not None and e.correction != by_id[e.interaction_id]]
    assert len(wrong) / len(said) == pytest.approx(0.1, abs=0.03)
    for event in wrong:
        note, right = json.loads(event.correction or ""), json.loads(by_id[event.interaction_id])
        IntakeNote.model_validate(note)
        assert sum(note[field] != right[field] for field in right) == 1


def test_the_hostile_person_comes_with_turn_4_works_a_lot_and_always_turns_the_severity(
    answers: list[Answered],
) -> None:
    by_id = {answer.id: json.loads(answer.truth) for answer in answers}
    assert not [e for e in people.look(answers, 3, 3) if e.rater == people.HOSTILE.name]
    said = [e for e in people.look(answers, 4, 3) if e.rater == people.HOSTILE.name]
    assert len(said) > 0.2 * len(answers)
    for event in said:
        note, right = json.loads(event.correction or ""), by_id[event.interaction_id]
        assert {field for field in right if note[field] != right[field]} == {"severity"}
        IntakeNote.model_validate(note)


def test_one_message_in_ten_is_looked_at_by_two_different_people(answers: list[Answered]) -> None:
    said = people.look(answers, 5, 3)
    looks = Counter(event.interaction_id for event in said)
    assert set(looks) == {answer.id for answer in answers}
    twice = [id for id, count in looks.items() if count == 2]
    assert len(twice) / len(answers) == pytest.approx(0.1, abs=0.05)
    assert all(len({e.rater for e in said if e.interaction_id == id}) == 2 for id in twice)
    assert len({event.id for event in said}) == len(said)


def test_people_say_the_same_when_a_killed_run_asks_them_again(answers: list[Answered]) -> None:
    assert people.look(answers, 5, 3) == people.look(answers, 5, 3)


def test_a_slip_that_no_other_message_offers_is_none() -> None:
    truth = messages(1)[0].answer
    assert people.mistaken(truth, [truth], random.Random(1)) == truth


@pytest.mark.parametrize(
    ("target", "guards", "expected"),
    [
        (gain(0.1, 0.02), [gain(-0.005, 0.01)], "better"),
        (gain(0.1, 0.02), [gain(-0.015, 0.01)], "undecidable"),
        (gain(0.1, 0.02), [gain(-0.035, 0.01)], "not better"),
        (gain(0.1, 0.02), [gain(0.0, 0.01), gain(-0.035, 0.01)], "not better"),
        (gain(0.01, 0.02), [gain(0.0, 0.01)], "undecidable"),
        (gain(-0.03, 0.02), [gain(0.0, 0.01)], "not better"),
        (gain(0.0, 0.0), [gain(0.0, 0.0)], "not better"),
    ],
)
def test_a_candidate_is_better_only_where_it_surely_gains_and_surely_loses_no_more_than_delta(
    target: Gain, guards: list[Gain], expected: str
) -> None:
    assert truth(target, guards, 0.02) == expected


def test_a_verdict_is_right_where_it_says_what_the_draw_says() -> None:
    judged = {
        (promoted, what): judge(promoted, what) for promoted in (True, False) for what in ("better", "not better")
    }
    assert judged == {
        (True, "better"): "right promotion",
        (True, "not better"): "wrong promotion",
        (False, "better"): "wrong refusal",
        (False, "not better"): "right refusal",
    }
    assert judge(True, "undecidable") == judge(False, "undecidable") == "undecidable"


def test_the_stratified_gain_weighs_kinds_and_its_interval_covers_the_truth() -> None:
    rng = random.Random(5)
    real, covered = 0.75 * 0.2 + 0.25 * -0.1, 0
    for _ in range(300):
        before = [rng.random() < 0.5 for _ in range(800)]
        after = [rng.random() < 0.7 for _ in range(400)] + [rng.random() < 0.4 for _ in range(400)]
        pairs = {"a": (before[:400], after[:400]), "b": (before[400:], after[400:])}
        found = stratified(pairs, {"a": 3.0, "b": 1.0})
        covered += found.lower <= real <= found.upper
    assert 0.91 < covered / 300 < 0.985


def test_a_kind_with_other_rows_on_the_other_side_is_refused() -> None:
    with pytest.raises(ValueError, match="a: 1 and 2 answers"):
        stratified({"a": ([True], [True, False])}, {"a": 1.0})


def test_the_exact_interval_of_a_share() -> None:
    assert clopper_pearson(20, 20) == pytest.approx((0.8316, 1.0), abs=1e-4)
    assert clopper_pearson(19, 20) == pytest.approx((0.7513, 0.9987), abs=1e-4)
