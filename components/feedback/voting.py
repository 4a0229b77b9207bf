"""A judge's votes in the arena: on people's battles, and on prompts that nobody has asked; always in both orders.

Whether its votes count is not decided here, but from all votes whenever somebody asks (`components.feedback.judges`).
That needs battles on which people voted, too, so those come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.feedback import battles, votes
from components.feedback.store import Store
from components.feedback.votes import Battle, Fought, Place, Side
from components.llm.judge import Choice, Judge
from components.schema import Example, Message
from components.scoring import same
from components.task import Task

PLACES: dict[Choice, Place] = {"first": "first", "second": "second", "neither": "tie"}
Answer = Callable[[Sequence[Message], str], str]
"""(prompt, version) → what it answers."""


@dataclass
class Voted:
    """What came of it so far."""

    battles: int = 0
    """On which it voted now."""
    with_people: int = 0
    """Of these, the ones on which people voted, too."""
    votes: int = 0
    consistent: int = 0
    """Battles on which it voted the same in both orders."""


def open_for(fought: Sequence[Fought], judge: str) -> list[Fought]:
    """Battles on which a judge has not voted in both orders; those that people voted on first, then the oldest."""

    def missing(one: Fought) -> bool:
        return len({vote.first for vote in one.votes if vote.kind == "judge" and vote.voter == judge}) < 2

    return sorted(filter(missing, fought), key=lambda one: not any(vote.kind == "person" for vote in one.votes))


def vote(store: Store, fought: Sequence[Fought], judge: Judge, name: str, parallel: int = 1) -> Iterator[Voted]:
    """Have a judge vote on battles, each in both orders; yields the account after each. A stopped one goes on later.

    Args:
        name: whose votes they are.
        parallel: battles at a time.

    Raises:
        StageError: the judge's endpoint failed, or a person has voted under this name.
    """
    account = Voted()
    with ThreadPoolExecutor(parallel) as pool:
        try:
            for one, said in zip(fought, pool.map(lambda one: _asked(one, judge, name), fought), strict=True):
                for first, choice in said.items():
                    battles.cast(store, one.battle.id, name, "judge", choice, first)
                before = {v.first: v.vote for v in one.votes if v.kind == "judge" and v.voter == name}
                account.battles += 1
                account.votes += len(said)
                account.consistent += len({*before.values(), *said.values()}) == 1
                account.with_people += any(v.kind == "person" for v in one.votes)
                yield account
        finally:
            pool.shutdown(cancel_futures=True)


def _asked(one: Fought, judge: Judge, name: str) -> dict[Side, votes.Choice]:
    """What the judge says in each order that it has not voted in."""
    of = one.battle
    answers: dict[Side, str] = {"a": of.answer_a, "b": of.answer_b}
    done = {vote.first for vote in one.votes if vote.kind == "judge" and vote.voter == name}
    orders: tuple[tuple[Side, Side], ...] = (("a", "b"), ("b", "a"))
    return {
        first: battles.by_place(PLACES[judge(of.messages, answers[first], answers[second])], first)
        for first, second in orders
        if first not in done
    }


def new_battles(
    store: Store, task: Task, rows: Sequence[Example], versions: Sequence[str], answer: Answer, count: int
) -> Iterator[Battle | None]:
    """Battles over prompts that nobody has fought over; yields None where both answers say the same.

    Args:
        rows: whose prompts are asked, in this order, until `count` were.
        versions: who takes part; each prompt goes to two of them, each pair in its turn.

    Raises:
        StageError: fewer than two versions, or one does not answer.
    """
    if len(versions) < 2:
        raise battles.WrongVote(f"a battle needs two versions, and there is {', '.join(versions) or 'none'}")
    pairs = [(one, other) for number, one in enumerate(versions) for other in versions[number + 1 :]]
    known = {_prompt(one.battle.messages) for one in battles.battles(store, task.name)}
    fresh = [row for row in rows if _prompt(row.prompt) not in known][:count]
    for number, row in enumerate(fresh):
        one, other = pairs[number % len(pairs)]
        answers = answer(row.prompt, one), answer(row.prompt, other)
        if same(task, *answers):
            yield None
        else:
            yield battles.open_battle(store, task.name, row.prompt, (one, answers[0]), (other, answers[1]))


def _prompt(messages: Sequence[Message]) -> tuple[str, ...]:
    return tuple(message.content for message in messages if message.role != "system")
