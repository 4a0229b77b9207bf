"""Battles: two versions' answers to one prompt, and which of them people and judges prefer. Append-only.

    battle = open_battle(store, "intake", messages, ("3", answer_3), ("4", answer_4))
    first = first_for(battle.id, "ann")            # which side she sees first: "a" or "b", at random but repeatable
    cast(store, battle.id, "ann", "person", by_place("first", first), first)

Versions are names: a registered version's number, `base`, or what an external model is called.
Which side is a and which is b says nothing: the order shown is drawn anew for each voter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from components.feedback import tables
from components.feedback.appending import storable
from components.feedback.database import StoreError, reading, writing
from components.feedback.draw import fraction
from components.feedback.votes import CHOICES, Battle, Choice, Fought, Place, Side, Vote, Voted, VoterKind
from components.schema import Message, content_id
from components.sentences import say

if TYPE_CHECKING:
    from components.feedback.store import Store


class WrongVote(StoreError):
    """The battle or the vote cannot be: the message says why."""


def open_battle(store: Store, task: str, messages: Sequence[Message], a: tuple[str, str], b: tuple[str, str]) -> Battle:
    """Keep two versions' answers to one prompt, to be voted on; the same two again are the same battle.

    Args:
        a, b: version and its answer. Given the other way round it is the same battle: what is kept as a and
            what as b is drawn from the content.

    Raises:
        WrongVote: both are of the same version.
    """
    if a[0] == b[0]:
        raise WrongVote(f"a battle needs two versions, and both answers are by {a[0]!r}")
    one, other = sorted([a, b])
    id = content_id("battle", task, *(m.role + m.content for m in messages), *one, *other)
    if fraction(0, "sides", id) < 0.5:
        one, other = other, one
    table = tables.battles
    battle = Battle(
        id=f"battle-{id}",
        task=task,
        created_at=datetime.now(UTC),
        messages=tuple(m.model_copy(update={"content": storable(m.content)}) for m in messages),
        version_a=one[0],
        version_b=other[0],
        answer_a=storable(one[1]),
        answer_b=storable(other[1]),
    )
    with writing(store.engine) as connection:
        known = _battle(connection, battle.id)
        if known is not None:
            return known
        values = battle.model_dump(mode="json") | {"created_at": battle.created_at}
        connection.execute(sa.insert(table), values)
    return battle


def first_for(battle_id: str, voter: str) -> Side:
    """Which side this voter is shown first: at random, and the same whenever it is asked (a reloaded page)."""
    return "a" if fraction(0, "first", battle_id, voter) < 0.5 else "b"


def by_place(place: Place, first: Side) -> Choice:
    """A vote for what was shown first or second as a vote for a side."""
    match place:
        case "first":
            return first
        case "second":
            return "b" if first == "a" else "a"
        case _:
            return place


def cast(store: Store, battle_id: str, voter: str, kind: VoterKind, vote: Choice, first: Side) -> Vote:
    """Write down a vote; on disk when this returns. The same vote again changes nothing.

    A person votes once on a battle; a judge once in each order, which is how its consistency is known.

    Raises:
        WrongVote: there is no such battle, or this voter has said something else about it already.
    """
    if vote not in CHOICES:
        raise WrongVote(f"{vote!r} is no vote; votes: {', '.join(CHOICES)}")
    table = tables.votes
    with writing(store.engine) as connection:
        if _battle(connection, battle_id) is None:
            raise WrongVote(f"there is no battle {battle_id!r}")
        query = sa.select(table).where(table.c.battle_id == battle_id, table.c.voter == voter).order_by(table.c.seq)
        before = [_vote(row) for row in connection.execute(query).mappings()]
        same = next((known for known in before if kind == "person" or known.first == first), None)
        if same is not None:
            if (same.vote, same.kind) != (vote, kind):
                raise WrongVote(say("voted", voter=voter, vote=repr(same.vote)))
            return same
        said = Vote(
            id=f"vote-{content_id(battle_id, voter, first)}",
            battle_id=battle_id,
            voter=voter,
            kind=kind,
            first=first,
            vote=vote,
            created_at=datetime.now(UTC),
        )
        connection.execute(sa.insert(table), said.model_dump())
    return said


def battle(store: Store, id: str) -> Battle | None:
    """One battle."""
    with reading(store.engine) as connection:
        return _battle(connection, id)


def battles(store: Store, task: str) -> list[Fought]:
    """Every battle of a task with its votes, oldest first: all that a leaderboard is computed from."""
    table, said = tables.battles, tables.votes
    with reading(store.engine) as connection:
        query = sa.select(table).where(table.c.task == task).order_by(table.c.created_at, table.c.id)
        fought = [_as_battle(row) for row in connection.execute(query).mappings()]
        votes: dict[str, list[Vote]] = {one.id: [] for one in fought}
        query = sa.select(said).join_from(said, table).where(table.c.task == task).order_by(said.c.seq)
        for row in connection.execute(query).mappings():
            votes[row["battle_id"]].append(_vote(row))
    return [Fought(battle=one, votes=tuple(votes[one.id])) for one in fought]


def voted(connection: sa.Connection, task: str, after: int, through: int) -> Iterator[Voted]:
    """A task's votes with after < seq <= through, in order."""
    table, said = tables.battles, tables.votes
    query = (
        sa.select(said)
        .join_from(said, table)
        .where(table.c.task == task, said.c.seq > after, said.c.seq <= through)
        .order_by(said.c.seq)
    )
    among = sa.select(said.c.battle_id).where(said.c.seq > after, said.c.seq <= through)
    fought = sa.select(table).where(table.c.task == task, table.c.id.in_(among))
    of = {row["id"]: _as_battle(row) for row in connection.execute(fought).mappings()}
    for row in connection.execute(query).mappings():
        yield Voted(seq=row["seq"], battle=of[row["battle_id"]], vote=_vote(row))


def latest_vote(connection: sa.Connection, task: str) -> int:
    """Number of the task's newest vote; 0 where there is none."""
    table, said = tables.battles, tables.votes
    query = sa.select(sa.func.max(said.c.seq)).join_from(said, table).where(table.c.task == task)
    return connection.execute(query).scalar() or 0


def _battle(connection: sa.Connection, id: str) -> Battle | None:
    row = connection.execute(sa.select(tables.battles).where(tables.battles.c.id == id)).mappings().first()
    return None if row is None else _as_battle(row)


def _as_battle(row: Any) -> Battle:
    return Battle.model_validate({key: row[key] for key in Battle.model_fields})


def _vote(row: Any) -> Vote:
    return Vote.model_validate({key: row[key] for key in Vote.model_fields})
