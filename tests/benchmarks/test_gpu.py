"""The arithmetic that benchmarks/gpu.py says a training needs is the arithmetic that it does."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.gpu import SHAPE, flops
from components import config
from components.training import adapters
from components.training.batches import Encoded, collate
from components.training.completion import completion_loss


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_rows_operations_are_those_that_pytorch_counts(method: str) -> None:
    small = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6, "vocab_size": 1000}
    model: torch.nn.Module = Qwen2ForCausalLM(Qwen2Config(**SHAPE | small))
    if method == "lora":
        model = adapters.adapted(model, config.TrainSettings(method="lora", lora={"r": 2}))
    row = collate([Encoded(torch.randint(1000, (24,)).numpy(), 16)], pad=0)
    with FlopCounterMode(display=False) as counted:
        loss, _ = completion_loss(model, row)
        loss.backward()
    added = sum(parameter.numel() for name, parameter in model.named_parameters() if "lora_" in name)
    assert flops(method, model.config, added, 24, 8) == pytest.approx(counted.get_total_flops(), rel=0.05)
