"""Who is better, from battles: Bradley-Terry and Elo ratings with bootstrap intervals, and who beat whom.

Always recomputed from all stored battles, so nothing drifts. Ties, and "both bad", count as half a win
for each side, in both models. Bradley-Terry (Bradley and Terry 1952, Rank analysis of incomplete block
designs) says that i beats j with probability 1 / (1 + exp(b_j - b_i)); the b are the maximum of the
likelihood, which is a logistic regression, so the answers' difference in length can stand in it as a
covariate (as in Chatbot Arena's style control) and be taken out of the ratings.

    fought = battles(store, "intake")
    board = leaderboard(fought, judges=[j.judge for j in judges_of(fought, settings) if j.trusted])
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.feedback.votes import Choice, Fought
from components.schema import Record
from components.sentences import say

SCALE = 400 / np.log(10)
"""Elo's unit: 400 points are odds of ten to one."""
MIDDLE = 1000.0
ELO_STEP = 4.0
"""Elo's K: small, since versions do not change while they fight."""
SCORES: dict[Choice, float] = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Game:
    """One voter's view of one battle."""

    battle: str
    a: str
    b: str
    score: float
    """1: a won, 0: b won, 0.5: neither."""
    length: float = 0.0
    """(characters of a - characters of b) / (both), from -1 to 1."""


class Rating(Record):
    """One version's place."""

    version: str
    games: int
    """Votes it was in."""
    win_share: float
    """Ties count half."""
    rating: float
    """Bradley-Terry on Elo's scale: 1000 is the mean of all, 400 points more are ten to one."""
    lower: float
    upper: float
    elo: float
    elo_lower: float
    elo_upper: float


class Leaderboard(Record):
    """Best first, with what it rests on."""

    ratings: tuple[Rating, ...]
    battles: int
    votes: int
    versions: tuple[str, ...]
    """Rows and columns of the matrices, in the order of `ratings`."""
    wins: tuple[tuple[float | None, ...], ...]
    """Share of the votes that the row won against the column, ties half; None where they never met."""
    met: tuple[tuple[int, ...], ...]
    """Votes between row and column."""
    length_effect: float | None = None
    """With length control: log-odds that one standard deviation more of relative length is worth."""
    length_lower: float | None = None
    length_upper: float | None = None
    notes: tuple[str, ...] = ()
    """What keeps the ratings from being taken at their word."""


def games(
    fought: Sequence[Fought], judges: Collection[str] = (), versions: Collection[str] | None = None
) -> list[Game]:
    """Every vote that counts: each person's, and of each of these judges the mean of its two orders.

    Args:
        judges: those whose votes count (`components.feedback.judges`).
        versions: only battles between these.
    """
    found: list[Game] = []
    for one in fought:
        a, b = one.battle.version_a, one.battle.version_b
        if versions is not None and not {a, b} <= set(versions):
            continue
        chars = len(one.battle.answer_a), len(one.battle.answer_b)
        length = (chars[0] - chars[1]) / sum(chars) if sum(chars) else 0.0
        by_voter: dict[str, list[float]] = {}
        for vote in one.votes:
            if vote.kind == "person" or vote.voter in judges:
                by_voter.setdefault(vote.voter, []).append(SCORES[vote.vote])
        found += [Game(one.battle.id, a, b, sum(said) / len(said), length) for said in by_voter.values()]
    return found


def leaderboard(
    fought: Sequence[Fought],
    judges: Collection[str] = (),
    versions: Collection[str] | None = None,
    length_control: bool = False,
    resamples: int = 500,
    seed: int = 17,
) -> Leaderboard:
    """Ratings of all versions that fought, with 95 % percentile intervals from a bootstrap over battles.

    See `games` for `judges` and `versions`. The same battles and seed give the same numbers. Battles, not
    votes, are drawn, since what several people say of one battle is not independent.
    """
    return rated(games(fought, judges, versions), length_control, resamples, seed)


