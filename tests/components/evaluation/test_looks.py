"""Guards are looked at in blocks, critical cases without exception, and against the best that ever served."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import layout
from components.config import Settings
from components.evaluation.__main__ import main
from components.evaluation.sets import EvaluationSet, load_sets, look_order, narrowed
from components.files import write_rows
from components.schema import Example, Verdict
from tests.components.evaluation import toy
from tests.components.evaluation.conftest import World
from tests.components.evaluation.test_verdict_of_models import NEW_MESSAGES

SETTINGS = Settings.model_validate(
    {"task": "toy", "threads": 1, "evaluate": {"max_new_tokens": 30, "look_rows": 50}, "promotion": {"delta": 0.1}}
)


@pytest.fixture
def many(world: World) -> Iterator[World]:
    """The world with 400 rows in its test set: each row again under another id."""
    yield world
    shutil.rmtree(world.root / layout.BEST, ignore_errors=True)


def again(rows: list[Example], times: int) -> list[Example]:
    return [row.model_copy(update={"id": f"{row.id}-{n}"}) for n in range(times) for row in rows]


def verdict_of(
    world: World, candidate: Path, best: Path | None = None, critical: list[Example] | None = None
) -> Verdict:
    world.stage(candidate, NEW_MESSAGES, [], world.champion)
    write_rows(layout.examples("toy") / "test.jsonl", again(toy.rows(toy.OLD, [0, 1]), 20))
    if critical is not None:
        write_rows(layout.curated("toy") / "critical.jsonl", critical)
    shutil.rmtree(layout.BEST, ignore_errors=True)
    if best is not None:
        shutil.copytree(best, layout.BEST)
    main(SETTINGS)
    return Verdict.model_validate_json((layout.evaluation("toy") / "verdict.json").read_text())


def test_a_clear_case_is_decided_before_all_rows_are_answered(many: World) -> None:
    bad = verdict_of(many, many.forgetting)
    assert bad.decision == "refuse"
    assert bad.guards is not None
    assert bad.guards.examples < bad.guards.available == 410
    good = verdict_of(many, many.good)
    assert good.decision == "promote", good.reasons
    test = next(c for c in good.comparisons if c.set == "test")
    assert test.examples <= test.available == 400


def test_a_critical_case_that_breaks_refuses_whatever_is_gained(many: World) -> None:
    critical = [row.model_copy(update={"critical": True}) for row in toy.rows(["w1"], [0])]
    kept = verdict_of(many, many.good, critical=critical)
    assert kept.decision == "promote", kept.reasons
    assert any("none of 1 critical cases breaks" in reason for reason in kept.reasons)
    broken = verdict_of(many, many.forgetting, critical=critical)
    assert any("breaks 1 of 1 critical cases" in r and "i-saw-w1" in r for r in broken.reasons[: broken.against])
    assert any(need.kind == "look" and need.ids == ("i-saw-w1",) for need in broken.needs)


def test_a_candidate_is_held_against_the_best_that_ever_served_too(many: World) -> None:
    verdict = verdict_of(many, many.good, best=many.good)
    assert verdict.since_best is not None
    assert verdict.since_best.gain == 0
    assert verdict.decision == "promote", verdict.reasons
    assert len(verdict.table) == len(verdict.comparisons) + 2


def test_the_order_of_looks_is_seeded_and_mixes_the_guards(tmp_path: Path) -> None:
    task = toy.write_task(tmp_path)
    toy.write_data(tmp_path, [], [])
    sets = load_sets(task, tmp_path)
    order = look_order(sets, 3)
    assert order == look_order(sets, 3) != look_order(sets, 4)
    assert len(order) == 30
    assert {name for name, _ in order[:15]} == {"replay", "test"}
    part: list[EvaluationSet] = narrowed(sets, order[:15])
    assert sum(len(s.examples) for s in part if s.role == "guard") == 15
    assert [len(s.examples) for s in part if s.role != "guard"] == [len(s.examples) for s in sets if s.role != "guard"]
