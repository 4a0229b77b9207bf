"""What the rows at hand can prove: said before training, by `saqia doctor`, and in a refusal.

A verdict is only as good as its rows. These lines tell which losses and gains the gate will be able to see.
"""

from __future__ import annotations

from pathlib import Path

from components import layout
from components.config import PromotionSettings, Settings
from components.evaluation.gate import broken_limit
from components.noninferiority import allowed_loss, provable_gain, provable_loss, rows_to_prove
from components.sentences import say
from components.task import Task


def plan(task: Task, settings: Settings, root: Path = Path(".")) -> list[str]:
    """One line each for old tests, this turn's target and fixed cases; empty where there is nothing to compare with.

    Args:
        root: where the pipeline works; its `curate` stage has run.
    """
    if settings.turn.champion is None:
        return []
    curated, own = root / layout.curated(task.name), root / layout.examples(task.name)
    guards = _rows(curated / "replay.jsonl") + sum(
        _rows(own / f"{s.name}.jsonl") for s in task.sets if s.role == "guard"
    )
    lines = [of_guards(guards, settings.promotion), of_target(_rows(curated / "target.jsonl"), settings.promotion)]
    fixed = _rows(curated / "regression.jsonl")
    if fixed:
        limit = broken_limit(fixed, settings.promotion.broken, _error(settings.promotion))
        lines.append(say("plan_fixed", fixed=fixed, limit=f"{limit:.3f}"))
    return lines


def of_guards(rows: int, promotion: PromotionSettings) -> str:
    """What the rows of old tests can exclude, and how many more would exclude more."""
    error = _error(promotion)
    if rows == 0:
        return say("no_guard")
    delta, provable = allowed_loss(promotion.delta, rows, error), provable_loss(rows, error)
    numbers = {"examples": rows, "bound": f"{delta:g}", "provable": f"{provable:.3f}"}
    if provable > delta:
        return say("plan_too_few", **numbers, needed=rows_to_prove(delta, error))
    least = allowed_loss(None, 10**9, error)
    if delta > least:
        return say("plan_few", **numbers, needed=rows_to_prove(least, error), least=f"{least:g}")
    return say("plan_enough", **numbers)


def of_target(rows: int, promotion: PromotionSettings) -> str:
    """The smallest gain that so many target rows can show."""
    if rows < promotion.min_target:
        return say("too_few", count=rows, least=promotion.min_target)
    return say("plan_target", examples=rows, provable=f"{provable_gain(rows, _error(promotion)):.2f}")


def _error(promotion: PromotionSettings) -> float:
    return (1 - promotion.confidence) / 2


def _rows(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())
