"""What makes a training fit a machine and stop in time: the same result, less memory, the best step."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import mlflow
import pytest
import torch

from components import config, layout
from components.config import ConfigError
from components.files import sha256_of
from components.models import load_model, load_tokenizer
from components.training import methods, tracking
from components.training.__main__ import main
from components.training.batches import collate, encode
from components.training.completion import completion_loss
from tests.components.training.conftest import rows, settings

VERSION = layout.trained("toy")


def _losses() -> list[dict[str, str]]:
    with (layout.training("toy") / "loss.csv").open() as lines:
        return list(csv.DictReader(lines))


def test_small_parts_and_recomputed_activations_learn_what_the_whole_batch_learns(toy: Path) -> None:
    main(settings(lr=0.01, steps=6))  # the toy's batch has 8 rows
    whole = [float(row["loss"]) for row in _losses()]
    main(settings(lr=0.01, steps=6, micro_batch_size=3, gradient_checkpointing=True))
    assert [float(row["loss"]) for row in _losses()] == pytest.approx(whole, rel=1e-4)
    assert json.loads((layout.training("toy") / "metrics.json").read_text())["steps"] == 6


def test_recomputed_activations_give_the_same_gradients_in_less_kept_memory(toy: Path) -> None:
    batch = collate(encode(load_tokenizer(layout.BASE), rows(count=16), 64), pad=0)

    def gradients(wanted: bool) -> tuple[list[torch.Tensor], int]:
        model = load_model(layout.BASE, dtype="float32")
        model.requires_grad_(True).train()
        methods.checkpoint_activations(model, wanted)
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss, _ = completion_loss(model, batch)
        taken = sum(kept.values())
        loss.backward()
        return [p.grad for p in model.parameters() if p.grad is not None], taken

    (plain, all_kept), (again, less) = gradients(False), gradients(True)
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)
    assert less < 0.6 * all_kept


def test_the_step_that_validation_likes_best_becomes_the_version(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "WATCHED_EVERY", 0.05)
    wanted = settings(method="full", lr=0.05, steps=40, validation_rows=12, validation_every=5, patience=2)
    main(wanted)
    metrics = json.loads((layout.training("toy") / "metrics.json").read_text())
    looks = {int(row["step"]): float(row["heldout"]) for row in _losses() if row["heldout"]}
    assert metrics["best_step"] == min(looks, key=looks.__getitem__)
    assert metrics["validation_loss"] == pytest.approx(min(looks.values()), abs=1e-5)
    assert metrics["steps"] == max(looks)
    first = sha256_of(VERSION)
    main(wanted)
    assert sha256_of(VERSION) == first
    client = mlflow.MlflowClient(config.places().tracking_uri)
    logged = client.get_run(metrics["mlflow_run"]).data.metrics
    assert logged["peak_memory_mb"] > 100
    assert logged["seconds_left"] >= 0
    assert [name for name in logged if name.startswith("system/")]


def test_patience_without_rows_to_look_at_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.*patience needs validation_rows"):
        config.parse({"train": {"patience": 3}})
