"""A reward model learns what pairs say, shows it on pairs held out, and reinforcement learning learns from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from components import config, layout
from components.files import DataError, write_rows
from components.models import load_tokenizer, load_weights
from components.schema import Preference
from components.training.__main__ import main
from components.training.rl.reward_model import RewardModel, bradley_terry, trained
from components.training.rl.rewards import Answered
from tests.components.training.conftest import NUMBERS, rows, settings

RM: dict[str, Any] = {"steps": 40, "batch_size": 8, "lr": 0.01}


def pairs(start: int, count: int) -> list[Preference]:
    """The named number is preferred to one that is always wrong."""
    return [
        Preference(
            id=row.id, prompt=row.prompt, chosen=row.answer, rejected="none of these", source="human", rater="ana"
        )
        for row in rows(start, count)
    ]


@pytest.fixture(autouse=True)
def compared(toy: Path) -> None:
    write_rows(layout.curated("toy") / "preferences.jsonl", pairs(0, 40))
    write_rows(layout.curated("toy") / "preferences_heldout.jsonl", pairs(100, 20))
    write_rows(layout.curated("toy") / "replay.jsonl", rows(200, 8))


def test_it_orders_pairs_that_it_never_saw_and_is_kept_for_the_next_training(toy: Path) -> None:
    given = settings(reward_model=RM)
    scorer = trained(given, load_tokenizer(layout.BASE), torch.device("cpu"))
    assert scorer.about["accuracy"] > 0.9
    assert (scorer.about["pairs"], scorer.about["heldout_pairs"]) == (40, 20)
    asked = [Answered(row, text, True) for row in rows(300, 4) for text in (row.answer, "none of these")]
    numbers = scorer(asked)
    assert all(good > bad for good, bad in zip(numbers[::2], numbers[1::2], strict=True))
    (kept,) = (config.places().home / "reward_models").iterdir()
    before = (kept / "reward.safetensors").stat().st_mtime_ns
    assert trained(given, load_tokenizer(layout.BASE), torch.device("cpu"))(asked) == pytest.approx(numbers, abs=1e-5)
    assert (kept / "reward.safetensors").stat().st_mtime_ns == before


def test_reinforcement_learning_takes_it_as_its_reward_and_reports_its_accuracy(toy: Path) -> None:
    rewards = {"exact": 0, "fields": 0, "valid": 0, "model": 1}
    rl = {"rounds": 2, "prompts": 4, "answers": 2, "minibatches": 1, "max_new_tokens": 6, "rewards": rewards}
    main(settings(objective="grpo", reward_model=RM | {"steps": 5}, rl=rl))
    metrics = json.loads((layout.training("toy") / "metrics.json").read_text())
    assert metrics["reward_model_pairs"] == 40
    assert 0 <= metrics["reward_model_accuracy"] <= 1
    assert "reward_model" in (layout.training("toy") / "loss.csv").read_text().splitlines()[0]


def test_without_pairs_it_says_how_to_come_by_some(toy: Path) -> None:
    write_rows(layout.curated("toy") / "preferences.jsonl", [])
    with pytest.raises(DataError, match=r"preferences\.jsonl holds no pair.*saqia judge.*or set it to 0"):
        trained(settings(), load_tokenizer(layout.BASE), torch.device("cpu"))


def test_the_loss_is_trl_s(toy: Path, tmp_path: Path) -> None:
    """The same weights, rows and pairs in TRL's RewardTrainer."""
    import trl
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification

    model = RewardModel(load_weights(layout.BASE, "float32"))
    torch.manual_seed(0)
    torch.nn.init.normal_(model.score.weight)
    theirs = AutoModelForSequenceClassification.from_pretrained(layout.BASE, num_labels=1)
    theirs.score.weight.data.copy_(model.score.weight)
    tokenizer = load_tokenizer(layout.BASE)
    theirs.config.pad_token_id = tokenizer.pad_token_id
    chosen = [tokenizer(f"number {n} is {NUMBERS[n]}")["input_ids"] for n in range(3)]
    rejected = [tokenizer(f"number {n} is none of these")["input_ids"] for n in range(3)]
    trainer = trl.RewardTrainer(
        model=theirs,
        args=trl.RewardConfig(output_dir=str(tmp_path / "out"), report_to="none", use_cpu=True, bf16=False,
                              disable_dropout=True, gradient_checkpointing=False),
        train_dataset=Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected}),
        processing_class=tokenizer,
    )  # fmt: skip
    batch = trainer.data_collator([{"chosen_ids": c, "rejected_ids": r} for c, r in zip(chosen, rejected, strict=True)])
    expected = trainer.compute_loss(theirs.eval(), batch)
    arrays = [torch.tensor(ids).numpy() for ids in (*chosen, *rejected)]
    good, bad = model(arrays).chunk(2)
    assert bradley_terry(good, bad).item() == pytest.approx(expected.item(), rel=1e-5)
