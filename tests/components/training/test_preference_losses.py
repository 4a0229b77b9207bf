"""Our preference losses are TRL's numbers, computed on the same token ids by its own trainers."""

from __future__ import annotations

import copy
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
from components.training.objectives import losses
from components.training.objectives.preference import loss
from components.training.pairs import PairBatch, PairBatches, encode_pairs, logprobs, mismatched, share_pairs
from tests.components.training.conftest import settings
from tests.components.training.test_preference import pairs

BETA = 0.3


@pytest.fixture
def world(toy: Path) -> SimpleNamespace:
    """A reference, a policy that has moved away from it, and a batch of six pairs."""
    tokenizer, reference = load_tokenizer(layout.BASE), load_model(layout.BASE, dtype="float32").eval()
    policy = copy.deepcopy(reference)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]
    encoded = encode_pairs(tokenizer, pairs(0, 6), 64)
    others = mismatched(encoded, 64)

    def at(rows: Any) -> Any:
        return logprobs(reference, rows, 6, pad, fast=True)[:, 0]

    both = np.stack([at(encoded.chosen), at(encoded.rejected)], axis=1)
    batch = PairBatches(encoded, both, None, 0.0, 6, 3, pad, (others, at(others))).step(0)
    return SimpleNamespace(tokenizer=tokenizer, reference=reference, policy=policy, batch=batch)


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


def test_kto(world: SimpleNamespace, tmp_path: Path) -> None:
    from trl import KTOConfig, KTOTrainer

    ours, _, _ = loss(world.policy, world.batch, wanted("kto"), fast=True)
    trainer = KTOTrainer(
        model=copy.deepcopy(world.policy),
        ref_model=world.reference,
        args=KTOConfig(**arguments(tmp_path), per_device_train_batch_size=2),
        train_dataset=rows(prompt=["a", "b"], completion=["c", "d"], label=[True, False]),
        processing_class=world.tokenizer,
    )
    label = torch.arange(12) < 6
    inputs = padded(world.batch.answers) | padded(world.batch.mismatched, "KL_") | {"label": label}
    assert float(ours) == pytest.approx(theirs(trainer, inputs), rel=1e-4)


def test_orpo() -> None:
    from trl.experimental.orpo import ORPOTrainer

    chosen, rejected = -torch.rand(9) - 0.01, -torch.rand(9) - 0.01
    it: Any = SimpleNamespace(beta=1.0, accelerator=SimpleNamespace(device="cpu"))
    found = ORPOTrainer.odds_ratio_loss(it, chosen, rejected)[0]
    torch.testing.assert_close(losses.orpo(chosen, rejected), -found)
    assert torch.isfinite(losses.orpo(torch.zeros(1), torch.tensor([-1.0]))).all(), "a certain answer"


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_the_chosen_answers_own_likelihood_counts_beside_the_comparison(objective: str, world: SimpleNamespace) -> None:
    alone, _, _ = loss(world.policy, world.batch, wanted(objective), fast=True)
    both, _, curves = loss(world.policy, world.batch, wanted(objective, 0.7), fast=True)
    answers = world.batch.answers
    sums, counts = answer_logprobs(world.policy, answers)
    own = [-float(total) / float(tokens) for total, tokens in zip(sums[:6], counts[:6], strict=True)]
    assert float(both) == pytest.approx(float(alone) + 0.7 * sum(own) / 6, rel=1e-5)
    assert float(curves[0]) == pytest.approx(float(both), rel=1e-5)


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
