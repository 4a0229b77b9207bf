"""May a judge's votes count beside people's? Only while it agrees with them, and with itself in both orders.

A model that judges prefers, among other things, whatever it is shown first (Zheng et al. 2023, Judging
LLM-as-a-Judge); so it votes on every battle in both orders, and one that changes its mind with the order
is told by that, however well half of its votes agree with people's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from components.config import ArenaSettings
from components.feedback.agreement import cohens_kappa
from components.feedback.votes import Choice, Fought, Vote
from components.schema import Record
from components.sentences import say

Verdict = Literal["a", "b", "tie"]


class Judge(Record):
    """What is known of one judge."""

    judge: str
    trusted: bool
    why: str
    """In words: what holds, or what keeps its votes from counting."""
    battles: int
    """On which it voted."""
    both_orders: int
    consistency: float | None
    """Share of the battles that it saw in both orders on which it voted the same; None without any."""
    overlap: int
    """Battles on which people voted, too."""
    kappa: float | None
    """Cohen's kappa with people's majority on these, over a, b and tie (both bad is a tie here)."""


def judges_of(fought: Sequence[Fought], settings: ArenaSettings) -> list[Judge]:
    """Every judge that voted, by name."""
    names = sorted({vote.voter for one in fought for vote in one.votes if vote.kind == "judge"})
    return [_weighed(name, fought, settings) for name in names]


def _weighed(name: str, fought: Sequence[Fought], settings: ArenaSettings) -> Judge:
    pairs: list[tuple[Verdict, Verdict]] = []
    same = both = battles = 0
    for one in fought:
        own = [vote for vote in one.votes if vote.kind == "judge" and vote.voter == name]
        if not own:
            continue
        battles += 1
        if len({vote.first for vote in own}) == 2:
            both += 1
            same += own[0].vote == own[1].vote
        people = _majority([vote for vote in one.votes if vote.kind == "person"])
        if people is not None:
            pairs.append((people, _verdict(own)))
    agreement = cohens_kappa(pairs)
    consistency = same / both if both else None
    problem = _problem(agreement.kappa, len(pairs), consistency, settings)
    why = problem or say(
        "trusted", kappa=f"{agreement.kappa:.2f}", overlap=len(pairs), consistency=f"{consistency:.0%}", both=both
    )
    return Judge(
        judge=name,
        trusted=problem is None,
        why=why,
        battles=battles,
        both_orders=both,
        consistency=consistency,
        overlap=len(pairs),
        kappa=agreement.kappa,
    )


def _problem(kappa: float | None, overlap: int, consistency: float | None, settings: ArenaSettings) -> str | None:
    if consistency is None:
        return say("one_order")
    if consistency < settings.min_consistency:
        return say("inconsistent", consistency=f"{consistency:.0%}", least=f"{settings.min_consistency:.0%}")
    if overlap < settings.min_overlap:
        return say("no_overlap", overlap=overlap, least=settings.min_overlap)
    if kappa is None:
        return say("no_kappa")
    if kappa < settings.min_kappa:
        return say("low_kappa", kappa=f"{kappa:.2f}", least=f"{settings.min_kappa:g}")
    return None


def _side(vote: Choice) -> Verdict:
    return "tie" if vote == "both_bad" else vote


def _verdict(own: Sequence[Vote]) -> Verdict:
    """What a judge says in both orders; a tie where it changes its mind."""
    said = {_side(vote.vote) for vote in own}
    return said.pop() if len(said) == 1 else "tie"


def _majority(votes: Sequence[Vote]) -> Verdict | None:
    """What most people say; a tie where no side has more than half. None where nobody voted."""
    if not votes:
        return None
    (most, count), *_ = Counter(_side(vote.vote) for vote in votes).most_common()
    return most if 2 * count > len(votes) else "tie"
