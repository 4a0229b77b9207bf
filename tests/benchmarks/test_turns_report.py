"""What `benchmarks.turns` counts, how a bad candidate is planted, and that a copy is this project with other values."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import wheel_workspace
from benchmarks.turns import people, report
from benchmarks.turns.families import OLD
from benchmarks.turns.plan import State
from benchmarks.turns.planted import Case
from components import layout
from components.config import ConfigError
from components.files import read_rows, write_rows
from components.schema import Example, Message
from tests.conftest import ROOT

NOTE = '{"symptom":"cough","site":"chest","duration":"today","severity":"mild","medication":"none","urgency":"routine"}'


def entry(turn: int, decision: str, judgement: str | None, seconds: float = 40, timed: bool = True) -> dict[str, Any]:
    real = {"is": "better", "judgement": judgement, "target": {"gain": 0.3}} if judgement else None
    return {
        "turn": turn,
        "family": f"family {turn}",
        "feedback": {"corrections": 100},
        "decision": decision,
        "seconds": seconds,
        "timed": timed,
        "truth": real,
        "scores": {OLD: 0.95, **{f"family {n}": 0.9 for n in range(1, 4)}},
    }


def cells(table: Any) -> list[tuple[str, ...]]:
    return list(zip(*(list(column.cells) for column in table.columns), strict=True))


def test_verdicts_are_counted_by_turn_and_only_decidable_ones_count_as_truly_better() -> None:
    states = [
        {"turns": [entry(1, "promoted", "right promotion"), entry(2, "refused", "wrong refusal", 50)]},
        {"turns": [entry(1, "promoted", "right promotion", 60), entry(2, "promoted", "undecidable", 999, timed=False)]},
        {"turns": [entry(1, "stopped", None)]},
    ]
    first, second, every = cells(report.verdicts(states))
    assert first[:7] == ("1", "2", "0", "0", "0", "0", "1")
    assert first[7].startswith("2 of 2 (1.00, 0.16")
    assert second[:7] == ("2", "0", "0", "0", "1", "1", "0")
    assert second[7].startswith("0 of 1 (0.00,")
    assert second[8] == "50", "a turn that was not made in one go has no time"
    assert every[7].startswith("2 of 3 (0.67,")


def test_the_end_is_held_against_version_1_the_oracle_and_what_every_family_must_reach() -> None:
    state = {
        "turns": [entry(1, "promoted", None), entry(2, "promoted", None), entry(3, "promoted", None)],
        "first": {OLD: 0.96, "family 1": 0.0, "family 2": 0.0, "family 3": 0.0},
        "final": {OLD: 0.945, "family 1": 0.9, "family 2": 0.84, "family 3": 0.86},
        "oracle": {"scores": {OLD: 0.95, "family 1": 0.9, "family 2": 0.8, "family 3": 0.95}},
    }
    ends = {row[0]: row[-1] for row in cells(report.final_table(1, state))}
    assert ends == {
        OLD: "below 0.950",
        "family 1": "reached",
        "family 2": "below 0.850",
        "family 3": "behind the oracle",
    }


def test_the_plot_is_drawn_from_results_alone(tmp_path: Path) -> None:
    turns = [entry(1, "promoted", "right promotion"), entry(2, "refused", "wrong refusal"), entry(3, "stopped", None)]
    first = {OLD: 0.95}
    report.plot({1: {"turns": turns}, 2: {"turns": turns[:1], "first": first}}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def rows(count: int, source: Any) -> list[Example]:
    answers = [NOTE.replace("cough", f"cough {chr(97 + i)}") for i in range(count)]
    return [
        Example(
            id=f"{source}-{i}",
            messages=(Message(role="user", content=f"m {i}"), Message(role="assistant", content=answer)),
            source=source,
        )
        for i, answer in enumerate(answers)
    ]


def test_wrong_labels_are_planted_in_feedback_alone_and_not_through_a_link(tmp_path: Path) -> None:
    curated = tmp_path / layout.curated("intake")
    original = tmp_path / "cached.jsonl"
    write_rows(original, [*rows(5, "correction"), *rows(3, "task")])
    before = original.read_bytes()
    curated.mkdir(parents=True)
    (curated / "train.jsonl").hardlink_to(original)
    write_rows(curated / "target.jsonl", rows(4, "correction"))
    Case(tmp_path, 0, random.Random(1)).relabel(lambda answers: [people.turned(a) for a in answers])
    taught = read_rows(curated / "train.jsonl", Example)
    severities = [json.loads(row.answer)["severity"] for row in taught]
    assert severities == ["severe"] * 5 + ["mild"] * 3
    assert {json.loads(row.answer)["severity"] for row in read_rows(curated / "target.jsonl", Example)} == {"severe"}
    assert not (curated / "tuning_target.jsonl").exists()
    assert original.read_bytes() == before


def test_what_was_done_is_there_again_after_a_kill(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.values == {"turns": []}
    state.values["turns"].append({"turn": 1})
    state.save()
    assert State(tmp_path).values == {"turns": [{"turn": 1}]}


def test_values_are_set_under_dotted_keys_and_an_impossible_one_changes_nothing(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    wheel_workspace.set_params(tmp_path, wheel_workspace.parse_changes(["train.steps=31", "train.lr=0.5", "seed=9"]))
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert (values["train"]["steps"], values["train"]["lr"], values["seed"]) == (31, 0.5, 9)
    with pytest.raises(ConfigError, match=r"train\.stepps"):
        wheel_workspace.set_params(tmp_path, {"train.stepps": 3})
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == values


def test_a_change_without_a_value_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"--set: 'train\.steps' must be KEY=VALUE"):
        wheel_workspace.parse_changes(["train.steps"])


def test_the_stages_from_train_on_end_with_evaluate_and_train_writes_one_folder() -> None:
    names = wheel_workspace.stages_from(ROOT, "train")
    assert (names[0], names[-1]) == ("train", "evaluate")
    (folder,) = wheel_workspace.outs(ROOT, "train", "intake")
    assert folder.parent == ROOT / "models" / "intake"
