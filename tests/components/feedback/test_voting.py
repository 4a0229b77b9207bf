"""A judge votes in the arena by itself; one that judges the place instead of the answer is found out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from components.config import ArenaSettings
from components.evaluation.arena import leaderboard
from components.feedback import voting
from components.feedback.battles import Fought, WrongVote, battles, by_place, cast, first_for, open_battle
from components.feedback.judges import judges_of
from components.feedback.store import Store
from components.llm.judge import Choice, Judge
from components.schema import Example, Message
from components.task import Task

MAIL = Task(name="mail", title="Mail", answer="text")
SETTINGS = ArenaSettings(min_overlap=20)


def longer(prompt: Sequence[Message], first: str, second: str) -> Choice:
    return "neither" if len(first) == len(second) else "first" if len(first) > len(second) else "second"


def whatever_is_first(prompt: Sequence[Message], first: str, second: str) -> Choice:
    return "first"


def fight(store: Store, count: int, people: int) -> list[Fought]:
    """Battles of version 1 (short) and 2 (long), sometimes turned around; on `people` of them a person likes longer."""
    for number in range(count):
        short, long = f"no {number}", f"certainly not, number {number}"
        one, two = (long, short) if number % 3 == 0 else (short, long)
        asked = (Message(role="user", content=f"question {number}?"),)
        battle = open_battle(store, "mail", asked, ("1", one), ("2", two))
        if number >= count - people:
            first = first_for(battle.id, "ann")
            answers = {"a": battle.answer_a, "b": battle.answer_b}
            second = "b" if first == "a" else "a"
            place = longer(asked, answers[first], answers[second])
            cast(store, battle.id, "ann", "person", by_place(voting.PLACES[place], first), first)
    return battles(store, "mail")


def voted(store: Store, judge: Judge, name: str) -> voting.Voted:
    *_, last = voting.vote(store, voting.open_for(battles(store, "mail"), name), judge, name, parallel=4)
    return last


def test_a_judge_that_agrees_with_people_counts_and_one_that_likes_the_first_place_does_not(store: Store) -> None:
    fight(store, 30, people=25)
    honest, biased = voted(store, longer, "ai:honest"), voted(store, whatever_is_first, "ai:biased")
    assert (honest.battles, honest.votes, honest.consistent, honest.with_people) == (30, 60, 30, 25)
    assert (biased.battles, biased.votes, biased.consistent) == (30, 60, 0)
    fought = battles(store, "mail")
    told = {one.judge: one for one in judges_of(fought, SETTINGS)}
    assert told["ai:honest"].trusted
    assert not told["ai:biased"].trusted
    assert told["ai:biased"].why.startswith("not trusted, because it votes the same in both orders on only 0%")
    people = leaderboard(fought, [])
    counted = leaderboard(fought, [name for name, one in told.items() if one.trusted])
    assert people.votes == 25
    assert counted.votes > people.votes
    assert counted == leaderboard([*fought], ["ai:honest"]), "the biased judge's 60 votes move nothing"


def test_battles_that_people_voted_on_come_first_and_a_stopped_judge_goes_on_where_it_was(store: Store) -> None:
    fight(store, 12, people=3)
    waiting = voting.open_for(battles(store, "mail"), "ai:x")
    assert [any(v.kind == "person" for v in one.votes) for one in waiting] == [True] * 3 + [False] * 9
    half = waiting[0].battle
    cast(store, half.id, "ai:x", "judge", "a" if len(half.answer_a) > len(half.answer_b) else "b", "a")
    account = voted(store, longer, "ai:x")
    assert (account.battles, account.votes, account.consistent) == (12, 23, 12)
    assert voting.open_for(battles(store, "mail"), "ai:x") == []
    assert len(voting.open_for(battles(store, "mail"), "ai:y")) == 12


def test_new_prompts_become_battles_once_and_equal_answers_none(store: Store) -> None:
    fight(store, 2, people=0)
    rows = [
        Example(
            id=f"r{n}",
            messages=(Message(role="user", content=f"question {n}?"), Message(role="assistant", content=".")),
        )
        for n in range(8)
    ]

    def answer(prompt: Sequence[Message], version: str) -> str:
        return "the same" if "4" in prompt[-1].content else f"{version} says {prompt[-1].content}"

    opened = list(voting.new_battles(store, MAIL, rows, ["1", "2", "base"], answer, 4))
    assert [one is None for one in opened] == [False, False, True, False], "questions 2 to 5; 4 is answered alike"
    assert {frozenset((one.version_a, one.version_b)) for one in opened if one is not None} == {
        frozenset(("1", "2")),
        frozenset(("1", "base")),
    }
    assert len(battles(store, "mail")) == 5
    with pytest.raises(WrongVote, match="two versions"):
        list(voting.new_battles(store, MAIL, rows, ["1"], answer, 1))
