"""May the candidate replace the champion? The gate's rule (`gate.py`) over scored answers, its reasons in words."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.config import PromotionSettings
from components.evaluation import gate
from components.evaluation.gate import Bounded, Guard, GuardResult
from components.evaluation.metrics import commonest, metric_of, summary, value_of
from components.noninferiority import MOST_LOSS, Gains, Interval, allowed_loss, paired_interval, rows_to_prove
from components.schema import Comparison, Example, Need, Score, Verdict
from components.sentences import say
from components.task import Task

WORDS = {
    "exact": ((0.3, "poor"), (0.6, "weak"), (0.85, "fair"), (2.0, "good")),
    "similarity": ((0.15, "poor"), (0.3, "weak"), (0.45, "fair"), (2.0, "good")),
}
"""Below which mean a result is called what. Words only: no promotion rests on them."""
NAMED = 5
"""So many ids stand in a sentence."""


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
    available: int = 0
    """Rows at hand; a guard may have been judged by fewer. 0: as many as there are examples."""
    best: Sequence[Score] | None = None
    """Of the best version that ever served, on a guard's rows, where that is not the champion."""


@dataclass
class _Reasons:
    """What speaks against the candidate, what for it, and what would change a refusal."""

    against: list[str]
    notes: list[str]
    needs: list[Need]

    @classmethod
    def none(cls) -> _Reasons:
        return cls([], [], [])

    def refuse(self, reason: str, need: Need | None = None) -> None:
        self.against.append(reason)
        if need is not None:
            self.needs.append(need)


def judge(
    task: Task,
    results: Sequence[SetResult],
    promotion: PromotionSettings,
    seed: int,
    *,
    has_champion: bool,
    error: float | None = None,
    locked_share: float = 1.0,
    parity: Sequence[str] = (),
    shown: Sequence[Comparison] = (),
) -> Verdict:
    """Apply the rule of docs/gate.md.

    Promoted only if the target surely gains; if on all guards together, on each, and since the best version that ever
    served, a loss of more than its bound is surely excluded; if fixed cases hold as a whole and no critical one breaks;
    and if the golden prompts come out as they did in training.

    Args:
        error: of the look at which the guards were judged; None: all rows were looked at once.
        locked_share: of new corrections, how many become target rows: to say how many more are needed.
        parity: what differs in the golden prompts; empty is the proof that training and serving agree.
        shown: further comparisons, which decide nothing.
    """
    total_error = (1 - promotion.confidence) / 2
    error = total_error if error is None else error
    delta = _delta(results, promotion)
    comparisons = tuple(_compare(task, r, promotion, delta, error, seed) for r in results if r.examples)
    reasons = _Reasons.none()
    if parity:
        reasons.refuse(say("parity", what=parity[0] + _more(len(parity) - 1)), Need(kind="none"))
    guards = guard_result(task, results, promotion, error) if has_champion else None
    if has_champion:
        _judge_target(task, results, promotion, locked_share, seed, reasons)
        _judge_guards(task, results, guards, promotion, reasons)
        _judge_fixed(task, results, promotion, reasons)
        _judge_critical(task, results, reasons)
    else:
        reasons.notes.append(say("introduced"))
    decision = "refuse" if reasons.against else "promote" if has_champion else "first"
    return Verdict(
        decision=decision,
        reasons=(*reasons.against, *reasons.notes, *quality(task, results)),
        against=len(reasons.against),
        supporting=len(reasons.notes) if has_champion else 0,
        comparisons=(*comparisons, *shown),
        guards=_overall(task, results, guards.together, best=False) if guards else None,
        since_best=_overall(task, results, guards.since_best, best=True) if guards and guards.since_best else None,
        rebroken=tuple(_broken(task, results, "regression")) if has_champion else (),
        needs=tuple(reasons.needs),
        confidence=promotion.confidence,
        delta=delta,
        simulated_feedback=task.simulated_people,
    )


def guard_result(
    task: Task, results: Sequence[SetResult], promotion: PromotionSettings, error: float
) -> GuardResult | None:
    """All guards at one look; None where no guard has a row."""
    guards = [
        Guard(
            name=r.name,
            gains=_gains(task, r.before, r.after),
            rows=max(r.available, len(r.examples)),
            since_best=None if r.best is None else _gains(task, r.best, r.after),
        )
        for r in results
        if r.role == "guard" and r.examples
    ]
    if not guards:
        return None
    return gate.judge_guards(guards, _delta(results, promotion), error, (1 - promotion.confidence) / 2)


