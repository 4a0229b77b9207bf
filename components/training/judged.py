"""Answers that were judged one by one as batches: what kto learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from components.schema import Judged, Preference
from components.training.batches import Batch, Batches, Encoded, collate, encode, share
from components.training.pairs import as_example, rows_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def both(pairs: Iterable[Preference]) -> list[Judged]:
    """The two answers of every pair by themselves: the chosen one is desirable, the rejected one is not."""
    return [
        Judged(
            id=pair.id,
            prompt=pair.prompt,
            answer=answer,
            desirable=desirable,
            source=pair.source,
            rater=pair.rater,
            version=version,
        )
        for pair in pairs
        for answer, version, desirable in (
            (pair.chosen, pair.chosen_version, True),
            (pair.rejected, pair.rejected_version, False),
        )
    ]


@dataclass(frozen=True)
class Answers:
    """Encoded answers with what was said of them."""

    rows: Sequence[Encoded]
    desirable: np.ndarray
    """(answers,) of booleans."""

    def __len__(self) -> int:
        return len(self.rows)


def encode_judged(tokenizer: PreTrainedTokenizerBase, judged: Sequence[Judged], context: int) -> Answers:
    """Token ids of every answer.

    Raises:
        DataError: one is longer than the context (its id is named).
    """
    rows = encode(tokenizer, [as_example(row, row.answer) for row in judged], context) if judged else []
    return Answers(rows, np.array([row.desirable for row in judged], dtype=bool))


def mismatched(rows: Sequence[Encoded], context: int) -> list[Encoded]:
    """Each row's prompt with the answer of the next row that has another prompt, cut to the context: what KTO's
    reference point is taken at. Where all have the same prompt, with the next row's."""
    prompts = [row.ids[: row.prompt].tobytes() for row in rows]
    found = []
    for place, row in enumerate(rows):
        later = ((place + step) % len(rows) for step in range(1, len(rows)))
        other = rows[next((at for at in later if prompts[at] != prompts[place]), (place + 1) % len(rows))]
        found.append(Encoded(np.concatenate([row.ids[: row.prompt], other.ids[other.prompt :]])[:context], row.prompt))
    return found


@dataclass(frozen=True)
class JudgedBatch:
    """n judged answers, as many mismatched ones, and rows of right answers beside them."""

    answers: Batch
    desirable: torch.Tensor
    """(n,) of booleans."""
    reference: torch.Tensor
    """(n,): log π_ref of each answer, in nats."""
    mismatched: Batch
    mismatched_reference: torch.Tensor
    anchor: Batch | None
    anchor_weight: float
    kinds: tuple[int, int]
    """How many answers of the whole batch are desirable, and how many are not."""
    part: float = 1.0
    """How much of the whole batch this is."""

    @property
    def tokens(self) -> int:
        """Of what is taught."""
        return self.answers.tokens + (self.anchor.tokens if self.anchor else 0)

    def mean(self, values: torch.Tensor, desirable: bool) -> torch.Tensor:
        """Mean over the answers of a kind, 0 where there are none. Of a part of a batch: so that the parts' means,
        each weighed by its part, are the mean over the whole batch."""
        kind = self.desirable if desirable else ~self.desirable
        return values[kind.to(values.device)].sum() / max(self.kinds[not desirable], 1) / self.part


class JudgedBatches:
    """Batches of judged answers as a pure function of seed and step."""

    def __init__(
        self,
        answers: Answers,
        others: Sequence[Encoded],
        references: tuple[np.ndarray, np.ndarray],
        anchor: Batches | None,
        anchor_weight: float,
        batch_size: int,
        seed: int,
        pad: int,
    ) -> None:
        """Args:
        others: mismatched rows, one an answer.
        references: log π_ref of the answers, and of the mismatched rows'.
        """
        self._answers, self._others, self._references, self._pad = answers, others, references, pad
        self._order = Batches(answers.rows, batch_size, seed, pad)
        self._anchor, self._weight = anchor, anchor_weight
        self.size = min(self._order.size, anchor.size) if anchor else self._order.size

    def step(self, step: int) -> JudgedBatch:
        """The batch of a 0-based step."""
        picked = self._order.indices(step)
        own, elsewhere = (torch.from_numpy(reference[picked]) for reference in self._references)
        desirable = self._answers.desirable[picked]
        return JudgedBatch(
            collate([self._answers.rows[i] for i in picked], self._pad),
            torch.from_numpy(desirable),
            own,
            collate([self._others[i] for i in picked], self._pad),
            elsewhere,
            self._anchor.step(step) if self._anchor else None,
            self._weight,
            (int(desirable.sum()), int((~desirable).sum())),
        )


def share_judged(batch: JudgedBatch, rank: int, count: int) -> tuple[JudgedBatch, float]:
    """Every `count`-th answer of a batch from `rank` on, and its part of the batch's answers.

    The mismatched rows stay whole: the reference point is taken at all of them, so everybody looks at all of them. The
    anchor's weight makes up for its own part being another one: it counts answer tokens.
    """
    own = torch.arange(rank, len(batch.desirable), count)
    part = len(own) / len(batch.desirable)
    anchor, scale = batch.anchor, 1.0
    if anchor is not None:
        anchor, tokens = share(anchor, rank, count)
        scale = tokens / part
    return (
        replace(
            batch,
            answers=rows_of(batch.answers, own),
            desirable=batch.desirable[own],
            reference=batch.reference[own],
            anchor=anchor,
            anchor_weight=batch.anchor_weight * scale,
            part=part,
        ),
        part,
    )
