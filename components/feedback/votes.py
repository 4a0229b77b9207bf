"""What battles and votes are, and what votes teach: records and functions of them, without the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, get_args

from components.schema import Message, Preference, Record, content_id

Side = Literal["a", "b"]
Choice = Literal["a", "b", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
Place = Literal["first", "second", "tie", "both_bad"]
VoterKind = Literal["person", "judge"]


class Battle(Record):
    """One prompt and two answers to it."""

    id: str
    task: str
    created_at: datetime
    messages: tuple[Message, ...]
    """The prompt, system message included."""
    version_a: str
    version_b: str
    answer_a: str
    answer_b: str


class Vote(Record):
    """What one person, or one judge in one order, said of one battle."""

    id: str
    battle_id: str
    voter: str
    """A person's name, or the judge's (its model)."""
    kind: VoterKind
    first: Side
    """Which answer was shown first."""
    vote: Choice
    """`a` and `b` are the battle's sides, wherever they were shown."""
    created_at: datetime


class Fought(Record):
    """A battle with its votes, oldest first."""

    battle: Battle
    votes: tuple[Vote, ...]


class Voted(Record):
    """One line of a turn's votes: a vote beside the battle it speaks of."""

    seq: int
    """Position in the store's append-only log of votes; a turn has a range of these."""
    battle: Battle
    vote: Vote


def as_fought(rows: Iterable[Voted]) -> list[Fought]:
    """Battles with the votes at hand, in the order of their first vote."""
    of: dict[str, Battle] = {}
    votes: dict[str, list[Vote]] = {}
    for row in rows:
        of[row.battle.id] = row.battle
        votes.setdefault(row.battle.id, []).append(row.vote)
    return [Fought(battle=of[id], votes=tuple(said)) for id, said in votes.items()]


def preferences(fought: Sequence[Fought], judges: Sequence[str] = ()) -> list[Preference]:
    """The votes for one side as training pairs, one a vote; ties and `both_bad` prefer nothing.

    Args:
        judges: those whose votes count (`components.feedback.judges`). A judge that votes for different
            sides in the two orders prefers nothing, and one that agrees with itself gives one pair.
    """
    found: list[Preference] = []
    for one in fought:
        seen: dict[str, set[Choice]] = {}
        for vote in one.votes:
            seen.setdefault(vote.voter, set()).add(vote.vote)
        told: set[str] = set()
        for vote in one.votes:
            if vote.kind == "judge" and (vote.voter not in judges or len(seen[vote.voter]) > 1):
                continue
            if vote.vote in ("a", "b") and vote.voter not in told:
                told.add(vote.voter)
                found.append(_preference(one.battle, vote))
    return found


def pair_id(of: Battle, vote: Vote) -> str:
    """The id of the pair that a vote makes: one person's votes on one battle make one pair."""
    return content_id("preference", of.id, vote.voter)


def _preference(of: Battle, vote: Vote) -> Preference:
    a, b = (of.version_a, of.answer_a), (of.version_b, of.answer_b)
    chosen, rejected = (a, b) if vote.vote == "a" else (b, a)
    return Preference(
        id=pair_id(of, vote),
        prompt=of.messages,
        chosen=chosen[1],
        rejected=rejected[1],
        source="human" if vote.kind == "person" else "ai",
        rater=vote.voter,
        chosen_version=chosen[0],
        rejected_version=rejected[0],
    )