def rated(played: Sequence[Game], length_control: bool = False, resamples: int = 500, seed: int = 17) -> Leaderboard:
    """`leaderboard` of games."""
    names = sorted({name for game in played for name in (game.a, game.b)})
    if not names:
        return Leaderboard(ratings=(), battles=0, votes=0, versions=(), wins=(), met=())
    table = _Table(played, names, length_control)
    strengths, effect = table.fit(np.ones(len(played)))
    elos = table.elo(range(len(played)))
    rng = np.random.default_rng(seed)
    drawn = [table.fit(weights) for weights in table.resampled(rng, resamples)]
    drawn_elos = np.array([table.elo(order) for order in table.orders(rng, resamples)])
    low, high = _interval(np.array([_points(b) for b, _ in drawn]))
    elo_low, elo_high = _interval(drawn_elos)
    points = _points(strengths)
    won, met = table.matrices()
    order = sorted(range(len(names)), key=lambda i: (-points[i], names[i]))
    ratings = tuple(
        Rating(
            version=names[i],
            games=int(met[i].sum()),
            win_share=float(won[i].sum() / met[i].sum()),
            rating=float(points[i]),
            lower=float(low[i]),
            upper=float(high[i]),
            elo=float(elos[i]),
            elo_lower=float(elo_low[i]),
            elo_upper=float(elo_high[i]),
        )
        for i in order
    )
    length = _interval(np.array([[e] for _, e in drawn])) if length_control else None
    return Leaderboard(
        ratings=ratings,
        battles=len({game.battle for game in played}),
        votes=len(played),
        versions=tuple(names[i] for i in order),
        wins=tuple(tuple(float(won[i, j] / met[i, j]) if met[i, j] else None for j in order) for i in order),
        met=tuple(tuple(int(met[i, j]) for j in order) for i in order),
        length_effect=float(effect) if length_control else None,
        length_lower=None if length is None else float(length[0][0]),
        length_upper=None if length is None else float(length[1][0]),
        notes=table.notes(),
    )


def bradley_terry(played: Sequence[Game]) -> dict[str, float]:
    """Maximum-likelihood strengths (log-odds, mean 0) by version."""
    names = sorted({name for game in played for name in (game.a, game.b)})
    strengths, _ = _Table(played, names, False).fit(np.ones(len(played)))
    return dict(zip(names, strengths.tolist(), strict=True))


