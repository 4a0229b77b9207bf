"""Documents packed into one stream, cut into windows of equal length.

Every epoch shuffles the documents anew, so that the cuts fall elsewhere. Windows may hold
several documents, divided by the end-of-text token that the model learns to start afresh at.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from components.stage import StageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], separator: int) -> list[np.ndarray]:
    """Token ids of each document, the separator first."""
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [np.array([separator, *ids], dtype=np.int32) for ids in encoded]


class Windows:
    """Batches of windows over shuffled documents, as a pure function of seed and step.

    Each window has `context` + 1 tokens: inputs and their successors. Successive windows
    overlap by that one token, so each token is predicted once an epoch.

    Raises:
        StageError: the corpus is shorter than one batch.
    """

    def __init__(self, documents: Sequence[np.ndarray], context: int, batch: int, seed: int) -> None:
        self.documents, self.context, self.batch, self.seed = documents, context, batch, seed
        total = sum(len(document) for document in documents)
        self.batches_per_epoch = (total - 1) // context // batch
        if self.batches_per_epoch < 1:
            raise StageError(
                f"the corpus has {total} tokens, a batch needs {context * batch + 1}: "
                "raise corpus.documents or lower pretrain.batch_tokens in params.yaml"
            )
        self._epoch = lru_cache(maxsize=1)(self._windows)

    def step(self, step: int) -> torch.Tensor:
        """(batch, context + 1) token ids."""
        import torch

        epoch, position = divmod(step, self.batches_per_epoch)
        rows = self._epoch(epoch)[position * self.batch : (position + 1) * self.batch]
        return torch.from_numpy(rows.astype(np.int64))

    def _windows(self, epoch: int) -> np.ndarray:
        random = np.random.default_rng([self.seed, epoch])
        stream = np.concatenate([self.documents[index] for index in random.permutation(len(self.documents))])
        windows = cut(stream, self.context)
        return windows[random.permutation(len(windows))]


def share(windows: torch.Tensor, rank: int, count: int) -> tuple[torch.Tensor, float]:
    """Every `count`-th window of a batch from `rank` on, and its part of the batch's tokens."""
    part = windows[rank::count]
    return part, len(part) / len(windows)


def cut(stream: np.ndarray, context: int) -> np.ndarray:
    """(windows, context + 1): a view of the stream with stride `context`; the incomplete rest is left out."""
    count = (len(stream) - 1) // context
    return np.lib.stride_tricks.sliding_window_view(stream, context + 1)[::context][:count]
