"""Stage `train` on a GPU: what runs nowhere else. Skipped where there is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from components import golden, layout
from components.files import sha256_of
from components.models import load_model, load_tokenizer
from components.optimization.watch import Watch
from components.training import adapters, varlen
from components.training.__main__ import main
from tests.components.training.conftest import settings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

VERSION = layout.trained("toy")
METHODS: list[Any] = [
    {"method": "lora"},
    {"method": "lora", "compile": True},
    {"method": "lora", "precision": "float32"},
    {"method": "lora", "gradient_checkpointing": True, "micro_batch_size": 3},
    {"method": "full"},
    {"method": "freeze", "freeze_top": 1},
    pytest.param(
        {"method": "qlora"},
        marks=pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="needs bitsandbytes"),
    ),
]


@pytest.mark.parametrize("train", METHODS)
def test_broken_off_and_run_again_it_ends_at_the_same_bits(
    train: dict[str, Any], toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(**train, steps=12, checkpoint_every=5, lr=0.01)
    main(wanted)
    whole = sha256_of(VERSION)
    look = Watch.look

    def breaking(self: Watch, step: int, *measured: float) -> None:
        if step == 8:
            raise ConnectionError("the machine is gone")
        look(self, step, *measured)

    with monkeypatch.context() as broken, pytest.raises(ConnectionError):
        broken.setattr(Watch, "look", breaking)
        main(wanted)
    main(wanted)
    assert sha256_of(VERSION) == whole


@pytest.mark.parametrize("train", METHODS)
def test_it_learns_and_its_version_answers_on_a_cpu_as_it_was_proven(train: dict[str, Any], toy: Path) -> None:
    main(settings(**train, steps=60, lr=0.01))
    losses = [float(line.split(",")[1]) for line in (layout.training("toy") / "loss.csv").read_text().splitlines()[1:]]
    most = 0.97 if "lora" in train["method"] else 0.5  # a base of random weights teaches an adapter little
    assert sum(losses[-5:]) < most * sum(losses[:5])
    served = load_model(layout.BASE, VERSION, dtype="float32")
    assert golden.differences(served, load_tokenizer(layout.BASE), golden.read(VERSION)) == []


@pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="needs bitsandbytes")
def test_qlora_holds_the_base_in_four_bits_and_trains_the_adapter_alone(toy: Path) -> None:
    model: Any = adapters.new_adapter(settings(method="qlora").train, layout.BASE)
    assert model.is_loaded_in_4bit
    held = {type(parameter).__name__ for name, parameter in model.named_parameters() if "base_layer.weight" in name}
    assert held == {"Params4bit"}
    assert {name.split(".")[-3] for name, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}


def test_rows_go_end_to_end(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    kernel = varlen.kernel
    monkeypatch.setattr(varlen, "kernel", lambda query, *rest: taken.append(len(query)) or kernel(query, *rest))
    main(settings(steps=3))
    assert max(taken) > varlen.MULTIPLE, "those of `adopt` are the others"