class _Table:
    """Games as arrays."""

    def __init__(self, played: Sequence[Game], names: Sequence[str], length_control: bool) -> None:
        place = {name: number for number, name in enumerate(names)}
        self._names = names
        self._a = np.array([place[game.a] for game in played])
        self._b = np.array([place[game.b] for game in played])
        self._score: Numbers = np.array([game.score for game in played])
        spread = float(np.std([game.length for game in played]))
        self._length: Numbers = np.array([game.length for game in played]) / (spread or 1.0)
        self._length_control = length_control and spread > 0
        groups: dict[str, int] = {}
        self._battle = np.array([groups.setdefault(game.battle, len(groups)) for game in played])
        self._battles = len(groups)

    def fit(self, weights: Numbers) -> tuple[Numbers, float]:
        """Strengths (mean 0) and the effect of length, of weighted games, by Newton's method.

        Where some version never lost (or never won) to the rest, the likelihood has no maximum; half a tie
        between each pair that met then keeps the numbers finite (`notes` says so).
        """
        count = len(self._names)
        width = count + self._length_control
        design = np.zeros((len(self._a), width))
        at = np.arange(len(self._a))
        design[at, self._a] += 1
        design[at, self._b] -= 1
        if self._length_control:
            design[:, -1] = self._length
        score = self._score
        if not self._connected(weights):
            pairs = sorted({(min(a, b), max(a, b)) for a, b in zip(self._a.tolist(), self._b.tolist(), strict=True)})
            more = np.zeros((len(pairs), width))
            for row, (one, other) in enumerate(pairs):
                more[row, one], more[row, other] = 1, -1
            design, score = np.vstack([design, more]), np.concatenate([score, np.full(len(pairs), 0.5)])
            weights = np.concatenate([weights, np.full(len(pairs), 0.5)])
        found = np.zeros(width)
        # Strengths are known up to a constant: a penalty on their sum, which changes nothing else, fixes it.
        fixed = np.zeros((width, width))
        fixed[:count, :count] = 1.0
        for _ in range(100):
            chance = 1 / (1 + np.exp(-design @ found))
            slope = design.T @ (weights * (score - chance)) - fixed @ found
            curve = (design * (weights * chance * (1 - chance))[:, None]).T @ design + fixed + 1e-9 * np.eye(width)
            step = np.linalg.solve(curve, slope)
            step *= min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
            found = found + step
            if float(np.abs(step).max()) < 1e-10:
                break
        strengths = found[:count] - found[:count].mean()
        return strengths, float(found[-1]) if self._length_control else 0.0

    def elo(self, order: Sequence[int] | range | NDArray[np.int64]) -> Numbers:
        """Elo ratings (Elo 1978) after the games in this order."""
        ratings = [MIDDLE] * len(self._names)
        a, b, score = self._a.tolist(), self._b.tolist(), self._score.tolist()
        for game in order:
            one, other = a[game], b[game]
            expected = 1 / (1 + 10 ** ((ratings[other] - ratings[one]) / 400))
            change = ELO_STEP * (score[game] - expected)
            ratings[one] += change
            ratings[other] -= change
        return np.array(ratings)

    def resampled(self, rng: np.random.Generator, times: int) -> list[Numbers]:
        """Weights of the games where battles are drawn with replacement."""
        return [
            np.bincount(rng.integers(self._battles, size=self._battles), minlength=self._battles)[self._battle].astype(
                np.float64
            )
            for _ in range(times)
        ]

    def orders(self, rng: np.random.Generator, times: int) -> list[NDArray[np.int64]]:
        """Games drawn with replacement, in the order drawn: Elo depends on it, so its interval must show that."""
        return [rng.integers(len(self._a), size=len(self._a)) for _ in range(times)]

    def matrices(self) -> tuple[Numbers, Numbers]:
        """Wins (ties half) and games of row against column."""
        won, met = np.zeros((2, len(self._names), len(self._names)))
        for a, b, score in zip(self._a, self._b, self._score, strict=True):
            won[a, b] += score
            won[b, a] += 1 - score
            met[a, b] += 1
            met[b, a] += 1
        return won, met

    def notes(self) -> tuple[str, ...]:
        """What the ratings do not know."""
        _, met = self.matrices()
        groups = _reached(met > 0)
        if len(groups) > 1:
            parts = "; ".join(", ".join(self._names[i] for i in sorted(group)) for group in groups)
            return (say("never_met", parts=parts),)
        if not self._connected(np.ones(len(self._a))):
            return (say("only_a_bound"),)
        return ()

    def _connected(self, weights: Numbers) -> bool:
        """Has everybody, through others, beaten and lost to everybody? Then a maximum exists (Ford 1957)."""
        beaten = np.zeros((len(self._names), len(self._names)), dtype=bool)
        here = weights > 0
        beaten[self._a[here & (self._score > 0)], self._b[here & (self._score > 0)]] = True
        beaten[self._b[here & (self._score < 1)], self._a[here & (self._score < 1)]] = True
        reach = beaten | np.eye(len(beaten), dtype=bool)
        for _ in range(max(1, len(beaten).bit_length())):
            reach = reach @ reach
        return bool(reach.all())


def _reached(met: NDArray[np.bool_]) -> list[set[int]]:
    """Groups of versions that met, directly or through others."""
    left, groups = set(range(len(met))), []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = {int(j) for i in edge for j in np.flatnonzero(met[i])} - group
        groups.append(group)
        left -= group
    return groups


def _points(strengths: Numbers) -> Numbers:
    return MIDDLE + SCALE * strengths


def _interval(drawn: Numbers) -> tuple[Numbers, Numbers]:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return low, high
