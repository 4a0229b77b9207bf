"""The completion-only loss: the mean cross-entropy of answer tokens, computed nowhere else.

The head is applied to the positions that predict an answer and to no others; with a
vocabulary in the thousands that is a large part of a small model's work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from components.training.batches import Batch


def completion_loss(model: torch.nn.Module, batch: Batch, fast: bool = True) -> tuple[torch.Tensor, int]:
    """Mean loss over a batch's answer tokens, and the tokens seen (prompts included, padding not).

    Args:
        fast: run the body without its head; see `head_is_separable`.
    """
    device = next(model.parameters()).device
    ids = batch.ids.to(device)
    rows, positions, targets = batch.rows.to(device), batch.positions.to(device), batch.targets.to(device)
    inner = causal_model(model)
    if fast:
        hidden = inner.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[rows, positions]
        logits = inner.get_output_embeddings()(hidden)
    else:
        logits = inner(input_ids=ids, use_cache=False).logits[rows, positions]
    return F.cross_entropy(logits.float(), targets), batch.tokens


@torch.no_grad()
def mean_loss(model: torch.nn.Module, batches: Sequence[Batch], fast: bool) -> float:
    """Mean loss over all answer tokens of several batches."""
    answered = [len(batch.targets) for batch in batches]
    losses = [completion_loss(model, batch, fast)[0].item() for batch in batches]
    return sum(loss * tokens for loss, tokens in zip(losses, answered, strict=True)) / sum(answered)


@torch.no_grad()
def head_is_separable(model: torch.nn.Module, batch: Batch) -> bool:
    """Whether head(body(x)) is all there is to this architecture's logits (some scale or cap them)."""
    training = model.training
    model.eval()
    try:
        slow, _ = completion_loss(model, batch, fast=False)
        quick, _ = completion_loss(model, batch, fast=True)
    except (AttributeError, TypeError):
        return False
    finally:
        model.train(training)
    return bool(torch.isclose(slow, quick, rtol=1e-3, atol=1e-4))


def causal_model(model: torch.nn.Module) -> PreTrainedModel:
    """The causal language model inside a PEFT wrapper (its layers carry the adapter), or the model itself."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    assert isinstance(inner, PreTrainedModel)
    return inner
