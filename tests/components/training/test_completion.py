"""The completion-only loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GraniteConfig, GraniteForCausalLM

from components import layout
from components.models import load_model, load_tokenizer
from components.training.batches import Batches, Encoded, collate, encode, share
from components.training.completion import answer_logprobs, completion_loss, head_is_separable
from tests.components.training.conftest import rows


def test_it_is_the_mean_over_answer_tokens_of_a_plain_unpadded_forward(toy: Path) -> None:
    model, examples = load_model(layout.BASE), encode(load_tokenizer(layout.BASE), rows(count=6), 64)
    nats = []
    for example in examples:
        ids = torch.from_numpy(example.ids)
        with torch.no_grad():
            logprobs = torch.log_softmax(model(ids[None]).logits[0], dim=-1)
        nats += [-logprobs[at - 1, ids[at]].item() for at in range(example.prompt, len(ids))]
    loss, tokens = completion_loss(model, collate(examples, pad=0))
    assert loss.item() == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    assert tokens == sum(len(example.ids) for example in examples)


def test_padding_and_company_change_neither_the_loss_nor_the_gradient_of_an_example(toy: Path) -> None:
    model, examples = load_model(layout.BASE), encode(load_tokenizer(layout.BASE), rows(count=5), 64)
    short = min(examples, key=lambda example: len(example.ids))
    alone, _ = completion_loss(model, collate([short], pad=0))
    batch = collate([short, max(examples, key=lambda example: len(example.ids))], pad=0)
    assert batch.ids.shape[1] > len(short.ids)
    mine = batch.rows == 0
    beside, _ = completion_loss(
        model,
        replace(batch, rows=batch.rows[mine], positions=batch.positions[mine], targets=batch.targets[mine]),
    )
    assert beside.item() == pytest.approx(alone.item(), rel=1e-5)


def test_every_example_has_the_loss_that_it_has_alone_in_any_batch_and_in_any_part_of_one(toy: Path) -> None:
    model, examples = load_model(layout.BASE), encode(load_tokenizer(layout.BASE), rows(count=40), 64)
    with torch.no_grad():
        alone = {example.ids.tobytes(): answer_logprobs(model, collate([example], 0))[0].item() for example in examples}
    grouped = Batches(examples, batch_size=8, seed=1, pad=0)
    seen = set()
    for step in range(grouped.batches_per_epoch):
        for part in (grouped.step(step), *(share(grouped.step(step), rank, 3)[0] for rank in range(3))):
            with torch.no_grad():
                together = answer_logprobs(model, part)[0].tolist()
            for ids, length, value in zip(part.ids.numpy(), part.lengths, together, strict=True):
                seen.add(ids[:length].tobytes())
                assert value == pytest.approx(alone[ids[:length].tobytes()], rel=1e-5)
    assert seen == set(alone)
    assert len({len(key) for key in alone}) > 3


def test_prompt_tokens_are_not_learned(toy: Path) -> None:
    model, examples = load_model(layout.BASE), encode(load_tokenizer(layout.BASE), rows(count=4), 64)
    batch = collate(examples, pad=0)
    assert len(batch.targets) == sum(len(example.ids) - example.prompt for example in examples)
    assert batch.tokens > 2 * len(batch.targets)
    assert completion_loss(model, batch)[0].item() == pytest.approx(completion_loss(model, batch, fast=False)[0].item())


def test_a_model_that_scales_its_logits_after_the_head_takes_the_plain_way() -> None:
    torch.manual_seed(0)
    shape = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.5}
    plain = GraniteForCausalLM(GraniteConfig(**shape, **heads, logits_scaling=1.0)).eval()
    scaled = GraniteForCausalLM(GraniteConfig(**shape, **heads, logits_scaling=8.0)).eval()
    batch = collate([Encoded(np.arange(9), 4), Encoded(np.arange(5), 2)], pad=0)
    assert head_is_separable(plain, batch)
    assert not head_is_separable(scaled, batch)


def test_it_works_for_another_architecture() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32)).eval()
    assert head_is_separable(model, collate([Encoded(np.arange(9), 4), Encoded(np.arange(5), 2)], pad=0))
