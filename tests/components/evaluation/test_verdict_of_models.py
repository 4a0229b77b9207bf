"""The whole stage on real small models: what deserves promotion gets it, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components import layout
from components.config import Settings
from components.evaluation.__main__ import main
from components.evaluation.report import write_report
from components.evaluation.results import Moved, read_results
from components.files import read_rows, sha256_of
from components.schema import Example, Verdict
from tests.components.evaluation import toy
from tests.components.evaluation.conftest import World

SETTINGS = Settings.model_validate(
    {"task": "toy", "threads": 1, "evaluate": {"max_new_tokens": 30}, "promotion": {"delta": 0.15}}
)


def evaluated(
    world: World, candidate: Path, target: list[Example], regression: list[Example], champion: Path | None
) -> Verdict:
    world.stage(candidate, target, regression, champion)
    main(SETTINGS)
    return Verdict.model_validate_json((layout.evaluation("toy") / "verdict.json").read_text())


NEW_MESSAGES = toy.rows(toy.NEW, [2, 3])


def test_a_candidate_that_learned_the_new_words_and_kept_the_old_ones_is_promoted(world: World) -> None:
    verdict = evaluated(world, world.good, NEW_MESSAGES, toy.rows(toy.OLD, [0]), world.champion)
    assert verdict.decision == "promote", verdict.reasons
    target = next(c for c in verdict.comparisons if c.role == "target")
    assert target.lower > 0
    assert target.champion < 0.3 < 0.6 < target.candidate
    assert verdict.simulated_feedback


def test_held_out_pairs_and_the_win_rate_show_the_gain_and_decide_nothing(world: World) -> None:
    verdict = evaluated(world, world.good, NEW_MESSAGES, [], world.champion)
    pairs = verdict.comparisons[-1]
    assert (pairs.set, pairs.role, pairs.metric, pairs.examples) == ("preferences", "shown", "preference", len(toy.NEW))
    assert pairs.candidate > pairs.champion
    assert not any("preference" in reason for reason in verdict.reasons)
    metrics = json.loads((layout.evaluation("toy") / "metrics.json").read_text())
    assert metrics["preferences.accuracy"] == pairs.candidate > metrics["preferences.accuracy.before"]
    assert metrics["target.win_rate"] > 0.6
    write_report(Path("reports/toy"), "toy", Path("report.html"))
    assert "held-out preference pairs" in Path("report.html").read_text()


def test_a_lucky_win_on_eight_examples_is_refused(world: World) -> None:
    verdict = evaluated(world, world.good, toy.rows(toy.NEW[:8], [0]), [], world.champion)
    assert verdict.decision == "refuse"
    assert "too few target examples: 8, at least 20 are needed" in verdict.reasons[0]
    target = next(c for c in verdict.comparisons if c.role == "target")
    assert target.candidate > target.champion, "it did win, and that is not enough"
    assert any(need.kind == "corrections" and need.count >= 12 for need in verdict.needs)


def test_a_forgetting_adapter_is_refused(world: World) -> None:
    verdict = evaluated(world, world.forgetting, NEW_MESSAGES, [], world.champion)
    assert verdict.decision == "refuse"
    assert any(r.startswith("worse on all old tests together") for r in verdict.reasons), verdict.reasons
    assert verdict.guards is not None
    assert verdict.guards.upper < -verdict.delta
    assert {need.kind for need in verdict.needs} == {"none"}
    target = next(c for c in verdict.comparisons if c.role == "target")
    assert target.lower > 0, "it learned the new words: only the forgetting speaks against it"


def test_a_fix_that_breaks_again_is_refused_and_named(world: World) -> None:
    fixed_before = toy.rows(["w1"], [0], answer=_champions_answer(world, "i saw w1"))
    assert fixed_before[0].answer == toy.truth("w1"), "the champion knows it"
    fixed = [*fixed_before, *toy.rows(["w2", "w3"], [0])]
    verdict = evaluated(world, world.forgetting, NEW_MESSAGES, fixed, world.champion)
    assert verdict.decision == "refuse"
    assert "i-saw-w1" in verdict.rebroken
    assert any("fixed cases" in r and "i-saw-w1" in r for r in verdict.reasons[: verdict.against]), verdict.reasons
    assert any(need.kind == "look" and "i-saw-w1" in need.ids for need in verdict.needs)


def test_without_a_champion_the_first_version_is_introduced_in_plain_words(world: World) -> None:
    verdict = evaluated(world, world.champion, [], [], None)
    assert verdict.decision == "first"
    assert any("exact match" in r and "on same kind" in r for r in verdict.reasons)
    results = read_results(layout.evaluation("toy"))
    assert {r.model for r in results} == {"candidate", "base"}


def test_an_adapter_that_answers_otherwise_than_in_training_is_refused(world: World) -> None:
    world.stage(world.good, NEW_MESSAGES, [], world.champion)
    template = layout.adapter("toy") / "chat_template.jinja"
    whole = template.read_text()
    assert whole.count("assistant\n") == 1
    template.write_text(whole.replace("assistant\n", "assistant "))
    main(SETTINGS)
    verdict = Verdict.model_validate_json((layout.evaluation("toy") / "verdict.json").read_text())
    assert verdict.decision == "refuse"
    assert "parity proof fails: golden prompt 1" in verdict.reasons[0]


def test_the_same_inputs_give_the_same_bytes_except_for_the_times(world: World) -> None:
    evaluated(world, world.good, NEW_MESSAGES, [], world.champion)
    folder = layout.evaluation("toy")
    first = {f.name: sha256_of(f) for f in folder.iterdir()}
    main(SETTINGS)
    second = {f.name: sha256_of(f) for f in folder.iterdir()}
    assert {n for n in first if first[n] != second[n]} <= {"latency.json"}
    assert set(first) == set(second) >= {"verdict.json", "results.jsonl", "moved.jsonl", "metrics.json", "scores.csv"}


def test_what_moved_says_the_message_the_truth_and_both_answers(world: World) -> None:
    evaluated(world, world.good, NEW_MESSAGES, [], world.champion)
    fixed = [m for m in read_rows(layout.evaluation("toy") / "moved.jsonl", Moved) if m.kind == "fixed"]
    assert len(fixed) > 10
    assert all(m.after == m.truth != m.before for m in fixed)


def test_a_damaged_adapter_ends_the_stage_with_a_line_that_says_so(world: World) -> None:
    from components.models import ModelError

    world.stage(world.good, NEW_MESSAGES, [], world.champion)
    file = layout.adapter("toy") / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        main(SETTINGS)


def _champions_answer(world: World, message: str) -> str:
    from components.registry.pyfunc import Answers

    return Answers(world.base, world.champion, 30).predict([message])[0]
