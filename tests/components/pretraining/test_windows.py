"""Packed windows."""

from __future__ import annotations

import numpy as np
import pytest

from components.pretraining.windows import Windows, cut
from components.stage import StageError


def _documents() -> list[np.ndarray]:
    return [np.array([0, *range(10 * n, 10 * n + 7)], dtype=np.int32) for n in range(1, 9)]


def test_windows_overlap_by_one_token_so_that_each_is_predicted_once() -> None:
    windows = cut(np.arange(21), context=5)
    assert windows.tolist() == [
        [0, 1, 2, 3, 4, 5],
        [5, 6, 7, 8, 9, 10],
        [10, 11, 12, 13, 14, 15],
        [15, 16, 17, 18, 19, 20],
    ]
    assert sorted(windows[:, 1:].flatten()) == list(range(1, 21))


def test_a_step_gives_the_same_batch_whatever_came_before() -> None:
    one, other = (Windows(_documents(), context=4, batch=3, seed=5) for _ in range(2))
    forward = [one.step(step).tolist() for step in range(12)]
    backward = [other.step(step).tolist() for step in reversed(range(12))]
    assert forward == backward[::-1]


def test_every_epoch_cuts_elsewhere_and_another_seed_shuffles_otherwise() -> None:
    windows = Windows(_documents(), context=4, batch=3, seed=5)
    size = windows.batches_per_epoch
    assert windows.step(0).tolist() != windows.step(size).tolist()
    assert windows.step(0).tolist() != Windows(_documents(), context=4, batch=3, seed=6).step(0).tolist()


def test_a_corpus_shorter_than_a_batch_is_refused_with_the_keys_to_change() -> None:
    with pytest.raises(StageError, match=r"64 tokens, a batch needs 401: .*corpus\.documents.*pretrain\.batch_tokens"):
        Windows(_documents(), context=100, batch=4, seed=1)
