"""Credit and losses, against slow obvious references and against TRL's own."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from components.training.rl.algorithm import Credit, KLCoefficient, divergence
from components.training.rl.groups import GRPO, RLOO
from components.training.rl.ppo import PPO, gae, standardised, token_rewards, value_errors
from components.training.rl.rollouts import Rollouts, look, sample
from tests.components.training.rl import toy

GROUP = 4


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    """Real answers of different lengths, to prompts of different lengths."""
    found, _, _ = sample(
        toy.model(), [[1, 2], [3, 4, 5, 1]], end=0, max_new_tokens=9, copies=GROUP, temperature=1.5, seed=3
    )
    assert len(set(found.mask.sum(1).tolist())) > 2
    return found


@pytest.fixture(scope="module")
def rewards() -> torch.Tensor:
    return torch.tensor([0.0, 1.0, 0.5, 0.2, 1.0, 1.0, 0.0, 0.3])


def test_advantages_are_what_the_definition_says(rollouts: Rollouts) -> None:
    """GAE as the sum that it stands for: A_t = Σ_l (γλ)^l δ_{t+l} (arXiv:1506.02438, eq. 16)."""
    torch.manual_seed(0)
    mask = rollouts.mask
    values, earned = torch.randn(mask.shape) * mask, torch.randn(mask.shape) * mask
    gamma, lam = 0.9, 0.7
    found = gae(earned, values, mask, gamma, lam)
    for row in range(len(mask)):
        length = int(mask[row].sum())
        for t in range(mask.shape[1]):
            wanted = 0.0
            for later in range(t, length):
                following = values[row, later + 1].item() if later + 1 < length else 0.0
                delta = earned[row, later].item() + gamma * following - values[row, later].item()
                wanted += (gamma * lam) ** (later - t) * delta
            assert found[row, t].item() == pytest.approx(wanted, abs=1e-5)


def test_with_lambda_one_an_advantage_is_what_came_minus_what_was_expected(rollouts: Rollouts) -> None:
    values = torch.full(rollouts.mask.shape, 0.25) * rollouts.mask
    earned = token_rewards(torch.ones(len(rollouts)), rollouts.logprobs, rollouts.logprobs, rollouts.mask, kl=0.5)
    assert torch.allclose(gae(earned, values, rollouts.mask, 1.0, 1.0), 0.75 * rollouts.mask)


def test_the_reward_comes_with_the_last_token_and_every_token_pays_for_its_divergence(rollouts: Rollouts) -> None:
    reference = (rollouts.logprobs - 0.1) * rollouts.mask
    earned = token_rewards(torch.arange(8.0), rollouts.logprobs, reference, rollouts.mask, kl=2.0)
    for row, mask in enumerate(rollouts.mask):
        length = int(mask.sum())
        wanted = [-0.2] * (length - 1) + [row - 0.2] + [0.0] * (len(mask) - length)
        assert earned[row].tolist() == pytest.approx(wanted, abs=1e-5)


def test_standardised_advantages_have_mean_zero_and_deviation_one_where_there_are_tokens(rollouts: Rollouts) -> None:
    torch.manual_seed(1)
    found = standardised(torch.randn(rollouts.mask.shape) * 3 + 5, rollouts.mask)
    assert found[rollouts.mask].mean().item() == pytest.approx(0, abs=1e-5)
    assert found[rollouts.mask].std().item() == pytest.approx(1, abs=1e-5)
    assert not found[~rollouts.mask].any()


def test_a_ratio_beyond_the_clip_earns_nothing_more(rollouts: Rollouts) -> None:
    algorithm = PPO(clip=0.2, gamma=1, gae_lambda=1, entropy=0)
    zeros = torch.zeros(rollouts.mask.shape)
    for advantage, shift, bound in [(1.0, 0.5, 1.2), (-1.0, -0.5, 0.8), (-1.0, 0.5, math.exp(0.5))]:
        logprobs = (rollouts.logprobs + shift).requires_grad_()
        terms = SimpleNamespace(logprobs=logprobs, entropy=zeros, values=zeros)
        credit = Credit(torch.full(rollouts.mask.shape, advantage), zeros, 0.0, zeros, zeros)
        total, shown = algorithm.loss(terms, rollouts, credit)  # type: ignore[arg-type]
        total.backward()  # type: ignore[no-untyped-call]
        tokens = algorithm.size(rollouts)
        assert total.item() / tokens == pytest.approx(-advantage * bound, rel=1e-4)
        stopped = shown["clip_fraction"] == tokens
        assert logprobs.grad is not None
        assert stopped == (not logprobs.grad.any())
        assert stopped == (bound != math.exp(0.5))


def test_a_value_error_is_the_worse_of_the_new_and_the_held_value() -> None:
    errors = value_errors(torch.tensor([1.0, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), clip=0.2)
    assert errors.tolist() == pytest.approx([0.5 * 0.8**2, 0.5 * 0.9**2])


def test_the_estimate_of_the_divergence_is_unbiased_and_never_negative() -> None:
    torch.manual_seed(0)
    p, q = torch.randn(8).log_softmax(-1), torch.randn(8).log_softmax(-1)
    drawn = torch.multinomial(p.exp(), 200_000, replacement=True)
    estimates = divergence(p[drawn], q[drawn])
    assert estimates.min().item() >= -1e-6
    assert estimates.mean().item() == pytest.approx(float((p.exp() * (p - q)).sum()), rel=0.03)


def test_the_steered_coefficient_moves_towards_its_target_by_bounded_steps() -> None:
    coefficient = KLCoefficient(1.0, target=2.0)
    coefficient.update(100.0)
    assert coefficient.value == pytest.approx(1.2)
    coefficient.update(1.9)
    assert coefficient.value == pytest.approx(1.2 * 0.95)
    fixed = KLCoefficient(1.0, None)
    fixed.update(100.0)
    assert fixed.value == 1.0


def _as_trl(rollouts: Rollouts) -> dict[str, torch.Tensor]:
    """Rollouts as TRL's trainers hold them: prompts padded on the left, answers on the right."""
    longest = int(rollouts.starts.max())
    prompts = torch.zeros((len(rollouts), longest), dtype=torch.long)
    there = torch.zeros_like(prompts)
    answers = torch.zeros(rollouts.mask.shape, dtype=torch.long)
    for row, (start, mask) in enumerate(zip(rollouts.starts.tolist(), rollouts.mask, strict=True)):
        prompts[row, longest - start :] = rollouts.ids[row, :start]
        there[row, longest - start :] = 1
        answers[row, : int(mask.sum())] = rollouts.ids[row, start : start + int(mask.sum())]
    return {
        "prompt_ids": prompts, "prompt_mask": there, "completion_ids": answers, "completion_mask": rollouts.mask.long(),
    }  # fmt: skip


