"""What is sampled is what the model says, whichever way it is asked."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from components.training.rl.plain import Sampler
from components.training.rl.rollouts import look, sample
from tests.components.training.rl import toy

PROMPTS = [[1, 2], [3, 4, 5, 1, 2], [2]]


@pytest.mark.parametrize("fast", [True, False])
def test_a_token_s_probability_when_it_was_sampled_is_that_of_a_whole_pass(fast: bool) -> None:
    model = toy.model(layers=2)
    rollouts, answers, ended = sample(model, PROMPTS, end=0, max_new_tokens=7, copies=3, temperature=1.3, seed=5)
    assert len(rollouts) == len(answers) == 9
    assert 0 < sum(ended) < 9
    terms = look(model, rollouts, 1.3, fast=fast)
    assert torch.allclose(terms.logprobs, rollouts.logprobs, atol=1e-5)
    assert not terms.logprobs[~rollouts.mask].any()
    for row, (answer, whole) in enumerate(zip(answers, ended, strict=True)):
        prompt = PROMPTS[row // 3]
        there = rollouts.ids[row].tolist()
        assert there[: len(prompt) + len(answer)] == prompt + answer, "a prompt's answers come together"
        assert int(rollouts.mask[row].sum()) == len(answer) + whole, "the end of turn is a token, too"
    part = rollouts.rows(torch.tensor([4, 1]))
    assert torch.allclose(look(model, part, 1.3).logprobs, terms.logprobs[[4, 1], : part.mask.shape[1]], atol=1e-5)


def test_the_seed_decides_what_is_sampled() -> None:
    def drawn(seed: int) -> list[list[int]]:
        return sample(toy.model(), PROMPTS, end=0, max_new_tokens=7, copies=2, temperature=1.0, seed=seed)[1]

    assert drawn(1) == drawn(1) != drawn(2)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    model = toy.model()
    rollouts, _, _ = sample(model, [toy.PROMPT], end=0, max_new_tokens=1, copies=4000, temperature=1.0, seed=1)
    counts = torch.bincount(rollouts.ids[:, len(toy.PROMPT)], minlength=toy.ARMS) / 4000
    assert torch.allclose(counts, toy.arms(model), atol=0.03)


@pytest.mark.parametrize("kind", ["", "use_rslora", "use_dora"])
def test_what_is_sampled_from_has_the_adapter_s_weights_of_now(kind: str) -> None:
    torch.manual_seed(0)
    adapter = LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **({kind: True} if kind else {})
    )
    model = get_peft_model(toy.model(layers=2), adapter).eval()
    sampler = Sampler(model)
    ids = torch.tensor([[1, 2, 3, 4]])
    for _ in range(2):
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        with torch.no_grad():
            assert torch.allclose(sampler.current()(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-4)
