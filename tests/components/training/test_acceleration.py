"""What a training in bfloat16 does otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from components import config, layout
from components.models import load_model
from components.training import acceleration, adapters, chunked
from components.training.__main__ import main
from tests.components.training.conftest import settings


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=60, **shape))


def test_below_an_adapter_the_base_is_held_in_bfloat16_and_the_adapter_is_not() -> None:
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    acceleration.prepare(model, config.TrainSettings(method="lora"))
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_weights_that_are_trained_stay_as_they_are() -> None:
    model = llama()
    acceleration.prepare(model, config.TrainSettings(method="full"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_version_taught_in_bfloat16_is_proven_on_the_base_as_it_is_served(toy: Path) -> None:
    main(settings(precision="bfloat16", steps=4))
    version = layout.trained("toy")
    served = load_model(layout.BASE, version)
    assert {parameter.dtype for parameter in served.parameters()} == {torch.float32}
    rounded = adapters.new_adapter(settings().train, layout.BASE)
    acceleration.hold_frozen(rounded)
    proven = adapters.served(rounded, layout.BASE, version)
    for (name, one), other in zip(served.named_parameters(), proven.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_layers_are_compiled_as_long_as_the_training_lasts() -> None:
    model, ids = llama(), torch.arange(12)[None]
    want = model(ids, use_cache=False).logits
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    with acceleration.compiled(model, True, backend):
        torch.testing.assert_close(model(ids, use_cache=False).logits, want)
        assert len(graphs) == 1, "the first layer's code serves all"
    torch.testing.assert_close(model(ids[:, :5]).logits, want[:, :5])
    assert len(graphs) == 1


@pytest.mark.parametrize("wanted", [False, "auto"])
def test_a_small_model_or_one_on_a_cpu_is_not_compiled(wanted: bool | str) -> None:
    model = llama()
    with acceleration.compiled(model, wanted):  # type: ignore[arg-type]
        assert not any(layer._compiled_call_impl for layer in acceleration.layers(model))


def test_without_a_c_compiler_nothing_is_compiled_and_the_log_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class OnAGPU(torch.nn.Linear):
        def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
            parameter = SimpleNamespace(is_cuda=True, device=torch.device("cuda"), numel=lambda: 10**9)
            return iter([cast("torch.nn.Parameter", parameter)])

    monkeypatch.setattr(chunked, "has_triton", lambda: True)
    monkeypatch.setattr(acceleration, "layers", lambda model: [pytest.fail("it was to be compiled")])
    monkeypatch.setenv("PATH", "")
    with caplog.at_level("INFO"), acceleration.compiled(OnAGPU(2, 2), "auto"):
        assert "no C compiler" in caplog.text
    assert not chunked.compiles(torch.device("cuda"))
    monkeypatch.setenv("CC", sys.executable)
    assert chunked.compiles(torch.device("cuda"))
    assert not chunked.compiles(torch.device("cpu"))
