"""Greedy answers to many prompts, as fast as one small model on a CPU can give them.

A static batch, left-padded and sorted by length, with a key-value cache that is allocated
once (transformers' own copies the whole past for every token) and rows that leave the batch
as they finish. The adapter is merged first: a LoRA layer costs two more products a token.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from components.models import load_model

log = logging.getLogger(__name__)


def load_merged(base: Path, adapter: Path | None) -> PreTrainedModel:
    """The model in float32 with its adapter folded into the weights (Hu et al. 2021, section 4.1).

    Raises:
        ModelError: missing or damaged weights, or an adapter made for another base.
    """
    model = load_model(base, adapter, dtype="float32")
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()  # type: ignore[operator]
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()  # type: ignore[arg-type]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    max_new_tokens: int,
    batch_size: int = 100,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[list[int]]:
    """The likeliest continuation of every prompt, without the end-of-turn token.

    A prompt that already fills the model's positions gets an empty answer.

    Args:
        prompts: token ids, any lengths.
        end: the token that ends an answer.
        progress: called with the number of rows each time that some are done.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    room = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
    fitting = [i for i, prompt in enumerate(prompts) if 0 < len(prompt) < room]
    if len(fitting) < len(prompts):
        log.warning("%d prompts leave no room for an answer within %d tokens", len(prompts) - len(fitting), room)
        progress(len(prompts) - len(fitting))
    order = sorted(fitting, key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        steps = min(max_new_tokens, room - len(prompts[rows[-1]]))
        for row, answer in zip(rows, _batch(model, [prompts[i] for i in rows], end, steps), strict=True):
            answers[row] = answer
        progress(len(rows))
    return answers


def _batch(model: PreTrainedModel, prompts: list[Sequence[int]], end: int, steps: int) -> list[list[int]]:
    device = model.device
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long, device=device)
    mask = torch.zeros((len(prompts), width + steps), dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[row, width - len(prompt) :] = 1
    even = bool(mask.all())
    positions = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
    cache = _cache(model, width + steps)
    answers: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for step in range(steps):
        out = model(
            input_ids=ids,
            attention_mask=None if even else mask[:, : width + step],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        chosen = out.logits[:, -1].argmax(-1)
        tokens = chosen.tolist()
        for row, token in zip(alive, tokens, strict=True):
            if token != end:
                answers[row].append(token)
        going = [i for i, token in enumerate(tokens) if token != end]
        if not going:
            break
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        if len(going) < len(tokens):
            keep = torch.tensor(going, device=device)
            cache.batch_select_indices(keep)
            ids, positions, mask = ids[keep], positions[keep], mask[keep]
            alive = [alive[i] for i in going]
    return answers


class _RoomyLayer(DynamicLayer):
    """A cache layer that is allocated once for the whole answer, and hands out views of what is filled."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.filled = 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            batch, heads, _length, size = key_states.shape
            self.room_k = key_states.new_empty(batch, heads, self.capacity, size)
            self.room_v = value_states.new_empty(batch, heads, self.capacity, value_states.shape[-1])
        until = self.filled + key_states.shape[-2]
        self.room_k[:, :, self.filled : until] = key_states
        self.room_v[:, :, self.filled : until] = value_states
        self.filled = until
        self.keys, self.values = self.room_k[:, :, :until], self.room_v[:, :, :until]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows; only what is filled is copied."""
        k, v = self.room_k, self.room_v
        self.room_k = k.new_empty(len(indices), *k.shape[1:])
        self.room_v = v.new_empty(len(indices), *v.shape[1:])
        self.room_k[:, :, : self.filled] = k[indices, :, : self.filled]
        self.room_v[:, :, : self.filled] = v[indices, :, : self.filled]
        self.keys, self.values = self.room_k[:, :, : self.filled], self.room_v[:, :, : self.filled]


def _cache(model: PreTrainedModel, capacity: int) -> DynamicCache:
    """A roomy cache for plain attention; sliding-window and hybrid models keep transformers' own."""
    cache = DynamicCache(config=model.config)
    if cache.layers and all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [_RoomyLayer(capacity) for _ in cache.layers]
    return cache


@torch.inference_mode()
def answer_losses(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], batch_size: int = 100
) -> list[tuple[float, int]]:
    """Sum of negative log-likelihoods (nats) and number of tokens of each reference answer, teacher-forced.

    Rows are right-padded: under causal attention padding then cannot be seen, and no mask is needed.
    """
    losses: list[tuple[float, int]] = [(0.0, 0)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]) + len(answers[i]), i))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = max(len(prompts[i]) + len(answers[i]) for i in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        target = torch.full((len(rows), width), -100)
        for at, i in enumerate(rows):
            whole = [*prompts[i], *answers[i]]
            ids[at, : len(whole)] = torch.tensor(whole)
            target[at, len(prompts[i]) - 1 : len(whole) - 1] = torch.tensor(list(answers[i]))
        logits = model(input_ids=ids.to(model.device), use_cache=False).logits
        wanted = target.to(model.device) != -100
        nll = torch.nn.functional.cross_entropy(
            logits[wanted].float(), target.to(model.device)[wanted], reduction="none"
        ).split(wanted.sum(1).tolist())
        for i, part in zip(rows, nll, strict=True):
            losses[i] = (float(part.sum()), len(part))
    return losses


def latencies(model: PreTrainedModel, prompts: Sequence[Sequence[int]], end: int, max_new_tokens: int) -> list[float]:
    """Seconds that each prompt takes alone, the first one (warm-up) left out."""
    taken = []
    for prompt in prompts[:1] + list(prompts):  # type: ignore[operator]
        started = time.perf_counter()
        generate(model, [prompt], end=end, max_new_tokens=max_new_tokens, batch_size=1)
        taken.append(time.perf_counter() - started)
    return taken[1:]
