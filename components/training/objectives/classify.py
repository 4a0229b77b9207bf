"""Objective `classify`: a label head on the base learns which of a task's labels fits.

A generated label is as many steps as it has tokens and has no probability that could be trusted. The head gives every
label's at once, and rows kept out of training say how far they can be believed: one temperature divides all logits
(Guo et al. 2017, On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from components import chat, config, label_head, layout, task
from components.files import DataError, read_rows
from components.label_head import padded
from components.schema import Example
from components.stage import StageError
from components.training.batches import by_length
from components.training.classifier import Classifier
from components.training.heldout import kept_out
from components.training.lesson import Given, Lesson, Objective, policy
from components.training.methods import suitable_rate
from components.training.mixture import mixed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

SEARCHED = (0.05, 20.0)
"""Temperatures among which the best is looked for."""
SHARES = {"lora": 1 / 3, "qlora": 1 / 3, "full": 10 / 3, "freeze": 10 / 3}
"""Of the rate that answers are taught with. One label a row is a coarse signal: at a language model's rate an adapter
jumps to and fro between the labels, while whole weights hardly move in the steps that some thousand labels allow."""


@dataclass(frozen=True)
class Rows:
    """Prompts with the position of their label among the task's."""

    prompts: Sequence[Sequence[int]]
    labels: np.ndarray

    def take(self, chosen: np.ndarray) -> Rows:
        """These rows, in this order."""
        return Rows([self.prompts[i] for i in chosen], self.labels[chosen])


def inputs(settings: config.Settings) -> tuple[Path, ...]:
    return (layout.curated(settings.task) / "train.jsonl",)


def model(settings: config.Settings) -> Classifier:
    """The model of `train.method` with a head for the task's labels.

    Raises:
        StageError: the task's answers are no labels.
    """
    described = task.load(settings.task)
    if described.answer != "label":
        raise StageError(
            f"train.objective: classify needs a task with `answer: label`; tasks/{described.name}/task.yaml "
            f"says `answer: {described.answer}`: use objective sft"
        )
    labels = described.labels
    if not labels:
        (train,) = inputs(settings)
        labels = tuple(sorted({said(example) for example in read_rows(train, Example)}))
    if len(labels) < 2:
        raise StageError(
            f"train.objective: classify needs at least two labels; this task has {', '.join(labels) or 'none'}"
        )
    return Classifier(policy(settings), labels)


def said(example: Example) -> str:
    """An example's label, spaces folded."""
    return " ".join(example.answer.split())


def prepare(given: Given) -> Lesson[Rows]:
    """Batches of like length; rows kept out of teaching to calibrate on.

    Raises:
        DataError: there is no example, one is longer than the context, or its answer is none of the labels.
    """
    settings, wanted = given.settings, given.settings.train
    head = given.model
    assert isinstance(head, Classifier)
    (train,) = inputs(settings)
    examples = read_rows(train, Example)
    if not examples:
        raise DataError("there are no training examples: nothing can be learned from an empty train.jsonl")
    if given.has_champion and wanted.start == "champion" and label_head.there(layout.CHAMPION):
        head.begin_at(label_head.read(layout.CHAMPION))
    else:
        head.begin_as_written(given.tokenizer)
    rest, watched = kept_out(examples, wanted.validation_rows, settings.seed)
    taught, held = kept_out(rest, round(len(examples) * wanted.calibration_share), settings.seed + 1)
    rows = encode(given.tokenizer, mixed(taught, wanted.feedback_share), head.labels, settings.model.context)
    calibrating = encode(given.tokenizer, held, head.labels, settings.model.context) if held else None
    validating = encode(given.tokenizer, watched, head.labels, settings.model.context) if watched else None
    size = min(wanted.batch_size, len(rows.prompts))
    return Lesson(
        rows=len(examples),
        prompts=examples,
        steps=wanted.steps,
        lr=wanted.lr or suitable_rate(wanted.method, head, SHARES[wanted.method]),
        batch=_batches(rows, size, settings.seed),
        loss=_loss,
        size=size,
        share=share,
        heldout=(lambda trained: mean_loss(trained, validating)) if validating else None,
        metrics=lambda trained: calibrate(trained, calibrating),
    )


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], labels: tuple[str, ...], context: int
) -> Rows:
    """Prompts as token ids, and which label each has.

    Raises:
        DataError: a prompt is longer than the context, or an answer is none of the labels.
    """
    prompts = chat.prompts_ids(tokenizer, [example.prompt for example in examples])
    position = {label: at for at, label in enumerate(labels)}
    for example, prompt in zip(examples, prompts, strict=True):
        if len(prompt) > context:
            raise DataError(
                f"example {example.id} has {len(prompt)} tokens, model.context is {context}: "
                "shorten it, leave it out, or raise model.context in params.yaml"
            )
        if said(example) not in position:
            raise DataError(
                f"example {example.id}: {said(example)!r} is none of the task's labels ({', '.join(labels)}): "
                "correct the row, or add the label to task.yaml"
            )
    return Rows(prompts, np.array([position[said(example)] for example in examples]))


