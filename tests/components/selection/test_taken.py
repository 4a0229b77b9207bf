"""On models that have learned something: which point becomes the candidate."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from peft import PeftModel
from safetensors.torch import load_file, save_file

from components import layout
from components.config import Settings, TrainSettings
from components.files import write_rows
from components.models import load_model, load_tokenizer, read_manifest, tensor_hash, write_manifest
from components.selection.__main__ import main
from components.selection.record import Selection
from components.training.version import write_version
from tests.components.evaluation import conftest as evaluation
from tests.components.evaluation import toy

trained, world = evaluation.trained, evaluation.world

WEIGHTS = "adapter_model.safetensors"
TOO_FAR = 4


def trained_from(world: evaluation.World, folder: Path) -> Path:
    """What is taught old and new words, going on from the champion."""
    model = PeftModel.from_pretrained(load_model(world.base, dtype="float32"), str(world.champion), is_trainable=True)
    examples = toy.rows(toy.OLD, [0, 1, 2]) + toy.rows(toy.NEW, [0, 1])
    toy.teach(model, examples, 100, 1e-2)
    folder.mkdir(parents=True)
    made_by = {"train": {"start": "champion"}}
    tokenizer = load_tokenizer(world.base)
    write_version(folder, model, tokenizer, world.task, world.base, TrainSettings(), examples[:2], 64, made_by)
    return folder


def stretched(version: Path, champion: Path) -> None:
    """The same version, gone on in its direction until it is `TOO_FAR` times as far from the champion."""
    before, after = load_file(champion / WEIGHTS), load_file(version / WEIGHTS)
    far = {name: before[name] + TOO_FAR * (after[name] - before[name]) for name in after}
    save_file(far, version / WEIGHTS, metadata={"format": "pt"})
    write_manifest(version, read_manifest(version).model_copy(update={"adapter_sha256": tensor_hash(version)}))


def test_where_training_went_too_far_a_weaker_point_is_taken_that_keeps_old_answers_and_the_gain(
    world: evaluation.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world.root / "tasks", "tasks")
    shutil.copytree(world.base, layout.BASE)
    shutil.copytree(world.champion, layout.CHAMPION)
    version = trained_from(world, layout.trained("toy"))
    right = tensor_hash(version)
    stretched(version, world.champion)
    write_rows(layout.curated("toy") / "tuning_target.jsonl", toy.rows(toy.NEW, [2, 3]))
    write_rows(layout.curated("toy") / "tuning_guard.jsonl", toy.rows(toy.OLD, [0, 1, 3]))
    values = {"task": "toy", "threads": 1, "evaluate": {"max_new_tokens": 30}, "model": {"context": 64}}
    main(Settings.model_validate(values | {"select": {"strengths": [1 / TOO_FAR]}}))
    said = Selection.model_validate_json((layout.selection("toy") / "selection.json").read_text())
    champion, weaker, strongest = said.points
    assert strongest.guard < champion.guard - 0.1, "all the way is too far"
    assert weaker.target > champion.target + 0.3
    assert said.taken == 1 / TOO_FAR
    taken = load_file(layout.adapter("toy") / WEIGHTS)
    far, before = load_file(version / WEIGHTS), load_file(world.champion / WEIGHTS)
    assert all((taken[n] - before[n] - (far[n] - before[n]) / TOO_FAR).abs().max() < 1e-5 for n in taken)
    assert read_manifest(layout.adapter("toy")).adapter_sha256 not in (right, tensor_hash(version))
