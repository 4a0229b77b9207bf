"""Our preference losses are TRL's numbers, computed on the same token ids by its own trainers."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from components import config, layout
from components.models import load_model, load_tokenizer
from components.training.batches import Batch
from components.training.completion import answer_logprobs
from components.training.judged import Answers, JudgedBatches, both, encode_judged, mismatched, share_judged
from components.training.objectives import kto, losses
from components.training.objectives.preference import loss
from components.training.pairs import PairBatch, PairBatches, encode_pairs, logprobs, share_pairs
from tests.components.training.conftest import settings
from tests.components.training.test_preference import pairs

BETA = 0.3


@pytest.fixture
def world(toy: Path) -> SimpleNamespace:
    """A reference, a policy that has moved away from it, a batch of six pairs, and one of ten of their answers."""
    tokenizer, reference = load_tokenizer(layout.BASE), load_model(layout.BASE, dtype="float32").eval()
    policy = copy.deepcopy(reference)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]
    encoded = encode_pairs(tokenizer, pairs(0, 6), 64)

    def at(rows: Any) -> Any:
        return logprobs(reference, rows, 6, pad, fast=True)[:, 0]

    batch = PairBatches(
        encoded, np.stack([at(encoded.chosen), at(encoded.rejected)], axis=1), None, 0.0, 6, 3, pad
    ).step(0)
    answers = encode_judged(tokenizer, both(pairs(0, 6))[:-3] + both(pairs(6, 1))[1:], 64)
    others = mismatched(answers.rows, 64)
    judged = JudgedBatches(answers, others, (at(answers.rows), at(others)), None, 0.0, 10, 3, pad).step(0)
    return SimpleNamespace(tokenizer=tokenizer, reference=reference, policy=policy, batch=batch, judged=judged)


def wanted(objective: str, likelihood: float = 0.0) -> config.TrainSettings:
    return settings(objective=objective, preference={"beta": BETA, "likelihood": likelihood}).train


def padded(batch: Batch, prefix: str = "") -> dict[str, torch.Tensor]:
    """A batch as TRL's collators make it."""
    real = torch.arange(batch.ids.shape[1])[None] < torch.tensor(batch.lengths)[:, None]
    answer = torch.zeros_like(batch.ids)
    answer[batch.rows, batch.positions + 1] = 1
    names = (f"{prefix}input_ids", f"{prefix}attention_mask", f"{prefix}completion_mask")
    return dict(zip(names, (batch.ids, real.long(), answer), strict=True))


def theirs(trainer: Any, inputs: dict[str, torch.Tensor]) -> float:
    trainer.model.eval()
    return float(trainer.compute_loss(trainer.model, inputs))


def arguments(out: Path) -> dict[str, Any]:
    return {"output_dir": str(out), "use_cpu": True, "bf16": False, "report_to": [], "beta": BETA, "max_length": None}


