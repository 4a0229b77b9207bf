"""Twenty turns on real files: what a turn teaches and asks stays the same, and no turn is left out."""

from __future__ import annotations

from collections import Counter

from components import files, layout
from components.curation.__main__ import main
from components.schema import Example, FeedbackRow, Judged, Preference
from tests.components.curation.conftest import Write, correction, sentence
from tests.components.curation.test_stage import own, report

EVENTS, BUDGET, TESTED = 40, 200, 60


def _event(turn: int, number: int) -> FeedbackRow:
    """Every eighth answer is confirmed, the others are corrected."""
    changes = {} if number % 8 else {"kind": "thumb_up", "correction": None}
    text = sentence(1000 * turn + number)
    return correction(text, event_id=f"{turn}-{number}", seq=1000 * turn + number, **changes)


SNAPSHOTS = [[_event(turn, number) for number in range(EVENTS)] for turn in range(1, 21)]


def _rows(name: str) -> list[Example]:
    return files.read_rows(layout.curated("mail") / f"{name}.jsonl", Example)


def _turn(row: Example) -> int:
    return int(row.id.split("-")[0])


def _curate(project: Write, turns: int) -> None:
    main(
        project(own(220), snapshots=SNAPSHOTS[:turns], replay=BUDGET, regression_rows=TESTED, heldout_rows=TESTED - 10)
    )


def test_turn_20_teaches_and_asks_as_much_as_turn_5_and_leaves_no_turn_out(project: Write) -> None:
    _curate(project, 1)
    first = {row.id for row in _rows("train") if row.is_new}
    _curate(project, 5)
    early = report()["files"]
    seen: Counter[str] = Counter()
    for turns in range(15, 21):
        _curate(project, turns)
        seen.update(row.id for row in _rows("train") if row.rehearsed)
    late, train = report()["files"], _rows("train")

    assert late["regression"] == TESTED
    assert {_turn(row) for row in _rows("regression")} == set(range(1, 20))
    new = [row for row in train if row.is_new]
    assert {_turn(row) for row in new} == {20}
    assert len(new) + late["target"] == EVENTS
    rehearsed = [row for row in train if row.rehearsed]
    assert {_turn(row) for row in rehearsed} == set(range(1, 20))
    assert len(rehearsed) == BUDGET // 2
    assert len(train) == len(new) + BUDGET
    assert abs(late["train"] - early["train"]) <= EVENTS
    assert report()["rehearsed"] == {str(turn): n for turn, n in sorted(Counter(map(_turn, rehearsed)).items())}
    assert first <= set(seen), "of the first turn every taught row was taught again within six turns"


def test_pairs_and_judged_answers_are_bounded_like_the_rows(project: Write) -> None:
    _curate(project, 20)
    folder = layout.curated("mail")
    pairs = files.read_rows(folder / "preferences.jsonl", Preference)
    assert BUDGET // 2 < len(pairs) <= BUDGET // 2 + EVENTS
    assert len(files.read_rows(folder / "judged.jsonl", Judged)) <= BUDGET // 2 + EVENTS
    assert len(files.read_rows(folder / "preferences_heldout.jsonl", Preference)) == TESTED - 10
    assert report()["pairs"]["out"]["preferences_not_sampled"] > 0


def test_the_first_version_is_taught_every_row_whatever_the_budget(project: Write) -> None:
    main(project(own(220), replay=5))
    assert len(_rows("train")) == 220
