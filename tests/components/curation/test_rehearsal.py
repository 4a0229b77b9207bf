"""What a turn teaches again: bounded, shared with the task's own rows, and everything in its turn."""

from __future__ import annotations

from collections import Counter

import pytest

from components.curation.rehearsal import for_earlier, rehearsed


def _before(now: int, rows: int) -> dict[str, int]:
    return {f"{turn}-{row}": turn for turn in range(1, now) for row in range(rows)}


@pytest.mark.parametrize(
    ("earlier", "own", "expected"), [(10, 500, 10), (300, 500, 50), (300, 20, 80), (30, 20, 30), (0, 500, 0)]
)
def test_earlier_feedback_gets_half_of_the_budget_and_what_own_rows_do_not_need(
    earlier: int, own: int, expected: int
) -> None:
    assert for_earlier(earlier, own, 100) == expected


def test_the_budget_holds_and_every_earlier_turn_is_represented() -> None:
    for now in range(2, 30):
        earlier = _before(now, rows=60)
        chosen = rehearsed(earlier, now, own=1000, budget=200, seed=17)
        assert len(chosen) == min(len(earlier), 100)
        assert {earlier[id] for id in chosen} == set(range(1, now))


def test_every_earlier_row_is_taught_again_once_its_turns_shares_add_up_to_its_rows() -> None:
    seen: Counter[str] = Counter()
    now, taught_again = 15, 0
    while taught_again < 60:
        seen.update(rehearsed(_before(now, rows=60), now, own=1000, budget=200, seed=17))
        taught_again += 100 // (now - 1)
        now += 1
    times = [seen[id] for id in _before(15, rows=60)]
    assert now == 28
    assert min(times) == 1
    assert max(times) <= 2


def test_a_row_that_is_superseded_does_not_begin_its_turn_anew() -> None:
    before, now = _before(6, rows=60), 6
    whole = rehearsed(before, now, own=1000, budget=200, seed=17)
    gone = next(id for id in sorted(before) if id not in whole and before[id] == 1)
    less = rehearsed({id: turn for id, turn in before.items() if id != gone}, now, own=1000, budget=200, seed=17)
    assert len(whole & less) >= len(whole) - 5


def test_the_same_turn_is_always_taught_the_same() -> None:
    before = _before(8, rows=60)
    assert rehearsed(before, 8, 1000, 200, 17) == rehearsed(dict(reversed(before.items())), 8, 1000, 200, 17)