def share(batch: Rows, rank: int, count: int) -> tuple[Rows, float]:
    """Every `count`-th row of a batch from `rank` on, and its part of the batch."""
    own = np.arange(rank, len(batch.prompts), count)
    return batch.take(own), len(own) / len(batch.prompts)


def _batches(rows: Rows, size: int, seed: int) -> Callable[[int], Rows]:
    """Batches as a function of the 0-based step; every epoch sees each row once."""
    lengths = [len(prompt) for prompt in rows.prompts]
    epoch_of = lru_cache(maxsize=1)(lambda epoch: by_length(lengths, size, seed, epoch))

    def batch(step: int) -> Rows:
        epoch, at = divmod(step, len(lengths) // size)
        return rows.take(epoch_of(epoch)[at])

    return batch


def _loss(trained: torch.nn.Module, batch: Rows) -> tuple[torch.Tensor, int]:
    """Mean cross-entropy of the right labels, and the prompts' tokens."""
    device = next(trained.parameters()).device
    ids, last = padded(batch.prompts, device)
    loss = F.cross_entropy(trained(ids, last), torch.from_numpy(batch.labels).to(device))
    return loss, sum(len(prompt) for prompt in batch.prompts)


def mean_loss(trained: torch.nn.Module, rows: Rows) -> float:
    """Mean negative log-likelihood of the right labels, in nats."""
    assert isinstance(trained, Classifier)
    scored = label_head.logprobs(trained.policy, trained.head, rows.prompts)
    return F.nll_loss(scored, torch.from_numpy(rows.labels)).item()


def calibrate(trained: torch.nn.Module, held: Rows | None) -> dict[str, float]:
    """Fit the temperature on rows that were not taught; what it was worth there.

    Without rows, or where no temperature is better than 1, it stays 1.
    """
    assert isinstance(trained, Classifier)
    if held is None:
        return {}
    from scipy.optimize import minimize_scalar

    raw = label_head.logprobs(trained.policy, trained.head, held.prompts).double()
    right = torch.from_numpy(held.labels)

    def nats(log_temperature: float) -> float:
        return F.cross_entropy(raw / np.exp(log_temperature), right).item()

    best = minimize_scalar(nats, bounds=tuple(np.log(SEARCHED)), method="bounded")
    if best.fun < nats(0.0):
        trained.temperature = round(float(np.exp(best.x)), 4)
    found = {
        "calibration_rows": float(len(held.prompts)),
        "temperature": trained.temperature,
        "calibration_accuracy": float((raw.argmax(1) == right).double().mean()),
        "calibration_nll_before": round(nats(0.0), 5),
        "calibration_nll": round(nats(float(np.log(trained.temperature))), 5),
    }
    log.info("calibrated on %d rows kept out of teaching: temperature %.2f", len(held.prompts), trained.temperature)
    return found


OBJECTIVE = Objective(inputs, prepare, model)
