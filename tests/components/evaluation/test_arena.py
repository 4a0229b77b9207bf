"""Ratings against a published table, against scikit-learn, and judges that may or may not count."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from components.config import ArenaSettings
from components.evaluation.arena import SCALE, Game, bradley_terry, leaderboard, rated
from components.feedback.judges import judges_of
from components.feedback.votes import Battle, Choice, Fought, Side, Vote, VoterKind, preferences
from components.schema import Message
from tests.components.feedback.conftest import NOW

TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
BASEBALL = {
    ("Milwaukee", "Detroit"): (7, 6), ("Milwaukee", "Toronto"): (9, 4), ("Milwaukee", "New York"): (7, 6),
    ("Milwaukee", "Boston"): (7, 6), ("Milwaukee", "Cleveland"): (9, 4), ("Milwaukee", "Baltimore"): (11, 2),
    ("Detroit", "Toronto"): (7, 6), ("Detroit", "New York"): (5, 8), ("Detroit", "Boston"): (11, 2),
    ("Detroit", "Cleveland"): (9, 4), ("Detroit", "Baltimore"): (9, 4), ("Toronto", "New York"): (7, 6),
    ("Toronto", "Boston"): (7, 6), ("Toronto", "Cleveland"): (8, 5), ("Toronto", "Baltimore"): (12, 1),
    ("New York", "Boston"): (6, 7), ("New York", "Cleveland"): (7, 6), ("New York", "Baltimore"): (10, 3),
    ("Boston", "Cleveland"): (7, 6), ("Boston", "Baltimore"): (12, 1), ("Cleveland", "Baltimore"): (6, 7),
}  # fmt: skip
"""Wins of the first and of the second in the American League's eastern division, 1987: Agresti, Categorical Data
Analysis, 2nd edition (2002), table 10.10."""
PUBLISHED = {
    "Milwaukee": 1.5814, "Detroit": 1.4364, "Toronto": 1.2945, "New York": 1.2476, "Boston": 1.1077,
    "Cleveland": 0.6839, "Baltimore": 0.0,
}  # fmt: skip
"""Strengths above Baltimore's: Turner and Firth, Bradley-Terry Models in R: The BradleyTerry2 Package, Journal of
Statistical Software 48(9), 2012, section 3 (the model without home advantage)."""


def baseball() -> list[Game]:
    return [
        Game(f"{a} {b} {n}", a, b, float(n < wins))
        for (a, b), (wins, losses) in BASEBALL.items()
        for n in range(wins + losses)
    ]


def invented(count: int, seed: int, length: float = 0.0) -> list[Game]:
    """Games of five versions whose strengths are 0, 0.5, … 2; `length` is what length is worth."""
    draw = random.Random(seed)
    games = []
    for number in range(count):
        a, b = draw.sample(range(5), 2)
        longer = draw.uniform(-1, 1) + 0.2 * (a - b)
        odds = 0.5 * (a - b) + length * longer
        score = 0.5 if draw.random() < 0.2 else float(draw.random() < 1 / (1 + math.exp(-odds)))
        games.append(Game(str(number), str(a), str(b), score, longer))
    return games


def logistic(games: list[Game], lengths: bool) -> tuple[NDArray[np.float64], float]:
    """The same by scikit-learn: a tie is a win and a loss of half the weight."""
    from sklearn.linear_model import LogisticRegression

    spread = float(np.std([game.length for game in games]))
    rows, won, weight = [], [], []
    for game in games:
        row = [0.0] * 5 + ([game.length / spread] if lengths else [])
        row[int(game.a)], row[int(game.b)] = 1.0, -1.0
        for outcome, part in ((1, game.score), (0, 1 - game.score)):
            if part:
                rows.append(row)
                won.append(outcome)
                weight.append(part)
    model = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=10_000)
    found = model.fit(rows, won, sample_weight=weight).coef_[0]
    return found[:5] - found[:5].mean(), found[-1]


def test_bradley_terry_gives_the_published_strengths_of_a_baseball_season() -> None:
    found = bradley_terry(baseball())
    for team in TEAMS:
        assert found[team] - found["Baltimore"] == pytest.approx(PUBLISHED[team], abs=5e-5)


def test_it_is_the_logistic_regression_of_another_library_with_ties_and_with_length() -> None:
    games = invented(800, seed=3, length=1.0)
    plain, _ = logistic(games, lengths=False)
    assert [bradley_terry(games)[str(n)] for n in range(5)] == pytest.approx(plain.tolist(), abs=1e-4)
    controlled, effect = logistic(games, lengths=True)
    board = rated(games, length_control=True, resamples=50)
    points = {rating.version: (rating.rating - 1000) / SCALE for rating in board.ratings}
    assert [points[str(n)] for n in range(5)] == pytest.approx(controlled.tolist(), abs=1e-4)
    assert board.length_effect == pytest.approx(effect, abs=1e-4)
    assert board.length_lower is not None
    assert board.length_upper is not None
    assert 0 < board.length_lower < effect < board.length_upper


def test_intervals_hold_the_truth_and_the_same_games_give_the_same_board() -> None:
    games = invented(2000, seed=5)
    board = rated(games, resamples=100)
    assert rated(games, resamples=100) == board
    assert [rating.version for rating in board.ratings] == ["4", "3", "2", "1", "0"]
    # A tie a fifth of the time pulls the strengths together; the order and the middle stay.
    assert board.ratings[2].lower < 1000 < board.ratings[2].upper
    for rating in board.ratings:
        assert rating.lower < rating.rating < rating.upper
        assert rating.elo_lower < rating.elo < rating.elo_upper
    elos = [rating.elo for rating in board.ratings]
    assert elos == sorted(elos, reverse=True)
    assert board.wins[0][0] is None
    assert board.wins[0][4] is not None
    assert board.wins[0][4] + (board.wins[4][0] or 0) == pytest.approx(1)
    assert sum(map(sum, board.met)) == 2 * len(games)


def test_a_version_that_never_lost_and_versions_that_never_met_are_said_to_be() -> None:
    won = [Game(str(n), "1", "2", 1.0) for n in range(8)]
    board = rated(won, resamples=20)
    assert math.isfinite(board.ratings[0].rating)
    assert "only a bound" in board.notes[0]
    board = rated([*won, Game("x", "3", "4", 0.5)], resamples=20)
    assert "cannot be compared: 1, 2; 3, 4" in board.notes[0]
    assert rated([]).ratings == ()


def fought(number: int, votes: list[tuple[str, VoterKind, Choice, Side]]) -> Fought:
    battle = Battle(
        id=f"b{number}", task="t", created_at=NOW, messages=(Message(role="user", content=str(number)),),
        version_a="1", version_b="2", answer_a="x", answer_b="longer",
    )  # fmt: skip
    cast = tuple(
        Vote(id=f"{number}{n}", battle_id=battle.id, voter=v, kind=k, first=f, vote=c, created_at=NOW)
        for n, (v, k, c, f) in enumerate(votes)
    )
    return Fought(battle=battle, votes=cast)


def season(count: int) -> list[Fought]:
    """A person, a judge that mostly agrees, one that takes what it sees first, and one that guesses."""
    draw = random.Random(2)
    battles = []
    for number in range(count):
        human: Choice = draw.choice(["a", "b", "tie"])
        fair: Choice = human if draw.random() < 0.85 else draw.choice(["a", "b"])
        guess: Choice = draw.choice(["a", "b", "tie"])
        votes: list[tuple[str, VoterKind, Choice, Side]] = [("ann", "person", human, "a")]
        for first in ("a", "b"):
            votes += [
                ("fair", "judge", fair, first),
                ("biased", "judge", first, first),
                ("guess", "judge", guess, first),
            ]
        battles.append(fought(number, votes))
    return battles


def test_a_judge_counts_while_it_agrees_with_people_and_one_that_judges_the_place_does_not() -> None:
    battles = season(60)
    biased, fair, guess = judges_of(battles, ArenaSettings())
    assert (fair.judge, fair.trusted, fair.consistency) == ("fair", True, 1.0)
    assert fair.kappa is not None
    assert fair.kappa > 0.6
    assert not biased.trusted
    assert biased.why.startswith("not trusted, because it votes the same in both orders on only 0% of the battles")
    assert guess.why.startswith("not trusted, because its kappa with people is ")
    assert "people voted on only 20" in judges_of(battles[:20], ArenaSettings())[1].why
    trusted = [judge.judge for judge in (biased, fair, guess) if judge.trusted]
    assert leaderboard(battles, trusted, resamples=10).votes == 120
    assert leaderboard(battles, resamples=10).votes == 60
    assert {pair.rater for pair in preferences(battles, trusted)} == {"ann", "fair"}


def test_a_judge_that_never_turned_the_order_is_not_trusted() -> None:
    battles = [fought(n, [("ann", "person", "a", "a"), ("gpt", "judge", "a", "a")]) for n in range(40)]
    (judge,) = judges_of(battles, ArenaSettings())
    assert judge.why == "not trusted, because it has not voted on any battle in both orders"
