"""The majority by normalised answer, and its share of all samples."""

from __future__ import annotations

from serving.strategies.vote import Vote, vote


def normal(answer: str) -> str | None:
    return answer.strip().lower() or None


def test_answers_that_say_the_same_vote_together_and_the_first_of_them_speaks() -> None:
    assert vote(["b", "A ", "a", " a", "b"], normal) == Vote(winner=1, share=0.6, samples=5, valid=5)


def test_of_equal_parties_the_one_that_spoke_first_wins() -> None:
    assert vote(["x", "y", "y", "x"], normal).winner == 0


def test_an_invalid_answer_has_no_vote_and_still_lowers_the_share() -> None:
    assert vote(["", "", "", "a"], normal) == Vote(winner=3, share=0.25, samples=4, valid=1)


def test_where_all_are_invalid_the_first_is_answered_with_a_share_of_nothing() -> None:
    assert vote(["", " "], normal) == Vote(winner=0, share=0.0, samples=2, valid=0)
