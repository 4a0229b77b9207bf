"""A training for LLaMA-Factory: what it is told is what was done here, and what it reads comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config, export
from components.examples import llamafactory as theirs
from components.export import ExportError, llamafactory
from components.files import read_rows, write_rows
from components.schema import Example, Message, Preference
from tests.conftest import ROOT
from tests.serving import models


def row(number: int, question: str = "My head hurts") -> Example:
    system, user = Message(role="system", content=models.SYSTEM), Message(role="user", content=f"{question}, {number}.")
    answer = Message(role="assistant", content=f'{{"symptom":"headache","severity":{number}}}')
    return Example(id=str(number), messages=(system, user, answer))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the version was made from: curated rows, a pair, and the task's sets."""
    odd = row(9).model_copy(update={"messages": (*row(9).messages[:2], *row(8).messages[1:])})
    sets = {"curated/train": [row(n) for n in range(6)], "curated/replay": [row(6), odd], "curated/target": []}
    sets |= {
        "curated/regression": [],
        "examples/test": [row(7)],
        "examples/train": [row(1)],
        "examples/traffic": [row(2)],
    }
    for name, rows in sets.items():
        write_rows(tmp_path / f"{name}.jsonl", rows)
    pair = Preference(
        id="1", prompt=row(1).prompt, chosen=row(1).answer, rejected="{}", source="human", rater="llamafactory"
    )
    write_rows(tmp_path / "curated/preferences.jsonl", [pair])
    return tmp_path


def settings(**train: Any) -> config.Settings:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train"] |= train
    return config.parse(values)


def exported(version: Path, base: Path, data: Path, into: Path, **train: Any) -> tuple[dict[str, Any], list[str]]:
    said = llamafactory.write(version, base, settings(**train), data / "curated", data / "examples", into)
    return yaml.safe_load((into / "train.yaml").read_text()), said


def test_the_run_has_the_versions_own_parameters(base: Path, version_1: Path, data: Path, tmp_path: Path) -> None:
    run, _ = exported(version_1, base, data, tmp_path / "out", steps=700, first_steps=60, lr=0.004, batch_size=4)
    expected = {"stage": "sft", "finetuning_type": "lora", "lora_rank": 16, "lora_alpha": 64, "lora_target": "all"}
    expected |= {"max_steps": 60, "warmup_steps": 3, "learning_rate": 0.004, "per_device_train_batch_size": 4}
    expected |= {"cutoff_len": 256, "mask_history": True, "template": "chatml", "model_name_or_path": "base"}
    expected |= {"dataset": "intake_train", "eval_dataset": "intake_test", "seed": 17}
    assert {key: run[key] for key in expected} == expected
    assert {file.name for file in (tmp_path / "out" / "base").iterdir()} >= {"config.json", "model.safetensors"}
    assert not (tmp_path / "out" / "base" / "base.json").exists()


def test_other_ways_to_train_are_told_in_their_words(base: Path, version_1: Path, data: Path, tmp_path: Path) -> None:
    lora = {"r": 8, "use_dora": True, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]}
    wanted = {"method": "qlora", "lr": None, "batch_size": 5, "micro_batch_size": 2, "precision": "bfloat16"}
    run, _ = exported(version_1, base, data, tmp_path / "out", lora=lora, gradient_checkpointing=True, **wanted)
    expected = {"finetuning_type": "lora", "quantization_bit": 4, "lora_target": "q_proj,v_proj", "lora_rank": 8}
    expected |= {"use_dora": True, "use_rslora": True, "bf16": True, "disable_gradient_checkpointing": False}
    expected |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    assert {key: run[key] for key in expected} == expected
    assert run["learning_rate"] > 0  # what suits the width, since none is set


def test_a_full_tuning_is_one_there_too(base: Path, data: Path, tmp_path: Path) -> None:
    version = models.make_full_version(tmp_path / "full", base, seed=2)
    run, _ = exported(version, base, data, tmp_path / "out", method="full")
    assert run["finetuning_type"] == "full"
    assert not any(key.startswith("lora") for key in run)


def test_what_was_exported_is_imported_as_the_same_rows(
    base: Path, version_1: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _, said = exported(version_1, base, data, out)
    assert "note: 1 rows of replay left out: their turns do not alternate" in said
    taught = theirs.read(out, "intake_train")
    assert [r.messages for r in taught.examples] == [
        r.messages for r in read_rows(data / "curated/train.jsonl", Example)
    ]
    assert [r.messages for r in theirs.read(out, "intake_test").examples] == [row(7).messages]
    ranked = theirs.read(out, "intake_preferences")
    expected = read_rows(data / "curated/preferences.jsonl", Preference)
    assert [p.model_copy(update={"id": "1"}) for p in ranked.preferences] == expected
    names = json.loads((out / "dataset_info.json").read_text())
    assert set(names) == {f"intake_{name}" for name in ("train", "replay", "test", "preferences")}


def test_a_control_token_that_somebody_wrote_stays_text_there(
    base: Path, version_1: Path, data: Path, tmp_path: Path
) -> None:
    write_rows(data / "curated/train.jsonl", [row(1, "<|im_end|>")])
    exported(version_1, base, data, tmp_path / "out")
    assert "<|im_end|>" not in (tmp_path / "out" / "intake_train.jsonl").read_text()


def test_nothing_is_written_where_nothing_was_taught_or_something_is_there(
    base: Path, version_1: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="is there already"):
        exported(version_1, base, data, data)
    write_rows(data / "curated/train.jsonl", [])
    with pytest.raises(ExportError, match="was taught nothing"):
        exported(version_1, base, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export.check_free(tmp_path / "out") is None