def _delta(results: Sequence[SetResult], promotion: PromotionSettings) -> float:
    """The most that all guards together may lose."""
    rows = sum(max(r.available, len(r.examples)) for r in results if r.role == "guard")
    return allowed_loss(promotion.delta, rows, (1 - promotion.confidence) / 2)


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


def _judge_target(
    task: Task,
    results: Sequence[SetResult],
    promotion: PromotionSettings,
    locked_share: float,
    seed: int,
    reasons: _Reasons,
) -> None:
    sets = [r for r in results if r.role == "target"]
    gains = np.concatenate([_gains(task, r.before, r.after) for r in sets]) if sets else np.zeros(0)
    error = (1 - promotion.confidence) / 2
    result = gate.judge_target(gains, promotion.min_target, error, seed)
    title = sets[0].title if sets else say("set_target")
    if result.status == "better":
        reasons.notes.append(
            say("better", set=title, **_numbers(result.interval, result.rows, promotion), **_means(task, sets))
        )
        return
    missing = math.ceil(gate.target_rows_missing(result, gains) / locked_share)
    need = Need(kind="corrections", count=missing) if missing else Need(kind="none")
    if result.status == "too_few":
        reasons.refuse(say("too_few", count=result.rows, least=promotion.min_target), need)
    else:
        numbers = _numbers(result.interval, result.rows, promotion) | _means(task, sets)
        code = "gain_by_chance" if result.interval.lower > 0 else "no_gain"
        reasons.refuse(say(code, set=title, chance=f"{result.by_chance:.3f}", **numbers), need)


def _judge_guards(
    task: Task,
    results: Sequence[SetResult],
    guards: GuardResult | None,
    promotion: PromotionSettings,
    reasons: _Reasons,
) -> None:
    error = (1 - promotion.confidence) / 2
    if guards is None:
        most = promotion.delta or MOST_LOSS
        reasons.refuse(say("no_guard"), Need(kind="guard_rows", count=rows_to_prove(most, error)))
        return
    by_name = {r.name: r for r in results if r.role == "guard"}
    for part in guards.parts:
        r = by_name.get(part.name)
        title = r.title if r else say(f"set_{part.name}")
        numbers = _numbers(part.interval, part.rows, promotion) | {"set": title, "bound": f"{part.bound:.3f}"}
        if part.status == "kept":
            reasons.notes.append(say("loss_excluded", **numbers))
        elif part.status == "lost":
            reasons.refuse(say("loss_proven", **numbers), Need(kind="none"))
        else:
            rows = [r] if r else list(by_name.values())
            gains = np.concatenate(
                [_gains(task, g.best if part.name == "best" and g.best else g.before, g.after) for g in rows]
            )
            missing = gate.rows_missing(part, gains, error)
            reasons.refuse(
                say("loss_not_excluded", **numbers) if missing else say("loss_likely", **numbers),
                Need(kind="guard_rows", count=missing) if missing else Need(kind="none"),
            )


def _judge_fixed(task: Task, results: Sequence[SetResult], promotion: PromotionSettings, reasons: _Reasons) -> None:
    sets = [r for r in results if r.role == "regression" and r.examples]
    if not sets:
        return
    metric = metric_of(task)
    before = [value_of(score, metric) for r in sets for score in r.before]
    after = [value_of(score, metric) for r in sets for score in r.after]
    result = gate.judge_fixed(before, after, promotion.broken, (1 - promotion.confidence) / 2)
    numbers = {
        "broken": result.broken,
        "mended": result.mended,
        "fixed": result.cases,
        "upper": f"{result.upper:.3f}",
        "limit": f"{result.limit:.3f}",
    }
    if result.status == "kept":
        reasons.notes.append(say("fixed_hold", **numbers))
        return
    ids = _broken(task, results, "regression")
    code = "fixed_break" if result.status == "lost" else "fixed_may_break"
    reasons.refuse(say(code, **numbers, ids=_ids(ids)), Need(kind="look", count=len(ids), ids=tuple(ids[:LOOKS])))


