"""Samples that represent every turn alike, and change as little as they must from one turn to the next.

A stratum is a turn. All get equal shares; what a small one leaves goes to the others. Within a stratum rows stand in
the order of a seeded hash, and the first ones are the sample (bottom-k sampling: Cohen, Kaplan, Summarizing Data Using
Bottom-k Sketches, PODC 2007): a row stays in it as long as its turn's share allows, whatever else comes in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from components.feedback.draw import fraction


def shares(sizes: Mapping[int, int], total: int) -> dict[int, int]:
    """How many rows each stratum gives: equal shares, none more than it has, `total` together if there are so many.

    Where `total` is no multiple, the larger strata give the odd rows, and of equal ones the later.
    """
    left, result = total, {}
    smallest_first = sorted(sizes, key=lambda name: (sizes[name], name))
    for position, name in enumerate(smallest_first):
        result[name] = min(sizes[name], left // (len(smallest_first) - position))
        left -= result[name]
    return result


def ordered(turn_of: Mapping[str, int], seed: int, purpose: str) -> dict[int, list[str]]:
    """Ids by turn, each turn's in the order of a seeded hash; another `purpose` is another order."""
    by_turn: defaultdict[int, list[str]] = defaultdict(list)
    for id, turn in turn_of.items():
        by_turn[turn].append(id)
    for ids in by_turn.values():
        ids.sort(key=lambda id: fraction(seed, purpose, id))
    return dict(by_turn)


def sampled(turn_of: Mapping[str, int], most: int, seed: int, purpose: str) -> set[str]:
    """At most `most` ids, every turn represented alike."""
    order = ordered(turn_of, seed, purpose)
    share = shares({turn: len(ids) for turn, ids in order.items()}, most)
    return {id for turn, ids in order.items() for id in ids[: share[turn]]}
