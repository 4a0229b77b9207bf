"""Samples in which every turn is represented, and rows stay."""

from __future__ import annotations

import pytest

from components.curation.strata import sampled, shares


@pytest.mark.parametrize(
    ("sizes", "total", "expected"),
    [
        ({1: 10, 2: 10}, 6, {1: 3, 2: 3}),
        ({1: 2, 2: 50, 3: 50}, 42, {1: 2, 2: 20, 3: 20}),
        ({1: 5, 2: 5}, 100, {1: 5, 2: 5}),
        ({1: 5, 2: 5, 3: 5}, 4, {1: 1, 2: 1, 3: 2}),
        ({}, 4, {}),
        ({1: 5}, 0, {1: 0}),
    ],
)
def test_strata_share_alike_and_small_ones_leave_the_rest_to_the_others(
    sizes: dict[int, int], total: int, expected: dict[int, int]
) -> None:
    assert shares(sizes, total) == expected


def _turns(count: int, rows: int = 40) -> dict[str, int]:
    return {f"{turn}-{row}": turn for turn in range(1, count + 1) for row in range(rows)}


def test_a_row_stays_in_the_sample_as_long_as_its_turns_share_allows() -> None:
    fewer, more = sampled(_turns(4), 100, 17, "test"), sampled(_turns(10), 100, 17, "test")
    assert len(fewer) == len(more) == 100
    old = {id for id in more if _turns(10)[id] <= 4}
    assert len(old) == 40
    assert old < fewer
    assert {_turns(10)[id] for id in more} == set(range(1, 11))


def test_the_sample_hangs_on_the_seed_and_not_on_the_order_of_the_rows() -> None:
    turns = _turns(3)
    backwards = dict(reversed(turns.items()))
    assert sampled(turns, 30, 17, "test") == sampled(backwards, 30, 17, "test")
    assert sampled(turns, 30, 17, "test") != sampled(turns, 30, 18, "test")
