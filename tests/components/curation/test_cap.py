from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curation.cap import allowance, capped
from components.curation.settled import Settled
from tests.components.curation.conftest import correction, sentence


def rows(**counts: int) -> list[Settled]:
    found = []
    for rater, count in counts.items():
        for _ in range(count):
            row = correction(sentence(len(found)), rater=rater)
            found.append(Settled(row, "spam", sentence(len(found)), sentence(len(found)), 1))
    return found


def given_by(kept: list[Settled]) -> Counter[str]:
    return Counter(row.row.rater for row in kept)


def test_a_single_rater_is_not_bounded() -> None:
    kept, dropped = capped(rows(ann=500), 0.5, 20, ())
    assert (len(kept), dropped) == (500, [])


def test_one_of_several_gives_at_most_the_share() -> None:
    kept, dropped = capped(rows(mallory=500, ann=30, bob=40), 0.5, 20, ())
    assert given_by(kept) == {"mallory": 70, "ann": 30, "bob": 40}
    assert len(dropped) == 430
    assert dropped[0].reason == "rater mallory gave 500 of this turn's 570 rows; at most 70 may be used"


def test_a_few_rows_are_always_allowed_so_that_one_stranger_silences_nobody() -> None:
    assert given_by(capped(rows(ann=200, bob=1), 0.5, 20, ())[0]) == {"ann": 20, "bob": 1}


def test_trusted_people_are_not_bounded() -> None:
    kept, _ = capped(rows(ann=200, bob=1, mallory=500), 0.5, 20, ("ann",))
    assert given_by(kept) == {"ann": 200, "bob": 1, "mallory": 201}


@given(st.lists(st.integers(1, 300), min_size=2, max_size=8), st.floats(0.05, 1))
def test_nobody_gives_more_than_the_share_of_what_is_kept(counts: list[int], share: float) -> None:
    allowed = allowance(counts, share, 0)
    kept = [min(count, allowed) for count in counts]
    assert max(kept) <= max(share, 1 / len(counts)) * sum(kept) + 1e-6
    assert min(kept) > 0


@pytest.mark.parametrize("counts", [[], [0]])
def test_a_turn_without_rows_is_fine(counts: list[int]) -> None:
    assert allowance(counts, 0.5, 20) == 0
