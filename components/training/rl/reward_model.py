"""A reward model: what people (or an AI judge) preferred, as one number for any answer (Ouyang et al. 2022, 3.4).

The base's body and one linear layer on the hidden state of an answer's last token, taught by comparisons: the chosen
answer's number shall exceed the rejected one's (Bradley and Terry 1952; Ouyang et al. 2022, eq. 1). It is trained once
for its pairs, base and settings, and kept under <home>/reward_models: trainings that differ only in what they do with
it share it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from components import config, layout
from components.files import DataError, read_rows, replacing_folder, write_json
from components.models import read_base
from components.optimization import loop, optimizers
from components.optimization.checkpoints import Checkpoints, digest_of
from components.schema import Example, Message, Preference
from components.training import methods
from components.training.batches import Encoded, encode
from components.training.completion import causal_model
from components.training.rl.rewards import Answered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

ROWS = 64
"""Answers that are looked at together when they are scored."""
SHARE = 1 / 3
"""Of the rate that right answers are taught with."""


class RewardModel(torch.nn.Module):
    """Scores whole rows of token ids."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        head = causal_model(model).get_output_embeddings()
        self.score = torch.nn.Linear(head.weight.shape[1], 1, bias=False, device=head.weight.device)
        torch.nn.init.zeros_(self.score.weight)

    def forward(self, rows: Sequence[np.ndarray]) -> torch.Tensor:
        """(rows,): the number at each row's last token; padding on the right is never seen by a causal model."""
        device = self.score.weight.device
        ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.from_numpy(row)
        ends = torch.tensor([len(row) - 1 for row in rows], device=device)
        hidden = causal_model(self.model).get_decoder()(input_ids=ids.to(device), use_cache=False).last_hidden_state
        return self.score(hidden[torch.arange(len(rows), device=device), ends].float())[:, 0]

    @torch.no_grad()
    def numbers(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """Every row's number, in batches of like length."""
        self.eval()
        found = np.zeros(len(rows), dtype=np.float64)
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(order), ROWS):
            part = order[start : start + ROWS]
            found[part] = self([rows[index] for index in part]).cpu().numpy()
        return found


