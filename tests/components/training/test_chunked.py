"""The chunked cross-entropy of a large head."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from components.training import chunked
from components.training.batches import Encoded, collate
from components.training.completion import completion_loss, mean_loss

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", {"cpu": 128 * 300, "cuda": 128 * 300})
    monkeypatch.setattr(chunked, "LARGE", 300 * 100)


@pytest.mark.parametrize("with_bias", [True, False])
def test_loss_and_gradients_are_those_of_all_logits_at_once(with_bias: bool) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 300, bias=with_bias, device=DEVICE)
    hidden = torch.randn(400, 16, device=DEVICE, requires_grad=True)
    targets = torch.randint(300, (400,), device=DEVICE)
    assert chunked.is_large(400, 300)
    tensors = [hidden, *head.parameters()]
    want = F.cross_entropy(head(hidden), targets)
    wanted = torch.autograd.grad(want * 0.25, tensors)
    got = chunked.mean_cross_entropy(hidden, head, targets)
    gradients = torch.autograd.grad(got * 0.25, tensors)
    assert got.item() == pytest.approx(want.item(), rel=1e-6)
    for one, other in zip(gradients, wanted, strict=True):
        assert one.dtype is other.dtype
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_in_bfloat16_the_loss_stays_a_float32_one() -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 300, bias=False, device=DEVICE).requires_grad_(False)
    hidden = torch.randn(400, 16, device=DEVICE, requires_grad=True)
    targets = torch.randint(300, (400,), device=DEVICE)
    with torch.autocast(DEVICE, torch.bfloat16):
        got = chunked.mean_cross_entropy(hidden, head, targets)
        want = F.cross_entropy(head(hidden).float(), targets)
    assert got.dtype is torch.float32
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
    (gradient,), (wanted,) = torch.autograd.grad(got, hidden), torch.autograd.grad(want, hidden)
    assert (gradient - wanted).norm() < 0.01 * wanted.norm()
    assert head.weight.grad is None


def test_a_model_with_a_large_head_is_taught_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=300, tie_word_embeddings=True, **shape)).to(DEVICE)
    batch = collate([Encoded(torch.randint(300, (n,)).numpy(), 2) for n in (60, 90, 75)], pad=0)
    used = []
    monkeypatch.setattr(chunked._Chunked, "apply", _noting(used, chunked._Chunked.apply))
    loss, _ = completion_loss(model, batch)
    loss.backward()
    got = model.get_input_embeddings().weight.grad.clone()
    assert mean_loss(model, [batch], fast=True) == pytest.approx(loss.item(), rel=1e-6)
    assert len(used) == 2
    monkeypatch.setattr(chunked, "LARGE", 10**9)
    model.zero_grad()
    want, _ = completion_loss(model, batch)
    want.backward()
    assert len(used) == 2
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)
    torch.testing.assert_close(got, model.get_input_embeddings().weight.grad, rtol=1e-4, atol=1e-7)


def _noting(used: list[int], apply: object) -> object:
    def noted(*given: object) -> object:
        used.append(1)
        return apply(*given)  # type: ignore[operator]

    return noted
