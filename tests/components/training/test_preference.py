"""Objectives dpo, kto and orpo: what they teach, to the same bits, also through a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components import config, layout
from components.evaluation.preferences import prefers
from components.files import DataError, sha256_of, write_rows
from components.models import load_model, load_tokenizer, read_manifest
from components.schema import Message, Preference
from components.training.__main__ import main
from tests.components.training.conftest import NUMBERS, settings

VERSION = layout.trained("toy")
OBJECTIVES: tuple[config.ObjectiveName, ...] = ("dpo", "kto", "orpo")


def pairs(start: int, count: int) -> list[Preference]:
    """The right number preferred to a question mark, which is shorter and so likelier at first."""
    return [
        Preference(
            id=f"pair-{n}",
            prompt=(
                Message(role="system", content="Name it."),
                Message(role="user", content=f"which is number {n % 5 + 1} of {n}?"),
            ),
            chosen=NUMBERS[n % 5],
            rejected="?",
            source="human",
            rater="ann",
        )
        for n in range(start, start + count)
    ]


@pytest.fixture
def paired(toy: Path) -> Path:
    """The toy with pairs, ten of them held out, and no answer that was judged by itself."""
    write_rows(layout.curated("toy") / "preferences.jsonl", pairs(100, 40))
    write_rows(layout.curated("toy") / "preferences_heldout.jsonl", pairs(200, 10))
    for file in ("judged", "judged_heldout"):
        write_rows(layout.curated("toy") / f"{file}.jsonl", [])
    return toy


def preference(objective: str, steps: int = 30, anchor: float = 1.0, **train: object) -> config.Settings:
    wanted = {"steps": steps, "lr": 0.01, "anchor": anchor}
    return settings(**{"objective": objective, "method": "full", "preference": wanted} | train)


def metrics() -> dict[str, float]:
    found: dict[str, float] = json.loads((layout.training("toy") / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_held_out_pairs_are_preferred_afterwards_and_training_again_gives_the_same_files(
    objective: str, paired: Path
) -> None:
    main(preference(objective))
    first = sha256_of(VERSION)
    shown = metrics()
    assert shown["heldout_pairs"] == 10
    assert shown["heldout_prefers"] > shown["heldout_prefers_before"]
    assert shown["heldout_accuracy"] >= 0.9
    assert shown["heldout_margin"] > 0
    assert shown["steps"] == 30
    assert read_manifest(VERSION).created_by["train"]["objective"] == objective
    curves = list(csv.DictReader((layout.training("toy") / "loss.csv").open()))
    assert float(curves[-1]["reward_accuracy"]) > float(curves[0]["reward_accuracy"])
    assert float(curves[-1]["preference_loss"]) < float(curves[0]["preference_loss"])
    main(preference(objective))
    assert sha256_of(VERSION) == first


KILLED = """
import os, signal
from components import config
from components.optimization import loop, replicas
from components.training.__main__ import main

look = loop.Watch.look

def killing(self, step, *measured):
    if step == 7 and replicas.rank() == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    look(self, step, *measured)

loop.Watch.look = killing
main(config.load())
"""
"""A process of its own: one forked from here would wait for locks that other threads of this one hold."""


def test_a_preference_training_killed_and_run_again_ends_at_the_same_files(paired: Path) -> None:
    """Two processes on Linux, each with its share of the pairs, and a kill between two checkpoints."""
    lora = {"r": 4, "alpha": 8, "dropout": 0.2}
    wanted = preference("dpo", steps=20, method="lora", lora=lora, checkpoint_every=2)
    wanted = wanted.model_copy(update={"threads": 2})
    Path("params.yaml").write_text(yaml.safe_dump(wanted.model_dump(mode="json")))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", KILLED], env=environment).returncode == -signal.SIGKILL
    checkpoints = config.places().home / "checkpoints"
    assert list(checkpoints.rglob("checkpoint.pt"))
    assert not VERSION.exists()
    main(wanted)
    killed = sha256_of(VERSION)
    assert metrics()["steps"] == 20
    assert not list(checkpoints.rglob("checkpoint.pt"))
    main(wanted)
    assert sha256_of(VERSION) == killed


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_several_processes_share_the_batches_and_learn_the_same(objective: str, paired: Path) -> None:
    main(preference(objective))
    alone = metrics()
    main(preference(objective).model_copy(update={"threads": 2}))
    together = metrics()
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-2)
    assert together["heldout_margin"] == pytest.approx(alone["heldout_margin"], rel=0.05)
    assert together["tokens"] == alone["tokens"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_pairs_kept_out_say_which_step_was_the_best_and_when_to_stop(objective: str, paired: Path) -> None:
    watching = {"validation_rows": 10, "validation_every": 2, "patience": 3}
    wrong = [pair.model_copy(update={"chosen": "?", "rejected": pair.chosen}) for pair in pairs(300, 40)]
    write_rows(layout.curated("toy") / "preferences.jsonl", [*pairs(100, 20), *wrong])
    main(preference(objective, steps=24, anchor=0.0, **watching))
    shown = metrics()
    assert shown["examples"] == (120 if objective == "kto" else 60)
    looks = [row for row in csv.DictReader((layout.training("toy") / "loss.csv").open()) if row["heldout"]]
    lowest = min(looks, key=lambda row: float(row["heldout"]))
    assert int(lowest["step"]) == shown["best_step"]
    assert float(lowest["heldout"]) == pytest.approx(shown["validation_loss"], abs=1e-5)
    assert shown["steps"] == min(24, shown["best_step"] + 6)


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_what_the_model_prefers_already_is_not_taught_again(objective: str, paired: Path) -> None:
    turned = [pair.model_copy(update={"chosen": "?", "rejected": pair.chosen}) for pair in pairs(300, 20)]
    rows = [*pairs(100, 20), *turned]
    preferred = prefers(load_model(layout.BASE, dtype="float32"), load_tokenizer(layout.BASE), rows)
    known = [row for row, true in zip(rows, preferred, strict=True) if true]
    assert 0 < len(known) < 40
    write_rows(layout.curated("toy") / "preferences.jsonl", rows)
    wanted = {"steps": 2, "lr": 0.01, "settled": 0.0}
    main(preference(objective, preference=wanted))
    assert metrics()["examples"] == (40 - len(known)) * (2 if objective == "kto" else 1)
    write_rows(layout.curated("toy") / "preferences.jsonl", known)
    with pytest.raises(DataError, match=r"prefers every chosen answer already|no pair that is not settled"):
        main(preference(objective, preference=wanted))


def test_without_pairs_it_says_where_they_come_from(paired: Path) -> None:
    write_rows(layout.curated("toy") / "preferences.jsonl", [])
    with pytest.raises(DataError, match=r"holds no pair, and train\.objective is dpo: bring pairs in tasks/toy/"):
        main(preference("dpo"))


def test_without_an_anchor_only_pairs_are_read_and_without_held_out_pairs_nothing_is_claimed(paired: Path) -> None:
    (layout.curated("toy") / "train.jsonl").unlink()
    write_rows(layout.curated("toy") / "preferences_heldout.jsonl", [])
    main(preference("orpo", steps=3, anchor=0.0))
    assert metrics()["heldout_pairs"] == 0
    assert "heldout_accuracy" not in metrics()
