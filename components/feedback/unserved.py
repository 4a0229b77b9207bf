"""Feedback that turns had and no served version has learned: how much waits, for what, and whether it has come.

The champion's own lineage decides, not how turns ended: a promoted version may be rolled back, a refused one promoted
by hand, a canary withdrawn. Every version is taught all feedback up to its turn, so what the champion has not learned
is always that of the last turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from components.config import SnapshotReference
from components.feedback import tables
from components.feedback.database import reading
from components.feedback.refusals import OwnRows
from components.feedback.store import Store, Turn
from components.schema import Need, Record
from components.sentences import say

BECAME = {"promoted": "rolled back", "canary": "withdrawn"}
"""How a turn ended → what became of its version, where it serves no more."""


class Unserved(Record):
    """A turn that has ended, and whose feedback no served version has learned."""

    turn: Turn
    corrections: int

    @property
    def outcome(self) -> str:
        """Why nothing of it serves: refused, withdrawn, rolled back."""
        return BECAME.get(self.turn.outcome, self.turn.outcome)


def count(snapshots: Sequence[SnapshotReference], champion: Sequence[SnapshotReference]) -> int:
    """Of a turn's snapshots, its own included, how many the champion was not taught: `turn.unserved` in params.yaml.

    Args:
        champion: the snapshots that the champion was taught (`lineage.snapshots`).
    """
    learned = champion[-1].through if champion else 0
    return max(1, sum(snapshot.through > learned for snapshot in snapshots))


def unserved(store: Store, task: str, *serving: Sequence[SnapshotReference]) -> list[Unserved]:
    """The ended turns of which nothing serves, oldest first.

    Args:
        serving: the snapshots that the champion was taught, and where one is on trial, the canary.
    """
    learned = max((snapshots[-1].through for snapshots in serving if snapshots), default=0)
    turns = [turn for turn in store.turns(task) if turn.through > learned and (turn.state == "closed" or turn.again)]
    return [Unserved(turn=turn, corrections=_corrections(store, turn)) for turn in turns]


def _corrections(store: Store, turn: Turn) -> int:
    event = tables.feedback.c
    query = sa.select(sa.func.count()).where(
        event.task == turn.task, event.kind == "correction", event.seq > turn.after, event.seq <= turn.through
    )
    with reading(store.engine) as connection:
        return connection.execute(query).scalar() or 0


# What would change a refusal -------------------------------------------------------------------


def refused(store: Store, task: str) -> Turn | None:
    """The last turn, where it was refused and has not begun again. Its version may serve all the same."""
    ended = [turn for turn in store.turns(task) if turn.state != "abandoned"]
    return ended[-1] if ended and ended[-1].state == "closed" and ended[-1].refusal is not None else None


def fulfilled(
    store: Store, turn: Turn, own_rows: Callable[[], OwnRows], corrections: int, limit: int
) -> tuple[Need, ...]:
    """Of what would change a turn's refusal, what has come since.

    Args:
        own_rows: the task's own rows now; asked only where more of them are needed.
        corrections: so many were written since (`Store.waiting`).
        limit: so many start a turn, whatever is needed (`improve.corrections`).
    """
    if turn.refusal is None:
        return ()
    before = turn.refusal.own_rows

    def is_fulfilled(need: Need) -> bool:
        if need.kind == "corrections":
            return corrections >= min(max(need.count, 1), limit)
        if need.kind == "look":
            return _looked_at(store, turn, need.ids)
        return need.kind == "guard_rows" and before is not None and _grown(before, own_rows(), need.count)

    return tuple(need for need in turn.refusal.needs if is_fulfilled(need))


def starts_at(waiting: Sequence[Unserved], limit: int) -> int:
    """So many corrections start the next turn: fewer than `limit` where the last turn, which was refused, needs fewer.

    Args:
        waiting: see `unserved`.
    """
    refusal = waiting[-1].turn.refusal if waiting else None
    needs = refusal.needs if refusal is not None else ()
    return min([limit, *(max(need.count, 1) for need in needs if need.kind == "corrections")])


def _grown(before: OwnRows, now: OwnRows, least: int) -> bool:
    """Are there other rows, and where they are a file's lines, that many more?

    So many more lines hold out fewer: a turn too early says anew how many are needed.
    """
    if before.sha256 == now.sha256:
        return False
    return before.rows is None or now.rows is None or now.rows - before.rows >= least


def _looked_at(store: Store, turn: Turn, ids: Sequence[str]) -> bool:
    """Has somebody, since the turn, judged every one of the cases that people can see? A comment judges nothing.

    An id is that of an event, of which the answer is looked at, or of an answer itself.
    """
    event, answer = tables.feedback.c, tables.interactions.c
    of_events = sa.select(event.interaction_id).where(event.task == turn.task, event.id.in_(ids))
    of_answers = sa.select(answer.id).where(answer.task == turn.task, answer.id.in_(ids))
    since = sa.select(event.interaction_id).where(
        event.task == turn.task, event.seq > turn.through, event.kind != "comment"
    )
    with reading(store.engine) as connection:
        cases = {*connection.execute(of_events).scalars(), *connection.execute(of_answers).scalars()}
        return bool(cases) and cases <= set(connection.execute(since).scalars())


# In words --------------------------------------------------------------------------------------


def what_came(turn: Turn, needs: Sequence[Need]) -> str:
    """Why a turn starts since these needs of a refused one are fulfilled."""
    return f"turn {turn.number} was refused, and what it needed has come: {'; '.join(map(_in_words, needs))}"


def would_change(needs: Sequence[Need]) -> str:
    """One sentence: what would change a refusal."""
    parts = [_in_words(need) for need in needs if need.kind != "none"][:3]
    names = ("need", "other", "own")
    if not parts:
        return say("unserved_none")
    code = ("unserved_one", "unserved_two", "unserved_three")[len(parts) - 1]
    return say(code, **dict(zip(names, parts, strict=False)))


def _in_words(need: Need) -> str:
    if need.kind == "look":
        ids = ", ".join(need.ids[:3]) + (f" (+ {len(need.ids) - 3})" if len(need.ids) > 3 else "")
        return say("need_look", ids=ids)
    if need.count <= 1:
        return say(f"need_{need.kind}_one")
    return say(f"need_{need.kind}", count=need.count)


def in_words(waiting: Sequence[Unserved]) -> str:
    """What waits, of which turns and for what, in a line; empty where nothing does."""
    if not waiting:
        return ""
    total = sum(item.corrections for item in waiting)
    turns = ", ".join(
        f"{item.corrections} of turn {item.turn.number}, {'which runs again' if item.turn.again else item.outcome}"
        for item in waiting
    )
    last = waiting[-1].turn
    change = "" if last.again else f"; {would_change(last.refusal.needs if last.refusal is not None else ())}"
    return f"{total} corrections that no served version has learned wait: {turns}{change}"