def rows(**columns: list[Any]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(columns)


def test_dpo(world: SimpleNamespace, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    ours, _, curves = loss(world.policy, world.batch, wanted("dpo"), fast=True)
    trainer = DPOTrainer(
        model=copy.deepcopy(world.policy),
        ref_model=world.reference,
        args=DPOConfig(**arguments(tmp_path)),
        train_dataset=rows(prompt=["a"], chosen=["b"], rejected=["c"]),
        processing_class=world.tokenizer,
    )
    assert float(ours) == pytest.approx(theirs(trainer, padded(world.batch.answers)), rel=1e-4)
    assert float(curves[0]) == float(ours), "without an anchor there is nothing else in it"


def test_kto_on_answers_without_a_counterpart(world: SimpleNamespace, tmp_path: Path) -> None:
    from trl import KTOConfig, KTOTrainer

    desirable = world.judged.desirable.numpy()
    assert (desirable.sum(), (~desirable).sum()) == (5, 5)
    weights = (1.2, 0.7)
    ours, _, curves = kto.loss(world.policy, world.judged, wanted("kto"), weights, fast=True)
    trainer = KTOTrainer(
        model=copy.deepcopy(world.policy),
        ref_model=world.reference,
        args=KTOConfig(
            **arguments(tmp_path),
            per_device_train_batch_size=2,
            desirable_weight=weights[0],
            undesirable_weight=weights[1],
        ),
        train_dataset=rows(prompt=["a", "b"], completion=["c", "d"], label=[True, False]),
        processing_class=world.tokenizer,
    )
    label = {"label": world.judged.desirable}
    inputs = padded(world.judged.answers) | padded(world.judged.mismatched, "KL_") | label
    assert float(ours) == pytest.approx(theirs(trainer, inputs), rel=1e-4)
    assert float(curves[0]) == float(ours)


def test_kto_of_answers_that_are_all_bad_or_all_good_is_a_number(world: SimpleNamespace) -> None:
    for label in (True, False):
        one = dataclasses.replace(world.judged, desirable=torch.full((10,), label), kinds=(10, 0) if label else (0, 10))
        found, _, curves = kto.loss(world.policy, one, wanted("kto", 1.0), (1.0, 1.0), fast=True)
        assert torch.isfinite(found)
        assert torch.isfinite(curves).all()
        assert float(curves[2 if label else 1]) == 0


def test_both_kinds_of_answers_count_alike_unless_weights_are_given() -> None:
    labels = np.array([True] * 30 + [False] * 10)
    good, bad = kto.weights_of(config.PreferenceSettings(), labels)
    assert good * 30 == pytest.approx(bad * 10)
    assert (good * 30 + bad * 10) / 40 == pytest.approx(1)
    assert kto.weights_of(config.PreferenceSettings(desirable_weight=1.0), labels) == (1.0, 3.0)
    assert kto.weights_of(config.PreferenceSettings(undesirable_weight=3.0), labels) == (1.0, 3.0)
    assert kto.weights_of(config.PreferenceSettings(), labels[:30]) == (1.0, 1.0)


def test_a_mismatched_answer_belongs_to_another_prompt(world: SimpleNamespace) -> None:
    answers = encode_judged(world.tokenizer, both(pairs(0, 6)), 64)
    for row, other in zip(answers.rows, mismatched(answers.rows, 64), strict=True):
        assert (other.ids[: other.prompt] == row.ids[: row.prompt]).all()
        assert other.ids[other.prompt :].tolist() != []
    prompts = [tuple(row.ids[: row.prompt]) for row in answers.rows]
    taken = [tuple(row.ids[row.prompt :]) for row in mismatched(answers.rows, 64)]
    after = [tuple(answers.rows[(2 * (n // 2) + 2) % 12].ids[answers.rows[0].prompt :]) for n in range(12)]
    assert len(set(prompts)) == 6
    assert taken == after, "the next pair's chosen answer"
    alone = Answers(answers.rows[:1], answers.desirable[:1])
    assert mismatched(alone.rows, 64)[0].ids.tolist() == answers.rows[0].ids.tolist()


def test_orpo() -> None:
    from trl.experimental.orpo import ORPOTrainer

    chosen, rejected = -torch.rand(9) - 0.01, -torch.rand(9) - 0.01
    it: Any = SimpleNamespace(beta=1.0, accelerator=SimpleNamespace(device="cpu"))
    found = ORPOTrainer.odds_ratio_loss(it, chosen, rejected)[0]
    torch.testing.assert_close(losses.orpo(chosen, rejected), -found)
    assert torch.isfinite(losses.orpo(torch.zeros(1), torch.tensor([-1.0]))).all(), "a certain answer"


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_the_chosen_answers_own_likelihood_counts_beside_the_comparison(objective: str, world: SimpleNamespace) -> None:
    def found(likelihood: float) -> tuple[float, float]:
        if objective == "kto":
            one, _, curves = kto.loss(world.policy, world.judged, wanted("kto", likelihood), (1.0, 1.0), fast=True)
        else:
            one, _, curves = loss(world.policy, world.batch, wanted("dpo", likelihood), fast=True)
        return float(one), float(curves[0])

    batch = world.judged if objective == "kto" else world.batch
    good = batch.desirable if objective == "kto" else torch.arange(12) < 6
    sums, counts = answer_logprobs(world.policy, batch.answers)
    own = -(sums / counts)[good].mean().item()
    assert found(0.7) == pytest.approx((found(0.0)[0] + 0.7 * own,) * 2, rel=1e-5)


def test_the_parts_of_a_batch_of_judged_answers_are_the_batch(world: SimpleNamespace) -> None:
    world.judged.desirable[:] = torch.arange(10) < 3
    batch = dataclasses.replace(world.judged, kinds=(3, 7), anchor=world.batch.answers, anchor_weight=0.4)
    weights = (1.6, 0.7)
    expected = kto.loss(world.policy, batch, wanted("kto", 0.5), weights, fast=True)
    found = []
    for rank in range(3):
        part, weight = share_judged(batch, rank, 3)
        mean, tokens, curves = kto.loss(world.policy, part, wanted("kto", 0.5), weights, fast=True)
        found.append((float(mean) * weight, tokens, curves * weight))
    assert sum(f[0] for f in found) == pytest.approx(float(expected[0]), rel=1e-5)
    assert sum(f[1] for f in found) == expected[1]
    torch.testing.assert_close(sum(f[2] for f in found), expected[2])


def test_the_parts_of_a_batch_are_the_batch(world: SimpleNamespace) -> None:
    whole = PairBatch(world.batch.answers, world.batch.reference, None, 0.0)
    expected = loss(world.policy, whole, wanted("dpo", 0.5), fast=True)
    found = []
    for rank in range(2):
        part, weight = share_pairs(whole, rank, 2)
        mean, tokens, curves = loss(world.policy, part, wanted("dpo", 0.5), fast=True)
        found.append((mean * weight, tokens, curves * weight))
    assert float(sum(f[0] for f in found)) == pytest.approx(float(expected[0]), rel=1e-5)
    assert sum(f[1] for f in found) == expected[1]
    torch.testing.assert_close(found[0][2] + found[1][2], expected[2])
