from __future__ import annotations

import pytest
import sqlalchemy as sa

from components.feedback.battles import (
    WrongVote,
    battles,
    by_place,
    cast,
    first_for,
    open_battle,
)
from components.feedback.store import Store
from components.feedback.votes import preferences
from components.schema import Message

PROMPT = (Message(role="user", content="what is it?"),)


def test_the_same_two_answers_are_one_battle_whichever_comes_first(store: Store) -> None:
    one = open_battle(store, "intake", PROMPT, ("1", "x"), ("2", "y"))
    assert open_battle(store, "intake", PROMPT, ("2", "y"), ("1", "x")) == one
    assert {(one.version_a, one.answer_a), (one.version_b, one.answer_b)} == {("1", "x"), ("2", "y")}
    with pytest.raises(WrongVote, match="two versions"):
        open_battle(store, "intake", PROMPT, ("1", "x"), ("1", "y"))


def test_each_voter_sees_the_sides_in_an_order_of_their_own_and_votes_once(store: Store) -> None:
    one = open_battle(store, "intake", PROMPT, ("1", "x"), ("2", "y"))
    orders = [first_for(one.id, f"person {number}") for number in range(200)]
    assert 60 < orders.count("a") < 140
    first = first_for(one.id, "ann")
    assert (by_place("first", first), by_place("second", first)) == (first, "b" if first == "a" else "a")
    said = cast(store, one.id, "ann", "person", by_place("second", first), first)
    assert cast(store, one.id, "ann", "person", said.vote, first) == said
    with pytest.raises(WrongVote, match="already"):
        cast(store, one.id, "ann", "person", "tie", first)
    with pytest.raises(WrongVote, match="no battle"):
        cast(store, "battle-0", "ann", "person", "tie", "a")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE votes SET vote = 'a'"))


def test_a_judge_votes_in_both_orders(store: Store) -> None:
    one = open_battle(store, "intake", PROMPT, ("1", "x"), ("2", "y"))
    cast(store, one.id, "gpt", "judge", "a", "a")
    cast(store, one.id, "gpt", "judge", "b", "b")
    (fought,) = battles(store, "intake")
    assert fought.battle == one
    assert [(vote.first, vote.vote) for vote in fought.votes] == [("a", "a"), ("b", "b")]
    assert battles(store, "clinic") == []


def test_votes_for_a_side_are_preferences_and_a_judges_only_where_it_counts_and_is_of_one_mind(store: Store) -> None:
    one = open_battle(store, "intake", PROMPT, ("1", "x"), ("2", "y"))
    other = open_battle(store, "intake", PROMPT, ("1", "u"), ("2", "v"))
    cast(store, one.id, "ann", "person", "a", "b")
    cast(store, one.id, "bob", "person", "tie", "b")
    for first in ("a", "b"):
        cast(store, one.id, "gpt", "judge", "b", first)  # type: ignore[arg-type]
        cast(store, other.id, "gpt", "judge", first, first)  # type: ignore[arg-type]
    (human,) = preferences(battles(store, "intake"))
    assert (human.source, human.rater, human.chosen, human.rejected) == ("human", "ann", one.answer_a, one.answer_b)
    assert (human.chosen_version, human.rejected_version) == (one.version_a, one.version_b)
    pairs = preferences(battles(store, "intake"), judges=["gpt"])
    assert [(pair.source, pair.chosen) for pair in pairs] == [("human", one.answer_a), ("ai", one.answer_b)]
