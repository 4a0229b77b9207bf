"""Candidate against champion on every set.

Guards hold many rows, and most turns are decided by a few of them: they are answered in looks of growing size until the
gate can say keep or refuse, or no row is left. Which rows come first is a seeded hash, so the same inputs give the same
looks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.config import EvaluateSettings, PromotionSettings
from components.evaluation.answering import AnsweringModel, ModelResult, Spelling, base_of
from components.evaluation.sets import EvaluationSet, look_order, narrowed
from components.evaluation.verdict import SetResult, guard_result
from components.models import read_manifest
from components.noninferiority import look_errors, look_sizes
from components.schema import Preference, Score
from components.scoring import score
from components.task import Task

log = logging.getLogger(__name__)

FIRST_LOOKS = 2
"""So many looks' rows of the guards are answered for a first version."""


@dataclass(frozen=True)
class Compared:
    """Every set as it was answered, and what else is known of the models."""

    results: list[SetResult]
    after: ModelResult
    before: ModelResult
    before_name: str
    """`champion` or `base`."""
    error: float
    """Of the last look at the guards: what their intervals may be wrong by, on each side."""


def compare(
    task: Task,
    sets: Sequence[EvaluationSet],
    settings: EvaluateSettings,
    promotion: PromotionSettings,
    base: Path,
    candidate: Path,
    champion: Path,
    *,
    best: Path | None = None,
    threads: int = 1,
    seed: int = 0,
    pairs: Sequence[Preference] = (),
) -> Compared:
    """Both models' answers, scored: target and other sets whole, guards look by look until they can be judged.

    Args:
        champion: the champion's folder; one that holds only none.json means that there is none.
        best: the best version that ever served, where that is not the champion.

    Raises:
        ModelError: a model is missing, damaged, or stands on a base that is not here.
    """
    spelling = Spelling(sets)

    def answering(version: Path | None, name: str) -> AnsweringModel:
        stands_on = base if version is None or version == candidate else base_of(version, base)
        return AnsweringModel(spelling, settings, stands_on, version, name, threads)

    after = answering(candidate, "candidate")
    has_champion = not (champion / "none.json").exists()
    if has_champion and _same_weights(candidate, champion):
        log.info("candidate and champion are the same tensors: answered once")
        before = after
    else:
        before = answering(champion, "champion") if has_champion else answering(None, "bare base")
    earlier = answering(best, "best version so far") if best is not None and has_champion else None

    order = look_order(sets, seed)
    sizes = look_sizes(len(order), settings.look_rows)
    if not has_champion:
        sizes = (
            min(len(order), FIRST_LOOKS * settings.look_rows),
        )  # nothing is compared: enough to know how good it is
    errors = look_errors(len(sizes), (1 - promotion.confidence) / 2)
    for size, error in zip(sizes, errors, strict=True):
        chosen = narrowed(sets, order[:size])
        results = _results(task, sets, chosen, after, before, earlier)
        status = guard_result(task, results, promotion, error)
        if not has_champion or status is None or status.status != "open":
            break
        log.info("%d of %d rows of old tests: %s", size, len(order), "not decided yet" if size < len(order) else "all")
    return Compared(
        results=results,
        after=after.result(chosen, pairs),
        before=before.result(chosen, pairs),
        before_name="champion" if has_champion else "base",
        error=error,
    )


def _results(
    task: Task,
    sets: Sequence[EvaluationSet],
    chosen: Sequence[EvaluationSet],
    after: AnsweringModel,
    before: AnsweringModel,
    earlier: AnsweringModel | None,
) -> list[SetResult]:
    """Every chosen row answered by each model, and scored."""
    guards = [s for s in chosen if s.role == "guard"]
    new, old = after.answers(chosen), before.answers(chosen)
    best = earlier.answers(guards) if earlier is not None else {}
    return [
        SetResult(
            name=s.name,
            title=s.title,
            role=s.role,
            examples=s.examples,
            after=_scored(task, s, new[s.name]),
            before=_scored(task, s, old[s.name]),
            available=len(whole.examples),
            best=_scored(task, s, best[s.name]) if s.name in best else None,
        )
        for whole, s in zip(sets, chosen, strict=True)
    ]


def _same_weights(one: Path, other: Path) -> bool:
    a, b = read_manifest(one), read_manifest(other)
    return (a.adapter_sha256, a.chat_template_sha256, a.base) == (b.adapter_sha256, b.chat_template_sha256, b.base)


def _scored(task: Task, s: EvaluationSet, answers: Sequence[str]) -> list[Score]:
    return [score(task, s.name, e, answer) for e, answer in zip(s.examples, answers, strict=True)]