def _trl_trainer(kind: str, folder: Any, **settings: Any) -> Any:
    import trl
    from datasets import Dataset

    from tests.components.training.rl.tokens import tokenizer

    toy.model(seed=1).save_pretrained(folder / "model")
    return getattr(trl, f"{kind}Trainer")(
        model=str(folder / "model"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=getattr(trl, f"{kind}Config")(
            output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
            num_generations=GROUP, per_device_train_batch_size=2 * GROUP, temperature=0.8, epsilon=0.2,
            disable_dropout=True, **settings,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["a"] * 2 * GROUP}),
        processing_class=tokenizer(),
    )  # fmt: skip


def test_grpo_is_trl_s_number_by_number(rollouts: Rollouts, rewards: torch.Tensor, tmp_path: Any) -> None:
    trainer = _trl_trainer("GRPO", tmp_path, loss_type="grpo", beta=0.04)
    reference = look(toy.model(seed=2), rollouts, 0.8).logprobs.detach()
    terms = look(trainer.model, rollouts, 0.8)
    algorithm = GRPO(answers=GROUP, clip=0.2, scale=True, entropy=0)
    credit = algorithm.credit(rollouts, rewards, reference, None, 0.04)
    groups = rewards.view(-1, GROUP)
    wanted = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    assert torch.allclose(credit.advantages[:, 0], wanted.flatten())
    ours = algorithm.loss(terms, rollouts, credit)[0] / algorithm.size(rollouts)
    trainer.model.eval()
    theirs = trainer._compute_loss(
        trainer.model,
        _as_trl(rollouts)
        | {
            "advantages": wanted.flatten(), "old_per_token_logps": rollouts.logprobs, "ref_per_token_logps": reference,
            "num_items_in_batch": rollouts.mask.sum(),
        },
    )  # fmt: skip
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    _same_gradients(trainer.model, ours, theirs)


def test_rloo_is_trl_s_number_by_number(rollouts: Rollouts, rewards: torch.Tensor, tmp_path: Any) -> None:
    trainer = _trl_trainer("RLOO", tmp_path, beta=0.04)
    reference = look(toy.model(seed=2), rollouts, 0.8).logprobs.detach()
    terms = look(trainer.model, rollouts, 0.8)
    algorithm = RLOO(answers=GROUP, clip=0.2, entropy=0)
    credit = algorithm.credit(rollouts, rewards, reference, None, 0.04)
    paid = (rewards - 0.04 * ((rollouts.logprobs - reference) * rollouts.mask).sum(1)).view(-1, GROUP)
    others = torch.stack([paid[:, [j for j in range(GROUP) if j != i]].mean(1) for i in range(GROUP)], dim=1)
    assert torch.allclose(credit.advantages[:, 0], (paid - others).flatten(), atol=1e-6)
    ours = algorithm.loss(terms, rollouts, credit)[0] / algorithm.size(rollouts)
    trainer.model.eval()
    theirs = trainer._compute_loss(
        trainer.model,
        _as_trl(rollouts)
        | {"advantages": credit.advantages[:, 0], "old_logps": (rollouts.logprobs * rollouts.mask).sum(1)},
    )
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    _same_gradients(trainer.model, ours, theirs)


def _same_gradients(model: torch.nn.Module, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    parameters = list(model.parameters())
    for a, b in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_on_the_first_update_ppo_and_grpo_push_the_same_way(rollouts: Rollouts, rewards: torch.Tensor) -> None:
    """One token an answer, no value head yet, no divergence: then PPO's advantages are GRPO's, of one group, but for
    the scale."""
    short = Rollouts(rollouts.ids, rollouts.starts, rollouts.mask[:, :1], rollouts.logprobs[:, :1])
    zeros = torch.zeros(short.mask.shape)
    ppo = PPO(clip=0.2, gamma=1, gae_lambda=0.95, entropy=0)
    grpo = GRPO(answers=len(short), clip=0.2, scale=True, entropy=0)
    one = ppo.credit(short, rewards, short.logprobs, zeros, 0.0).advantages
    other = grpo.credit(short, rewards, short.logprobs, None, 0.0).advantages
    assert torch.allclose(one, other, rtol=1e-3)
