"""Causal language modelling on packed windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from components import config
from components.cores import processes
from components.optimization import loop, optimizers
from components.optimization.checkpoints import Checkpoints
from components.pretraining.llama import new_llama
from components.pretraining.windows import Windows, cut, encode, share
from components.stage import StageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HELDOUT_BATCH = 32


def pretrain(
    settings: config.Settings,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    heldout: Sequence[str],
    separator: int,
    checkpoints: Checkpoints | None = None,
) -> tuple[PreTrainedModel, loop.History]:
    """Train a new model on `texts`; with `pretrain.steps: 0` it keeps its random weights.

    Args:
        separator: the token that opens every document.

    Raises:
        StageError: too little text for one batch, or the loss went astray.
    """
    wanted, context = settings.pretrain, settings.model.context
    device = loop.prepare(settings.seed, settings.threads)
    model = new_llama(wanted, context, tokenizer)
    torch.nn.Module.to(model, device)
    if wanted.steps == 0:
        return model.eval(), loop.History()
    if wanted.window > context:
        raise StageError(f"pretrain.window = {wanted.window} is more than model.context = {context}")
    batch = wanted.batch_tokens // wanted.window
    if batch < 1:
        raise StageError(f"pretrain.batch_tokens = {wanted.batch_tokens} is less than one window of {wanted.window}")
    windows = Windows(encode(tokenizer, texts, separator), wanted.window, batch, settings.seed)
    watched = _stream(tokenizer, heldout[:200], separator)
    plan = loop.Plan(
        section="pretrain",
        steps=wanted.steps,
        warmup=wanted.warmup,
        seed=settings.seed,
        batch=windows.step,
        loss=_loss,
        share=share,
        replicas=processes(model, batch, settings.threads),
        heldout=lambda trained: _nats(trained, watched, context)[0] / max(1, len(watched) - 1),
        heldout_every=max(1, wanted.steps // 5),
    )
    choose = optimizers.muon if wanted.optimizer == "muon" else optimizers.adamw
    history = loop.fit(model, choose(model, wanted.lr), plan, checkpoints)
    return model, history


def heldout_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], separator: int, context: int
) -> tuple[float, float]:
    """Loss on text never trained on: nats a token, and bits a byte of UTF-8.

    Bits a byte is total nats / ln 2 / total bytes, separators' nats included and their bytes
    not, so that tokenizers of different sizes compare.
    """
    stream = _stream(tokenizer, texts, separator)
    nats, tokens = _nats(model, stream, context)
    size = sum(len(text.encode()) for text in texts)
    return nats / max(1, tokens), nats / math.log(2) / max(1, size)


def _stream(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], separator: int) -> np.ndarray:
    if not texts:
        raise StageError("data/corpus/heldout.jsonl is empty: raise corpus.documents in params.yaml")
    return np.concatenate([*encode(tokenizer, texts, separator), np.array([separator], dtype=np.int32)])


@torch.no_grad()
def _nats(model: torch.nn.Module, stream: np.ndarray, context: int) -> tuple[float, int]:
    """Total negative log-likelihood of a stream, window by window, and the tokens predicted."""
    total, tokens = 0.0, 0
    windows = cut(stream, context)
    rest = stream[len(windows) * context :]
    parts = [windows[at : at + HELDOUT_BATCH] for at in range(0, len(windows), HELDOUT_BATCH)]
    if len(rest) > 1:
        parts.append(rest[None, :])
    for part in parts:
        loss, count = _loss(model, torch.from_numpy(part.astype(np.int64)))
        total += loss.item() * count
        tokens += count
    return total, tokens


def _loss(model: torch.nn.Module, windows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Mean cross-entropy of every next token of (batch, context + 1) windows."""
    windows = windows.to(next(model.parameters()).device)
    hidden = model.model(input_ids=windows[:, :-1], use_cache=False).last_hidden_state  # type: ignore[operator]
    logits = model.lm_head(hidden.flatten(0, 1))  # type: ignore[operator]
    return F.cross_entropy(logits, windows[:, 1:].flatten()), windows.size(0) * (windows.size(1) - 1)
