"""Two answers to one prompt as batches: what dpo and orpo compare, and what a reward model may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from components.schema import Example, Judged, Message, Preference
from components.training.batches import Batch, Batches, Encoded, collate, encode, share
from components.training.completion import answer_logprobs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def as_example(row: Preference | Judged, answer: str) -> Example:
    """The row's prompt with an answer."""
    return Example(id=row.id, messages=(*row.prompt, Message(role="assistant", content=answer)), rater=row.rater)


@dataclass(frozen=True)
class Pairs:
    """Encoded pairs: `chosen[i]` and `rejected[i]` answer the same prompt."""

    chosen: Sequence[Encoded]
    rejected: Sequence[Encoded]

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def longer(self) -> list[Encoded]:
        """Each pair's longer row: pairs of like length go into one batch."""
        return [max(pair, key=lambda row: len(row.ids)) for pair in zip(self.chosen, self.rejected, strict=True)]


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Preference], context: int) -> Pairs:
    """Token ids of both answers of every pair.

    Raises:
        DataError: one is longer than the context (its id is named).
    """
    if not pairs:
        return Pairs([], [])
    chosen = encode(tokenizer, [as_example(pair, pair.chosen) for pair in pairs], context)
    rejected = encode(tokenizer, [as_example(pair, pair.rejected) for pair in pairs], context)
    return Pairs(chosen, rejected)


def logprobs(model: torch.nn.Module, rows: Sequence[Encoded], size: int, pad: int, fast: bool) -> np.ndarray:
    """log π(answer | prompt) of every row as the model stands now (no dropout): nats, and tokens, (rows, 2)."""
    found = np.zeros((len(rows), 2), dtype=np.float32)
    order = np.argsort([len(row.ids) for row in rows], kind="stable")
    training = model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(order), size):
            part = order[start : start + size]
            sums, counts = answer_logprobs(model, collate([rows[index] for index in part], pad), fast)
            found[part] = torch.stack([sums, counts], dim=1).cpu().numpy()
    model.train(training)
    return found


@dataclass(frozen=True)
class PairBatch:
    """n pairs as 2n rows, the chosen answers before the rejected ones; beside them rows of right answers."""

    answers: Batch
    reference: torch.Tensor
    """(2n,): log π_ref of each row's answer, in nats."""
    anchor: Batch | None
    anchor_weight: float

    @property
    def pairs(self) -> int:
        return len(self.answers.lengths) // 2

    @property
    def tokens(self) -> int:
        return self.answers.tokens + (self.anchor.tokens if self.anchor else 0)


class PairBatches:
    """Batches of pairs as a pure function of seed and step."""

    def __init__(
        self,
        pairs: Pairs,
        reference: np.ndarray,
        anchor: Batches | None,
        anchor_weight: float,
        batch_size: int,
        seed: int,
        pad: int,
    ) -> None:
        """`reference`: (pairs, 2), log π_ref of the chosen and the rejected answers."""
        self._pairs, self._reference, self._pad = pairs, reference, pad
        self._order = Batches(pairs.longer, batch_size, seed, pad)
        self._anchor, self._weight = anchor, anchor_weight
        self.size = min(self._order.size, anchor.size) if anchor else self._order.size

    def step(self, step: int) -> PairBatch:
        """The batch of a 0-based step."""
        picked = self._order.indices(step)
        rows = [self._pairs.chosen[i] for i in picked] + [self._pairs.rejected[i] for i in picked]
        anchor = self._anchor.step(step) if self._anchor else None
        reference = torch.from_numpy(self._reference[picked].T.reshape(-1).copy())
        return PairBatch(collate(rows, self._pad), reference, anchor, self._weight)


def share_pairs(batch: PairBatch, rank: int, count: int) -> tuple[PairBatch, float]:
    """Every `count`-th pair of a batch from `rank` on, and its part of the batch's pairs.

    The anchor's weight makes up for its own part being another one: it counts answer tokens.
    """
    pairs = batch.pairs
    own = list(range(rank, pairs, count))
    weight = len(own) / pairs
    rows = torch.tensor([*own, *(pairs + index for index in own)])
    anchor, scale = batch.anchor, 1.0
    if anchor is not None:
        anchor, part = share(anchor, rank, count)
        scale = part / weight
    answers = rows_of(batch.answers, rows)
    return PairBatch(answers, batch.reference[rows], anchor, batch.anchor_weight * scale), weight


def rows_of(batch: Batch, wanted: torch.Tensor) -> Batch:
    """Some rows of a batch, in the order that is asked for."""
    place = torch.full((len(batch.lengths),), -1)
    place[wanted] = torch.arange(len(wanted))
    own = place[batch.rows] >= 0
    lengths = tuple(batch.lengths[index] for index in wanted.tolist())
    return Batch(
        ids=batch.ids[wanted, : max(lengths)],
        rows=place[batch.rows[own]],
        positions=batch.positions[own],
        targets=batch.targets[own],
        lengths=lengths,
    )
