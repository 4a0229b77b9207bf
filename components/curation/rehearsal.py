"""What is taught again in a turn, so that a turn costs the same however many there were before.

`train.replay` is the budget. Feedback of earlier turns gets up to half of it, the task's own rows the rest; what one
side does not need goes to the other. Of earlier feedback every turn gets an equal share, as every task has its share of
the memory in GEM (Lopez-Paz, Ranzato 2017, https://arxiv.org/abs/1706.08840). That memory never changes; this one
goes round: each turn takes up in a fixed order where the turn before it stopped, and begins again at the end. So every
earlier correction is taught again within as many turns as its turn's share goes into its turn's rows, rounded up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from components.curation.strata import ordered, shares


def for_earlier(earlier: int, own: int, budget: int) -> int:
    """How many of so many earlier rows are taught again, beside so many of the task's own."""
    return min(earlier, max(budget // 2, budget - own))


def rehearsed(turn_of: Mapping[str, int], now: int, own: int, budget: int, seed: int) -> set[str]:
    """Ids of earlier turns' rows that turn `now` teaches again.

    Args:
        turn_of: the turn of every row that counts and is of an earlier turn than `now`.
        own: how many of the task's own rows there are.
        budget: how many rows are taught again in all.
    """
    order = ordered(turn_of, seed, "rehearsal")
    start: Counter[int] = Counter()  # of each turn's rows, how many earlier turns have gone through
    for turn in range(2, now):
        start.update(_shares(order, turn, own, budget))
    return {
        order[turn][(start[turn] + step) % len(order[turn])]
        for turn, share in _shares(order, now, own, budget).items()
        for step in range(share)
    }


def _shares(order: Mapping[int, list[str]], now: int, own: int, budget: int) -> dict[int, int]:
    """How many rows of each turn before `now` that turn teaches again."""
    sizes = {turn: len(ids) for turn, ids in order.items() if turn < now}
    return shares(sizes, for_earlier(sum(sizes.values()), own, budget))
