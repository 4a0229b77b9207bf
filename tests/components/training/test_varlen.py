"""Rows end to end. Where there is no GPU, the kernel's place is taken by PyTorch's attention, called for each row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from components.training import varlen
from components.training.batches import Batch, Encoded, collate, share
from components.training.completion import answer_logprobs, completion_loss

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
ON_A_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_A_GPU else "cpu"


def row_by_row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float | None,
    window: tuple[int, int],
) -> torch.Tensor:
    """What the kernel computes."""
    out = torch.empty_like(query)
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        assert end - start <= longest
        if start == end:
            continue
        seen = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        if window[0] >= 0:
            seen = seen.triu(-window[0])
        parts = [part[start:end].transpose(0, 1)[None] for part in (query, key, value)]
        found = F.scaled_dot_product_attention(*parts, attn_mask=seen, scale=scaling, enable_gqa=True)
        out[start:end] = found[0].transpose(0, 1)
    return out


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    if not ON_A_GPU:
        monkeypatch.setattr(varlen, "kernel", row_by_row)
        monkeypatch.setattr(varlen, "available", lambda device: True)


def batch() -> Batch:
    drawn = np.random.default_rng(4)
    return collate([Encoded(drawn.integers(0, 50, n), max(1, n // 3)) for n in (7, 31, 2, 18, 31)], pad=0)


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL)).to(DEVICE)


def by_row(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
        return answer_logprobs(model, batch)[0].float().cpu()


@pytest.mark.parametrize(
    "made",
    [
        llama,
        lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL)),
        lambda: MistralForCausalLM(MistralConfig(**SMALL, sliding_window=8)),
    ],
)
def test_end_to_end_every_row_has_the_loss_and_the_gradient_that_it_has_padded(made: type[PreTrainedModel]) -> None:
    torch.manual_seed(0)
    model = made().to(DEVICE)
    told = batch()
    padded, want = by_row(model, told), _gradient(model, told)
    assert varlen.adopt(model)
    with torch.autocast(DEVICE, torch.bfloat16):
        assert varlen.applies(model, told)
    assert by_row(model, told) == pytest.approx(padded, rel=0.02)
    got = _gradient(model, told)
    assert (got - want).norm() < 0.03 * want.norm()


def _gradient(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    model.zero_grad()
    with torch.autocast(DEVICE, torch.bfloat16):
        loss, tokens = completion_loss(model, batch)
    assert tokens == sum(batch.lengths)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).cpu()


def test_no_token_is_computed_that_is_padding_but_what_fills_a_multiple_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    model = llama()
    assert varlen.adopt(model)
    monkeypatch.setattr(varlen, "kernel", lambda query, *rest: seen.append(len(query)) or query)
    monkeypatch.setattr(varlen, "MULTIPLE", 8)
    by_row(model, batch())
    assert sum(batch().lengths) == 89
    assert seen == [96, 96]
    assert batch().ids.numel() == 155


def test_a_row_sees_nothing_of_its_neighbours() -> None:
    model, rows = llama(), batch()
    assert varlen.adopt(model)
    before = by_row(model, rows)
    rows.ids[1, :31] = 3
    after = by_row(model, rows)
    assert after[[0, 2, 3, 4]].tolist() == before[[0, 2, 3, 4]].tolist()
    assert after[1] != before[1]


def test_a_part_of_a_batch_goes_end_to_end_as_well() -> None:
    model, rows = llama(), batch()
    assert varlen.adopt(model)
    whole = by_row(model, rows)
    parts = [by_row(model, share(rows, rank, 2)[0]) for rank in range(2)]
    assert parts[0] == pytest.approx(whole[0::2], rel=0.02)
    assert parts[1] == pytest.approx(whole[1::2], rel=0.02)


def test_generation_goes_on_as_before() -> None:
    model = llama().eval()
    ids = torch.tensor([[0, 0, 5, 6], [1, 2, 3, 4]], device=DEVICE)
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]], device=DEVICE)
    asked = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    before = model.generate(ids, **asked)
    assert varlen.adopt(model)
    assert model.generate(ids, **asked).tolist() == before.tolist()
    assert varlen.NAME not in model.config.to_json_string()


def test_in_float32_rows_are_padded_since_the_kernel_takes_none() -> None:
    model = llama()
    assert varlen.adopt(model)
    assert not varlen.applies(model, batch())


def test_rows_of_equal_length_have_no_padding_and_stay_side_by_side() -> None:
    model = llama()
    assert varlen.adopt(model)
    equal = collate([Encoded(np.full(12, n), 3) for n in (4, 9)], pad=0)
    with torch.autocast(DEVICE, torch.bfloat16):
        assert varlen.applies(model, batch())
        assert not varlen.applies(model, equal)


def test_an_architecture_that_attends_in_its_own_way_keeps_its_padding(caplog: pytest.LogCaptureFixture) -> None:
    class Leaky(LlamaForCausalLM):
        """Its attention gets rows end to end, and no word of where they end."""

        def get_decoder(self) -> object:  # type: ignore[override]
            inner = super().get_decoder()
            return lambda **given: inner(**{k: v for k, v in given.items() if "seq" not in k and "max_" not in k})

    with caplog.at_level("INFO"):
        assert not varlen.adopt(Leaky(LlamaConfig(**SMALL)).to(DEVICE))
    assert "rows are padded" in caplog.text
    shape = {"vocab_size": 50, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    with caplog.at_level("INFO"):
        assert not varlen.adopt(GPT2LMHeadModel(GPT2Config(**shape, attn_pdrop=0.1)).to(DEVICE))
    assert "attention with dropout" in caplog.text
    assert varlen.adopt(GPT2LMHeadModel(GPT2Config(**shape, attn_pdrop=0.0)).to(DEVICE))
