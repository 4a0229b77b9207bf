"""Which examples a step sees, and how they lie in one tensor.

On a CPU sorting by length beats packing: right-padded rows need no attention mask (a causal
model never looks right), so attention stays on its fast path, while a block-diagonal mask
leaves it. Rows of like length are batched, so that little is padding. A GPU takes the same
batches without their padding, end to end (components/training/varlen.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from components.chat import examples_ids
from components.files import DataError
from components.schema import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BUCKET = 16
"""Batches whose rows are sorted together: larger buckets pad less and mix less."""


@dataclass(frozen=True)
class Encoded:
    """One example as token ids; the answer starts at `prompt`."""

    ids: np.ndarray
    prompt: int


@dataclass(frozen=True)
class Batch:
    """Right-padded rows and, flattened over the batch, where answer tokens are predicted."""

    ids: torch.Tensor
    """(rows, length)"""
    rows: torch.Tensor
    positions: torch.Tensor
    """The token at `positions` of `rows` predicts the matching target."""
    targets: torch.Tensor
    lengths: tuple[int, ...]
    """Tokens of each row that are no padding."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


def encode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], context: int) -> list[Encoded]:
    """Token ids of every example.

    Raises:
        DataError: there is none, or one is longer than the context (its id is named).
    """
    if not examples:
        raise DataError("there are no training examples: nothing can be learned from an empty train.jsonl")
    encoded = []
    every = examples_ids(tokenizer, [example.messages for example in examples])
    for example, (ids, prompt) in zip(examples, every, strict=True):
        if len(ids) > context:
            raise DataError(
                f"example {example.id} has {len(ids)} tokens, model.context is {context}: "
                "shorten it, leave it out, or raise model.context in params.yaml"
            )
        encoded.append(Encoded(np.array(ids, dtype=np.int64), prompt))
    return encoded


class Batches:
    """Batches as a pure function of seed and step; every epoch sees each example once.

    With fewer examples than one batch holds, a batch is all of them.
    """

    def __init__(self, examples: Sequence[Encoded], batch_size: int, seed: int, pad: int) -> None:
        self.examples, self.size, self.seed, self.pad = examples, min(batch_size, len(examples)), seed, pad
        self.batches_per_epoch = len(examples) // self.size
        self._epoch = lru_cache(maxsize=1)(self._order)

    def step(self, step: int) -> Batch:
        """The batch of a 0-based step."""
        return collate([self.examples[index] for index in self.indices(step)], self.pad)

    def indices(self, step: int) -> np.ndarray:
        """Which examples the batch of a 0-based step holds."""
        epoch, position = divmod(step, self.batches_per_epoch)
        return self._epoch(epoch)[position]

    def _order(self, epoch: int) -> list[np.ndarray]:
        return by_length([len(example.ids) for example in self.examples], self.size, self.seed, epoch)


def by_length(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """One epoch's batches, each as the positions of its `size` rows; what fills no whole batch is left out.

    Rows are shuffled, buckets of `BUCKET` batches sorted by length, and the batches shuffled again.
    """
    random = np.random.default_rng([seed, epoch])
    sizes = np.array(lengths)
    order = random.permutation(len(sizes))[: len(sizes) // size * size]
    batches: list[np.ndarray] = []
    for start in range(0, len(order), size * BUCKET):
        bucket = order[start : start + size * BUCKET]
        bucket = bucket[np.argsort(sizes[bucket], kind="stable")]
        batches += np.split(bucket, len(bucket) // size)
    return [batches[index] for index in random.permutation(len(batches))]


def in_batches(examples: Sequence[Encoded], pad: int, size: int = 32) -> list[Batch]:
    """Every example once, those of like length together: rows to measure on."""
    ordered = sorted(examples, key=lambda example: len(example.ids))
    return [collate(ordered[start : start + size], pad) for start in range(0, len(ordered), size)]


def share(batch: Batch, rank: int, count: int) -> tuple[Batch, float]:
    """Every `count`-th row of a batch from `rank` on, and its answer tokens' part of the batch's."""
    own = batch.rows % count == rank
    lengths, targets = batch.lengths[rank::count], batch.targets[own]
    part = Batch(
        ids=batch.ids[rank::count, : max(lengths)],
        rows=batch.rows[own] // count,
        positions=batch.positions[own],
        targets=targets,
        lengths=lengths,
    )
    return part, len(targets) / len(batch.targets)


def collate(examples: Sequence[Encoded], pad: int) -> Batch:
    """Pad on the right and list the positions whose next token belongs to an answer."""
    length = max(len(example.ids) for example in examples)
    ids = np.full((len(examples), length), pad, dtype=np.int64)
    rows, positions, targets = [], [], []
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = example.ids
        answer = np.arange(example.prompt, len(example.ids))
        rows.append(np.full(len(answer), row))
        positions.append(answer - 1)
        targets.append(example.ids[answer])
    return Batch(
        ids=torch.from_numpy(ids),
        rows=torch.from_numpy(np.concatenate(rows)),
        positions=torch.from_numpy(np.concatenate(positions)),
        targets=torch.from_numpy(np.concatenate(targets)),
        lengths=tuple(len(example.ids) for example in examples),
    )
