"""Batches by length."""

from __future__ import annotations

import numpy as np
import pytest

from components import layout
from components.files import DataError
from components.models import load_tokenizer
from components.schema import Example, Message
from components.training.batches import Batches, Encoded, collate, encode
from tests.components.training.conftest import rows


def _encoded(count: int) -> list[Encoded]:
    random = np.random.default_rng(0)
    return [Encoded(np.full(random.integers(3, 40), n), prompt=2) for n in range(count)]


def test_an_epoch_holds_every_example_once_and_a_step_is_the_same_whatever_came_before() -> None:
    one, other = (Batches(_encoded(96), batch_size=8, seed=1, pad=0) for _ in range(2))
    first = [one.step(step).ids[:, 0].tolist() for step in range(12)]
    assert sorted(number for numbers in first for number in numbers) == list(range(96))
    assert [other.step(step).ids[:, 0].tolist() for step in reversed(range(24))][12:] == first[::-1]


def test_the_next_epoch_mixes_otherwise() -> None:
    batches = Batches(_encoded(96), batch_size=8, seed=1, pad=0)
    assert [batches.step(step).ids.tolist() for step in range(12)] != [
        batches.step(step + 12).ids.tolist() for step in range(12)
    ]


def test_rows_of_like_length_are_batched_so_that_little_is_padding() -> None:
    examples = _encoded(256)
    batches = Batches(examples, batch_size=8, seed=1, pad=0)
    padded = sum(batches.step(step).ids.numel() for step in range(batches.batches_per_epoch))
    useful = sum(batches.step(step).tokens for step in range(batches.batches_per_epoch))
    unsorted = sum(max(len(e.ids) for e in examples[at : at + 8]) * 8 for at in range(0, 256, 8))
    assert useful == sum(len(example.ids) for example in examples)
    assert padded / useful < 1.1 < unsorted / useful


def test_fewer_examples_than_a_batch_are_one_batch() -> None:
    assert Batches(_encoded(3), batch_size=8, seed=1, pad=0).step(7).ids.shape[0] == 3


def test_a_batch_lists_exactly_the_positions_that_predict_an_answer() -> None:
    batch = collate([Encoded(np.array([5, 6, 7, 8]), 2), Encoded(np.array([1, 2]), 1)], pad=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8], [1, 2, 0, 0]]
    assert list(zip(batch.rows.tolist(), batch.positions.tolist(), batch.targets.tolist(), strict=True)) == [
        (0, 1, 7), (0, 2, 8), (1, 0, 2),
    ]  # fmt: skip
    assert batch.tokens == 6


def test_an_example_longer_than_the_context_is_named(toy: object) -> None:
    tokenizer = load_tokenizer(layout.BASE)
    long = Example(
        id="a-long-one",
        messages=(Message(role="user", content="word " * 80), Message(role="assistant", content="ok")),
    )
    with pytest.raises(DataError, match=r"example a-long-one has \d+ tokens, model\.context is 64"):
        encode(tokenizer, [*rows(), long], context=64)


def test_no_examples_at_all_is_an_error(toy: object) -> None:
    with pytest.raises(DataError, match="no training examples"):
        encode(load_tokenizer(layout.BASE), [], context=64)
