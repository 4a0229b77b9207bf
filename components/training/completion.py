"""The completion-only loss: the mean cross-entropy of answer tokens, computed nowhere else.

The head is applied to the positions that predict an answer and to no others; with a
vocabulary in the thousands that is a large part of a small model's work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from components.training import chunked, varlen
from components.training.batches import Batch, Encoded, collate


def completion_loss(model: torch.nn.Module, batch: Batch, fast: bool = True) -> tuple[torch.Tensor, int]:
    """Mean loss over a batch's answer tokens, and the tokens seen (prompts included, padding not).

    Args:
        fast: run the body without its head; see `head_is_separable`.
    """
    inner = causal_model(model)
    head = inner.get_output_embeddings()
    if fast and chunked.is_large(len(batch.targets), len(head.weight)):
        hidden = answer_hidden(inner, batch)
        return chunked.mean_cross_entropy(hidden, head, batch.targets.to(hidden.device)), batch.tokens
    logits = answer_logits(model, batch, fast)
    return F.cross_entropy(logits.float(), batch.targets.to(logits.device)), batch.tokens


def answer_logprobs(model: torch.nn.Module, batch: Batch, fast: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """log π(answer | prompt) of each row in nats, summed over its tokens, and their number: (rows,) each."""
    logits = answer_logits(model, batch, fast)
    rows, targets = batch.rows.to(logits.device), batch.targets.to(logits.device)
    each = -F.cross_entropy(logits.float(), targets, reduction="none")
    sums = torch.zeros(len(batch.lengths), device=logits.device).index_add(0, rows, each)
    return sums, torch.bincount(rows, minlength=len(batch.lengths)).float()


def answer_logits(model: torch.nn.Module, batch: Batch, fast: bool) -> torch.Tensor:
    """The logits at a batch's positions that predict an answer token: (tokens, vocabulary)."""
    inner = causal_model(model)
    if fast:
        logits: torch.Tensor = inner.get_output_embeddings()(answer_hidden(inner, batch))
        return logits
    device = next(model.parameters()).device
    whole: torch.Tensor = inner(input_ids=batch.ids.to(device), use_cache=False).logits
    return whole[batch.rows.to(device), batch.positions.to(device)]


def answer_hidden(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """What the head is given at a batch's positions that predict an answer token: (tokens, width)."""
    if varlen.applies(model, batch):
        return varlen.hidden(model, batch)
    device = next(model.parameters()).device
    states: torch.Tensor = model.get_decoder()(input_ids=batch.ids.to(device), use_cache=False).last_hidden_state
    return states[batch.rows.to(device), batch.positions.to(device)]


@torch.no_grad()
def mean_loss(model: torch.nn.Module, batches: Sequence[Batch], fast: bool) -> float:
    """Mean loss over all answer tokens of several batches."""
    answered = [len(batch.targets) for batch in batches]
    losses = [completion_loss(model, batch, fast)[0].item() for batch in batches]
    return sum(loss * tokens for loss, tokens in zip(losses, answered, strict=True)) / sum(answered)


@torch.no_grad()
def head_is_separable(model: torch.nn.Module, batch: Batch) -> bool:
    """Whether head(body(x)) is all there is to this architecture's logits (some scale or cap them).

    It is tried on the beginning of the batch's first row: all logits of a whole batch may be more than there is memory.
    """
    training = model.training
    model.eval()
    some = batch.ids[0, : min(batch.lengths[0], 64)].numpy()
    few = collate([Encoded(some, 1)], pad=0)
    try:
        slow, _ = completion_loss(model, few, fast=False)
        quick, _ = completion_loss(model, few, fast=True)
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