def bradley_terry(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Mean over pairs of −log σ(chosen − rejected)."""
    return -F.logsigmoid(chosen - rejected).mean()


class Scorer:
    """A trained reward model as one of `rewards`: its number, less the mean of the taught pairs' and in units of their
    deviation, so that a weight means the same for every model."""

    def __init__(
        self, model: RewardModel, tokenizer: PreTrainedTokenizerBase, context: int, about: dict[str, float]
    ) -> None:
        self.model, self.tokenizer, self.context, self.about = model, tokenizer, context, about

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        rows = [_row(answer.example.prompt, answer.text, answer.example.id) for answer in answers]
        numbers = self.model.numbers([row.ids[: self.context] for row in encode(self.tokenizer, rows, 1 << 30)])
        return [float(n) for n in (numbers - self.about["mean"]) / self.about["deviation"]]


def inputs(settings: config.Settings) -> tuple[Path, Path]:
    """The pairs to teach, and those to show with."""
    curated = layout.curated(settings.task)
    return curated / "preferences.jsonl", curated / "preferences_heldout.jsonl"


def trained(settings: config.Settings, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> Scorer:
    """The reward model for these settings' pairs: kept from before, or trained now.

    Raises:
        DataError: there are no pairs, or a row is longer than the context.
        StageError: training went astray.
    """
    taught, heldout = inputs(settings)
    parameters = settings.model_dump(
        mode="json",
        include={
            "seed": True,
            "threads": True,
            "model": True,
            "train": {"reward_model", "method", "lora", "freeze_top"},
        },
    )
    digest = digest_of(
        stage="reward model", settings=parameters, pairs=taught, heldout=heldout, base=read_base(layout.BASE).sha256
    )
    folder = config.places().home / "reward_models" / digest
    loop.prepare(settings.seed, settings.threads)
    from_base = settings.model_copy(update={"train": settings.train.model_copy(update={"start": "base"})})
    model = RewardModel(methods.prepare_model(from_base, layout.BASE, layout.CHAMPION).to(device))
    if (folder / "about.json").exists():
        model.load_state_dict(load_file(folder / "reward.safetensors"), strict=False)
        about: dict[str, float] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    else:
        about = _train(model, settings, tokenizer, Checkpoints(digest, every=settings.train.checkpoint_every))
        with replacing_folder(folder) as temporary:
            save_file(
                {name: parameter.detach().contiguous().cpu() for name, parameter in loop.trainable(model).items()},
                temporary / "reward.safetensors",
            )
            write_json(temporary / "about.json", about)
    log.info("reward model: right on %.3f of %d held-out pairs", about["accuracy"], about["heldout_pairs"])
    return Scorer(model.requires_grad_(False), tokenizer, settings.model.context, about)


def _train(
    model: RewardModel, settings: config.Settings, tokenizer: PreTrainedTokenizerBase, checkpoints: Checkpoints
) -> dict[str, float]:
    """Teach the pairs; what the model shows on those held out, and the scale of its numbers."""
    wanted = settings.train.reward_model
    taught, heldout = (_encoded(path, tokenizer, settings.model.context) for path in inputs(settings))
    if not taught:
        raise DataError(
            f"{inputs(settings)[0]} holds no pair, and train.rl.rewards.model counts: bring pairs in "
            f"tasks/{settings.task}/preferences.jsonl (people's, or `saqia judge`), or set it to 0"
        )
    size = min(wanted.batch_size, len(taught))

    def batch(step: int) -> list[tuple[Encoded, Encoded]]:
        epoch, place = divmod(step, len(taught) // size)
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(taught))
        return [taught[index] for index in order[place * size : (place + 1) * size]]

    def loss(trained: torch.nn.Module, pairs: list[tuple[Encoded, Encoded]]) -> Any:
        rows = [row.ids for side in zip(*pairs, strict=True) for row in side]
        chosen, rejected = trained(rows).chunk(2)
        accuracy = (chosen > rejected).float().mean()
        return bradley_terry(chosen, rejected), sum(map(len, rows)), accuracy.detach()[None]

    history = loop.fit(
        model,
        optimizers.adamw(model, wanted.lr or methods.suitable_rate(settings.train.method, model.model, SHARE)),
        loop.Plan(
            section="train.reward_model",
            steps=wanted.steps,
            warmup=wanted.warmup,
            seed=settings.seed,
            batch=batch,
            loss=loss,
            curves=("accuracy",),
        ),
        checkpoints,
    )
    numbers = model.numbers([row.ids for pair in taught for row in pair])
    right = [_right(model, pairs) for pairs in (taught, heldout)]
    checkpoints.remove()
    return {
        "pairs": len(taught),
        "heldout_pairs": len(heldout),
        "accuracy_taught": right[0],
        "accuracy": right[1],
        "loss": loop.summary(history)["loss"],
        "mean": float(numbers.mean()),
        "deviation": float(numbers.std()) or 1.0,
    }


def _right(model: RewardModel, pairs: Sequence[tuple[Encoded, Encoded]]) -> float:
    """The share of pairs whose chosen answer has the larger number; 0 where there are none."""
    if not pairs:
        return 0.0
    numbers = model.numbers([row.ids for pair in pairs for row in pair]).reshape(-1, 2)
    return float((numbers[:, 0] > numbers[:, 1]).mean())


def _encoded(path: Path, tokenizer: PreTrainedTokenizerBase, context: int) -> list[tuple[Encoded, Encoded]]:
    pairs = read_rows(path, Preference)
    if not pairs:
        return []
    sides = ([_row(p.prompt, p.chosen, p.id) for p in pairs], [_row(p.prompt, p.rejected, p.id) for p in pairs])
    return list(zip(*(encode(tokenizer, rows, context) for rows in sides), strict=True))


def _row(prompt: Sequence[Message], answer: str, id: str) -> Example:
    return Example(id=id, messages=(*prompt, Message(role="assistant", content=answer)))
