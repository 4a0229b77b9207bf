"""The sizes of what a turn teaches and asks, bounded: see `rehearsal` for what is taught and `strata` for tests.

A row's turn is that of the event or vote it was made from. Rows of no turn came with the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from components.curation.ledger import Ledger
from components.curation.rehearsal import rehearsed
from components.curation.replay import sample
from components.curation.strata import sampled
from components.schema import Example, FeedbackRow, Judged, Preference, content_id

Row = TypeVar("Row", Example, Preference, Judged)
Compared = TypeVar("Compared", Preference, Judged)


def turns_of(snapshots: Iterable[Sequence[FeedbackRow]], votes: Mapping[str, int]) -> dict[str, int]:
    """The turn of every pair and judged answer that an event may make, by its id; `votes` are those of votes."""
    result = dict(votes)
    for turn, events in enumerate(snapshots, 1):
        for event in events:
            result[content_id("preference", event.event_id)] = turn
            result[content_id("judged", event.event_id)] = turn
    return result


def again(earlier: Mapping[str, int], own: Sequence[Example], now: int, budget: int, seed: int) -> set[str]:
    """Ids of what turn `now` teaches again: of `earlier` feedback (id → turn), and of the task's own rows."""
    chosen = rehearsed(earlier, now, len(own), budget, seed)
    return chosen | {row.id for row in sample(own, budget - len(chosen), seed)}


def taught(
    rows: Sequence[Compared], turns: Mapping[str, int], now: int, budget: int, seed: int, ledger: Ledger, end: str
) -> list[Compared]:
    """Turn `now`'s own pairs or judged answers, and within the budget those of the task and of earlier turns.

    Those of earlier turns get no more than half of it: nothing repeats the new ones to a share. The first version
    (`now` 0) is taught all.
    """
    if not now:
        return list(rows)
    earlier = {row.id: turns[row.id] for row in rows if turns.get(row.id, now) < now}
    brought = [row for row in rows if row.id not in turns]
    chosen = rehearsed(earlier, now, budget, budget, seed)
    chosen |= {row.id for row in sample(brought, budget - len(chosen), seed)}
    chosen |= {row.id for row in rows if turns.get(row.id, 0) >= now}
    return _kept(rows, chosen, ledger, end)


def tested(rows: Sequence[Row], turns: Mapping[str, int], most: int, seed: int, ledger: Ledger, end: str) -> list[Row]:
    """At most `most` of the rows, every turn represented alike."""
    chosen = sampled({row.id: turns.get(row.id, 0) for row in rows}, most, seed, "tested")
    return _kept(rows, chosen, ledger, end)


def _kept(rows: Sequence[Row], chosen: set[str], ledger: Ledger, end: str) -> list[Row]:
    result = [row for row in rows if row.id in chosen]
    ledger.move(end, f"{end}_not_sampled", len(rows) - len(result))
    return result
