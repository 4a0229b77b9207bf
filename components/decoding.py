"""Answers token by token: the loop that evaluation and reinforcement learning share.

A static batch, left-padded, with a key-value cache that is allocated once (transformers' own copies
the whole past for every token) and rows that leave the batch as they finish. Several answers to one
prompt read the prompt once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
"""(logits of shape (rows, vocabulary), which answer each row belongs to) → the next token of each row."""


def alike(lengths: Sequence[int], indices: Sequence[int], size: int) -> Iterator[list[int]]:
    """The indices in batches of like lengths."""
    order = [index for _, index in sorted(zip(lengths, indices, strict=True))]
    return (order[start : start + size] for start in range(0, len(order), size))


def likeliest(logits: torch.Tensor, _answers: Sequence[int]) -> torch.Tensor:
    """Greedy decoding."""
    return logits.argmax(-1)


def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    end: int,
    most: Sequence[int],
    choose: Choose = likeliest,
    copies: int = 1,
) -> list[list[int]]:
    """Continue every prompt until `end`, which is no part of what is returned, or until it has `most` tokens more.

    Args:
        prompts: token ids, none of them empty.
        most: one number a prompt, at least 1.
        choose: says each row's next token.
        copies: so many answers to each prompt; the first prompt's come first.
    """
    device, steps = model.device, max(most)
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long, device=device)
    mask = torch.zeros((len(prompts), width + steps), dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[row, width - len(prompt) :] = 1
    even = bool(mask.all())
    positions = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
    cache = _cache(model, width + steps)
    answers: list[list[int]] = [[] for _ in range(len(prompts) * copies)]
    alive = list(range(len(answers)))
    for step in range(steps):
        out = model(
            input_ids=ids,
            attention_mask=None if even else mask[:, : width + step],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = out.logits[:, -1]
        if step == 0 and copies > 1:
            cache.batch_repeat_interleave(copies)
            logits, positions, mask = (rows.repeat_interleave(copies, 0) for rows in (logits, positions, mask))
        chosen = choose(logits, alive)
        tokens = chosen.tolist()
        for row, token in zip(alive, tokens, strict=True):
            if token != end:
                answers[row].append(token)
        room = [most[row // copies] - len(answers[row]) for row in alive]
        going = [i for i, token in enumerate(tokens) if token != end and room[i] > 0]
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

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times; only what is filled is copied."""
        self.batch_select_indices(torch.arange(len(self.room_k), device=self.room_k.device).repeat_interleave(repeats))

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
