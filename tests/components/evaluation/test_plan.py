"""What the rows at hand can prove is said in numbers that follow from the rows."""

from __future__ import annotations

from pathlib import Path

from components import layout
from components.config import PromotionSettings, Settings
from components.evaluation.plan import of_guards, of_target, plan
from components.files import write_rows
from components.task import load
from tests.components.evaluation import toy

CHAMPION = {"version": "1", "sha256": "0" * 64}


def test_many_rows_see_a_small_loss() -> None:
    line = of_guards(5200, PromotionSettings())
    assert "5200 rows of old tests" in line
    assert "at most 0.02 may be lost" in line


def test_few_rows_name_the_loss_they_cannot_exclude_and_how_many_would_do() -> None:
    line = of_guards(400, PromotionSettings())
    assert "a loss below 0.03" in line
    assert "886 rows would do for 0.02" in line


def test_a_bound_that_the_rows_cannot_show_is_said_before_anything_is_trained() -> None:
    line = of_guards(60, PromotionSettings(delta=0.02))
    assert "only 60 rows" in line
    assert "most candidates will be refused; 886 rows would do" in line


def test_a_target_too_small_to_prove_anything_is_named() -> None:
    assert "too few target examples: 8, at least 20" in of_target(8, PromotionSettings())
    assert "a gain below 0.11 may go unproven" in of_target(100, PromotionSettings())


def test_the_plan_counts_the_rows_of_the_turn(tmp_path: Path) -> None:
    task = toy.write_task(tmp_path)
    toy.write_data(tmp_path, toy.rows(toy.NEW, [0, 1, 2]), toy.rows(toy.OLD, [0]))
    settings = Settings.model_validate({"task": "toy", "turn": {"champion": CHAMPION}})
    guards, target, fixed = plan(task, settings, tmp_path)
    assert "30 rows of old tests" in guards, "replay and test; unseen is only shown"
    assert "30 rows of new feedback" in target
    assert "10 fixed cases" in fixed
    assert plan(task, Settings.model_validate({"task": "toy"}), tmp_path) == [], "a first version is not compared"


def test_no_guard_at_all_is_said(tmp_path: Path) -> None:
    toy.write_task(tmp_path)
    write_rows(tmp_path / layout.curated("toy") / "target.jsonl", toy.rows(toy.NEW, [0, 1]))
    settings = Settings.model_validate({"task": "toy", "turn": {"champion": CHAMPION}})
    assert "no guard set has any example" in plan(load("toy", tmp_path), settings, tmp_path)[0]
