"""Stage `train` with the objectives that learn from rewards: from a toy base, through a kill, and with bad settings."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config, golden, layout
from components.files import write_rows
from components.models import load_model, load_tokenizer, tensor_hash
from components.stage import StageError
from components.training.__main__ import main
from tests.components.training.conftest import PARAMS, rows, settings

VERSION = layout.trained("toy")
RL: dict[str, Any] = {
    "rounds": 4, "prompts": 6, "answers": 4, "max_new_tokens": 8, "checkpoint_every": 1,
    "rewards": {"exact": 1, "fields": 0, "valid": 0, "similarity": 1, "ended": 0.5},
}  # fmt: skip


@pytest.fixture(autouse=True)
def held_out(toy: Path) -> None:
    write_rows(layout.curated("toy") / "replay.jsonl", rows(100, 12))


def _curves() -> list[dict[str, str]]:
    with (layout.training("toy") / "loss.csv").open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(("objective", "method"), [("ppo", "lora"), ("grpo", "lora"), ("rloo", "full")])
def test_each_writes_a_version_that_loads_and_the_curves_of_its_training(objective: str, method: str) -> None:
    main(settings(objective=objective, method=method, rl=RL))
    assert golden.differences(load_model(layout.BASE, VERSION), load_tokenizer(layout.BASE), golden.read(VERSION)) == []
    curves = _curves()
    assert len(curves) == RL["rounds"]
    shown = {"reward", "reward_exact", "reward_similarity", "reward_ended", "kl", "kl_coefficient", "entropy"}
    assert shown | {"approx_kl", "clip_fraction", "answer_tokens"} <= set(curves[0])
    assert ("value_loss" in curves[0]) == (objective == "ppo")
    assert abs(float(curves[0]["kl"])) < 1e-6, "the first answers come from the reference itself"
    assert float(curves[-1]["kl"]) > 0
    metrics = json.loads((layout.training("toy") / "metrics.json").read_text())
    assert metrics["heldout_rows"] == 12
    assert 0 <= metrics["heldout_win_rate"] <= 1
    assert metrics["heldout_reward_before"] != metrics["heldout_reward_after"] or metrics["heldout_changed"] == 0


def test_it_learns_what_is_rewarded(toy: Path) -> None:
    """A reward of the task's own: short answers."""
    (layout.task_folder("toy") / "reward.py").write_text(
        "def reward(prompt, answer, truth):\n    return -float(len(answer)) / 10\n"
    )
    rl = RL | {"rounds": 25, "lr": 0.01, "kl": 0.0, "rewards": {"exact": 0, "fields": 0, "valid": 0, "task": 1}}
    main(settings(objective="grpo", method="full", rl=rl))
    rewards = [float(row["reward_task"]) for row in _curves()]
    assert sum(rewards[-5:]) > 0.7 * sum(rewards[:5]), "answers are less than 0.7 times as long"


KILLED = """
import os, signal
from components import config
from components.training.__main__ import main
from components.training.rl import rounds

update, calls = rounds._update, 0

def killing(*arguments):
    global calls
    calls += 1
    if calls == 11 and rounds.replicas.rank() == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    update(*arguments)

rounds._update = killing
main(config.load())
"""


def test_killed_in_a_round_it_ends_at_the_same_tensor_hash(toy: Path) -> None:
    """Two processes, a steered coefficient, and a kill in the middle of the third round."""
    values = settings(objective="ppo", rl=RL | {"kl_target": 0.01}).model_copy(update={"threads": 2})
    Path("params.yaml").write_text(yaml.safe_dump(values.model_dump(mode="json")))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", KILLED], env=environment).returncode == -signal.SIGKILL
    assert list((config.places().home / "checkpoints").rglob("checkpoint.pt"))
    assert not VERSION.exists()
    main(values)
    resumed = tensor_hash(VERSION)
    assert len(_curves()) == RL["rounds"]
    assert not list((config.places().home / "checkpoints").rglob("checkpoint.pt"))
    main(values)
    assert tensor_hash(VERSION) == resumed


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"lora": {"r": 4, "dropout": 0.1}}, r"train\.lora\.dropout = 0\.1: objective grpo compares probabilities"),
        ({"rl": RL | {"rewards": {"fields": 0, "task": 1}}}, r"tasks/toy/reward\.py does not exist"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_key(train: dict[str, Any], said: str, toy: Path) -> None:
    with pytest.raises(StageError, match=said):
        main(settings(objective="grpo", **({"rl": RL} | train)))


def test_a_reward_that_fails_names_the_file_and_the_row(toy: Path) -> None:
    rl = RL | {"rewards": {"fields": 0, "task": 1}}
    (layout.task_folder("toy") / "reward.py").write_text("def reward(prompt, answer, truth):\n    return 1 / 0\n")
    with pytest.raises(StageError, match=r"tasks/toy/reward\.py on the row row-\d+: ZeroDivisionError"):
        main(settings(objective="grpo", rl=rl))


def test_impossible_settings_are_refused_when_they_are_read() -> None:
    for rl, said in [
        ({"rewards": dict.fromkeys(("exact", "fields", "valid"), 0)}, "every weight is 0"),
        ({"answers": 4, "minibatches": 5}, "minibatches = 5 must not exceed answers = 4"),
        ({"answers": 1}, "greater than or equal to 2"),
    ]:
        with pytest.raises(config.ConfigError, match=said):
            config.parse(PARAMS | {"train": PARAMS["train"] | {"objective": "ppo", "rl": rl}})