LOOKS = 100
"""So many cases are named for a person to look at."""


def _judge_critical(task: Task, results: Sequence[SetResult], reasons: _Reasons) -> None:
    cases = sum(len(r.examples) for r in results if r.role == "critical")
    if not cases:
        return
    ids = _broken(task, results, "critical")
    if ids:
        reasons.refuse(
            say("critical_break", count=len(ids), cases=cases, ids=_ids(ids)),
            Need(kind="look", count=len(ids), ids=tuple(ids[:LOOKS])),
        )
    else:
        reasons.notes.append(say("critical_hold", cases=cases))


def _broken(task: Task, results: Sequence[SetResult], role: str) -> list[str]:
    """Ids of cases that the champion answers right (or better) and the candidate does not."""
    return [
        example.id
        for r in results
        if r.role == role
        for example, gain in zip(r.examples, _gains(task, r.before, r.after), strict=True)
        if gain <= -gate.MOVED
    ]


def _gains(task: Task, before: Sequence[Score], after: Sequence[Score]) -> Gains:
    metric = metric_of(task)
    return np.array([value_of(b, metric) - value_of(a, metric) for a, b in zip(before, after, strict=True)])


def _compare(
    task: Task, r: SetResult, promotion: PromotionSettings, delta: float, error: float, seed: int
) -> Comparison:
    metric = metric_of(task)
    total = (1 - promotion.confidence) / 2
    interval = paired_interval(
        _gains(task, r.before, r.after),
        error if r.role == "guard" else total,
        seed + zlib.crc32(r.name.encode()),
    )
    available = max(r.available, len(r.examples))
    return Comparison(
        set=r.name,
        role=r.role,
        examples=len(r.examples),
        available=available,
        bound=_rounded(gate.own_bound(available, delta, total)) if r.role == "guard" else None,
        metric=metric,
        champion=_rounded(_mean([value_of(s, metric) for s in r.before])),
        candidate=_rounded(_mean([value_of(s, metric) for s in r.after])),
        **_fields(interval),
    )


def _overall(task: Task, results: Sequence[SetResult], part: Bounded, *, best: bool) -> Comparison:
    """All guards as one comparison, against the champion or against the best version that ever served."""
    metric = metric_of(task)
    guards = [r for r in results if r.role == "guard" and r.examples]
    available = [max(r.available, len(r.examples)) for r in guards]

    def mean(scores: Sequence[Sequence[Score]]) -> float:
        """Each guard weighs by its rows at hand."""
        means = [_mean([value_of(s, metric) for s in of_guard]) for of_guard in scores]
        return sum(weight * value for weight, value in zip(available, means, strict=True)) / sum(available)

    return Comparison(
        set=part.name,
        role="guard",
        examples=part.rows,
        available=sum(available),
        bound=part.bound,
        metric=metric,
        champion=_rounded(mean([(r.best or r.before) if best else r.before for r in guards])),
        candidate=_rounded(mean([r.after for r in guards])),
        **_fields(part.interval),
    )


def _fields(interval: Interval) -> dict[str, float]:
    return {"gain": _rounded(interval.gain), "lower": _rounded(interval.lower), "upper": _rounded(interval.upper)}


def _numbers(interval: Interval, rows: int, promotion: PromotionSettings) -> dict[str, object]:
    """What the sentences about a gain fill in."""
    return {
        "gain": signed(interval.gain),
        "confidence": f"{promotion.confidence:.0%}",
        "lower": signed(interval.lower),
        "upper": signed(interval.upper),
        "examples": rows,
    }


def _means(task: Task, sets: Sequence[SetResult]) -> dict[str, object]:
    metric = metric_of(task)
    before = [value_of(s, metric) for r in sets for s in r.before]
    after = [value_of(s, metric) for r in sets for s in r.after]
    return {"before": f"{_mean(before):.3f}", "after": f"{_mean(after):.3f}"}


def signed(value: float) -> str:
    """A gain as people write it: with its sign, and a real minus."""
    return f"{value:+.3f}".replace("-", "−")


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + _more(len(ids) - NAMED)


def _more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _rounded(value: float) -> float:
    return round(value, 6) + 0.0
