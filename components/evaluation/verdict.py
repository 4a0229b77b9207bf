"""May the candidate replace the champion? A rule over paired examples, with its reasons in words."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from components.config import PromotionSettings
from components.evaluation.metrics import commonest, metric_of, summary, value_of
from components.evaluation.statistics import paired_bootstrap
from components.schema import Comparison, Example, Score, Verdict
from components.sentences import say
from components.task import Task

WORDS = {
    "exact": ((0.3, "poor"), (0.6, "weak"), (0.85, "fair"), (2.0, "good")),
    "similarity": ((0.15, "poor"), (0.3, "weak"), (0.45, "fair"), (2.0, "good")),
}
"""Below which mean a result is called what. Said in words, decided by nobody: no promotion rests on them."""


@dataclass(frozen=True)
class SetResult:
    """One evaluation set answered by the candidate, and by what it is compared with."""

    name: str
    title: str
    role: str
    """As `schema.Comparison.role`."""
    examples: Sequence[Example]
    after: Sequence[Score]
    before: Sequence[Score]
    """The champion's answers; the bare base's where there is no champion."""


def judge(
    task: Task,
    results: Sequence[SetResult],
    promotion: PromotionSettings,
    seed: int,
    *,
    has_champion: bool,
    parity: Sequence[str] = (),
    shown: Sequence[Comparison] = (),
) -> Verdict:
    """Apply the rule.

    Promoted only if the target set has at least `min_target` examples and the lower bound of its gain is
    above 0, if the lower bound on every guard set is above −delta, if no regression case that the champion
    answers right is answered wrong, and if the golden prompts come out as they did in training.

    Args:
        parity: what differs in the golden prompts; empty is the proof that training and serving agree.
        shown: what was compared beside the sets; it decides nothing.
    """
    comparisons = tuple(_compare(task, r, promotion, seed) for r in results if r.examples)
    rebroken = tuple(
        after.example_id
        for r in results
        if r.role == "regression" and has_champion
        for before, after in zip(r.before, r.after, strict=True)
        if before.exact and not after.exact
    )
    against, notes = [], []
    if parity:
        against.append(say("parity", what=parity[0] + _more(len(parity) - 1)))
    if has_champion:
        for_, against_ = _weigh(comparisons, rebroken, results, promotion)
        notes += for_
        against += against_
    else:
        notes.append(say("introduced"))
    decision = "refuse" if against else "promote" if has_champion else "first"
    return Verdict(
        decision=decision,
        reasons=(*against, *notes, *quality(task, results)),
        comparisons=(*comparisons, *shown),
        rebroken=rebroken,
        confidence=promotion.confidence,
        delta=promotion.delta,
        simulated_feedback=task.simulated_people,
    )


def quality(task: Task, results: Sequence[SetResult]) -> list[str]:
    """How good the candidate is, one plain line a set that tells something."""
    metric = metric_of(task)
    lines = []
    for r in results:
        if not r.examples or r.name == "replay":
            continue
        mean = sum(value_of(s, metric) for s in r.after) / len(r.after)
        word = say(next(word for limit, word in WORDS[metric] if mean < limit))
        if task.answer == "label":
            answer, share = commonest(r.examples)
            if mean <= share:
                # Poor, whatever the number: this much is had by reading nothing.
                word = say("beaten", word=say("poor"), answer=repr(answer), share=f"{share:.2f}")
        numbers = summary(task, r.examples, r.after)
        if numbers.get("valid", 1.0) < 0.99:
            word = say("partly_valid", word=word, share=f"{numbers['valid']:.0%}")
        lines.append(say(f"quality_{metric}", mean=f"{mean:.2f}", set=r.title, word=word))
    return lines


def _compare(task: Task, r: SetResult, promotion: PromotionSettings, seed: int) -> Comparison:
    metric = metric_of(task)
    before, after = [value_of(s, metric) for s in r.before], [value_of(s, metric) for s in r.after]
    interval = paired_bootstrap(
        before,
        after,
        confidence=promotion.confidence,
        resamples=promotion.resamples,
        seed=seed + zlib.crc32(r.name.encode()),
    )
    return Comparison(
        set=r.name,
        role=r.role,
        examples=len(after),
        metric=metric,
        champion=_rounded(sum(before) / len(before)),
        candidate=_rounded(sum(after) / len(after)),
        gain=_rounded(interval.gain),
        lower=_rounded(interval.lower),
        upper=_rounded(interval.upper),
    )


def _weigh(
    comparisons: Sequence[Comparison],
    rebroken: Sequence[str],
    results: Sequence[SetResult],
    promotion: PromotionSettings,
) -> tuple[list[str], list[str]]:
    """What speaks for the candidate and what against it."""
    for_: list[str] = []
    against: list[str] = []
    titles = {r.name: r.title for r in results}
    targets = [c for c in comparisons if c.role == "target"]
    count = sum(c.examples for c in targets)
    if count < promotion.min_target:
        against.append(say("too_few", count=count, least=promotion.min_target))
    for c in targets:
        if c.lower > 0:
            for_.append(say("better", set=titles[c.set], **_numbers(c, promotion)))
        else:
            against.append(say("no_gain", set=titles[c.set], **_numbers(c, promotion)))
    guards = [c for c in comparisons if c.role == "guard"]
    for c in guards:
        if c.lower > -promotion.delta:
            for_.append(say("nothing_lost", set=titles[c.set], **_numbers(c, promotion)))
        else:
            least = f"−{promotion.delta:g}"
            against.append(say("worse", set=titles[c.set], least=least, **_numbers(c, promotion)))
    if not guards:
        against.append(say("no_guard"))
    fixed = sum(len(r.examples) for r in results if r.role == "regression")
    if rebroken:
        against.append(say("breaks", count=len(rebroken), fixed=fixed, ids=_ids(rebroken)))
    elif fixed:
        for_.append(say("none_broken", fixed=fixed))
    return for_, against


def _numbers(c: Comparison, promotion: PromotionSettings) -> dict[str, object]:
    """What the sentences about a set fill in."""
    return {
        "before": f"{c.champion:.3f}",
        "after": f"{c.candidate:.3f}",
        "gain": signed(c.gain),
        "confidence": f"{promotion.confidence:.0%}",
        "lower": signed(c.lower),
        "upper": signed(c.upper),
        "examples": c.examples,
    }


def signed(value: float) -> str:
    """A gain as people write it: with its sign, and a real minus."""
    return f"{value:+.3f}".replace("-", "−")


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + _more(len(ids) - 5)


def _more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def _rounded(value: float) -> float:
    return round(value, 6) + 0.0
