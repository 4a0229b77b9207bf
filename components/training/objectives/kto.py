"""Objective `kto`: teach answers that were judged one by one, by thumbs or in the task's own file, and pairs too.

Each answer counts by itself, so a pair is its chosen answer and its rejected one, and an answer to which nobody wrote a
better one teaches as well (Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306). Reference, anchor and what is
shown on held-out pairs are those of `preference`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from components import config, layout
from components.files import DataError, read_rows
from components.schema import Judged, Preference
from components.training.batches import Batches
from components.training.completion import answer_logprobs, completion_loss, head_is_separable
from components.training.heldout import kept_out
from components.training.judged import (
    Answers,
    JudgedBatch,
    JudgedBatches,
    both,
    encode_judged,
    mismatched,
    share_judged,
)
from components.training.lesson import Given, Lesson, Objective
from components.training.methods import suitable_rate
from components.training.objectives import losses
from components.training.objectives.preference import (
    CURVES,
    SHARE,
    Measure,
    Shown,
    anchored,
    beta_of,
    share_of,
    unsettled,
)
from components.training.pairs import as_example, encode_pairs, logprobs

Weights = tuple[float, float]
"""λ_D and λ_U."""


def inputs(settings: config.Settings) -> tuple[Path, ...]:
    curated = layout.curated(settings.task)
    names = ["preferences", "preferences_heldout", "judged", "judged_heldout"]
    return tuple(curated / f"{name}.jsonl" for name in names + ["train"] * (settings.train.preference.anchor > 0))


def prepare(given: Given) -> Lesson[JudgedBatch]:
    """Answers in batches of like length, with the reference's log-probabilities; held-out ones are measured.

    Raises:
        DataError: there is neither a pair nor a judged answer, or a row is longer than the context.
    """
    settings, wanted, context = given.settings, given.settings.train, given.settings.model.context
    paired, paired_heldout, judged, judged_heldout, *beside = inputs(settings)
    pairs = read_rows(paired, Preference)
    answers = [*both(unsettled(given, pairs)), *read_rows(judged, Judged)]
    if not answers:
        raise DataError(
            f"{paired} holds no pair{' that is not settled' if pairs else ''}, {judged} no judged answer, and "
            "train.objective is kto: bring some in "
            f"tasks/{settings.task}/preferences.jsonl, or train with objective sft until feedback has come in"
        )
    pad = given.tokenizer.pad_token_id
    assert isinstance(pad, int)
    kept, watched = kept_out(answers, wanted.validation_rows, settings.seed)
    encoded = encode_judged(given.tokenizer, kept, context)
    size = min(2 * wanted.batch_size, len(kept))  # as many answers as the others' pairs have
    fast = head_is_separable(given.model, Batches(encoded.rows, size, settings.seed, pad).step(0))
    measured = partial(logprobs, given.model, size=size, pad=pad, fast=fast)
    weights = weights_of(wanted.preference, encoded.desirable)
    others = mismatched(encoded.rows, context)
    batches = JudgedBatches(
        encoded,
        others,
        (measured(encoded.rows)[:, 0], measured(others)[:, 0]),
        anchored(given, beside, min(wanted.batch_size, len(kept))),
        wanted.preference.anchor,
        size,
        settings.seed,
        pad,
    )
    watching = None
    if watched:
        watching = Watching(encode_judged(given.tokenizer, watched, context), context, wanted, weights, measured)
    compared = Shown(encode_pairs(given.tokenizer, read_rows(paired_heldout, Preference), context), measured)
    alone = Moved(encode_judged(given.tokenizer, read_rows(judged_heldout, Judged), context), measured)
    return Lesson(
        rows=len(answers),
        prompts=list({row.id: as_example(row, row.answer) for row in answers}.values()),
        steps=wanted.preference.steps,
        lr=wanted.preference.lr or suitable_rate(wanted.method, given.model, SHARE),
        batch=batches.step,
        loss=partial(loss, wanted=wanted, weights=weights, fast=fast),
        size=batches.size,
        share=share_judged,
        heldout=watching.loss if watching else None,
        curves=CURVES,
        metrics=lambda model: compared.metrics(model) | alone.metrics(),
    )


def weights_of(wanted: config.PreferenceSettings, desirable: np.ndarray) -> Weights:
    """The two weights as they are given, and else so that both kinds count alike and an answer counts 1 on average."""
    good = int(desirable.sum())
    bad = len(desirable) - good
    one, other = wanted.desirable_weight, wanted.undesirable_weight
    if not good or not bad:
        return one or 1.0, other or 1.0
    if one is None and other is None:
        return len(desirable) / (2 * good), len(desirable) / (2 * bad)
    return one or (other or 1.0) * bad / good, other or (one or 1.0) * good / bad


def loss(
    model: torch.nn.Module, batch: JudgedBatch, wanted: config.TrainSettings, weights: Weights, fast: bool
) -> tuple[torch.Tensor, int, torch.Tensor]:
    """The mean loss over a batch's answers, plus the anchor; with the values of CURVES.

    An answer's accuracy is whether it is on its side of z₀; the mean reward of a kind that the batch lacks is 0. The
    likelihood is that of the desirable answers (`losses.likelihood`).
    """
    sums, counts = answer_logprobs(model, batch.answers, fast)
    desirable, reference = batch.desirable.to(sums.device), batch.reference.to(sums.device)
    with torch.no_grad():
        elsewhere, _ = answer_logprobs(model, batch.mismatched, fast)
    point = losses.reference_point(elsewhere, batch.mismatched_reference.to(sums.device))
    judged = losses.kto(sums - reference, desirable, point, beta_of(wanted), weights).mean()
    if wanted.preference.likelihood:
        judged = judged - wanted.preference.likelihood * batch.mean(sums / counts, desirable=True)
    total = judged
    if batch.anchor is not None:
        total = total + batch.anchor_weight * completion_loss(model, batch.anchor, fast)[0]
    gained = (sums - reference).detach()
    right = ((gained > point) == desirable).float().mean()
    rewards = [beta_of(wanted) * batch.mean(gained, kind) for kind in (True, False)]
    return total, batch.tokens, torch.stack([judged.detach(), *rewards, right])


class Watching:
    """The objective on answers that are kept out of teaching (`train.validation_rows`), without the anchor."""

    def __init__(
        self, answers: Answers, context: int, wanted: config.TrainSettings, weights: Weights, measured: Measure
    ) -> None:
        """Asks the model as it stands now, before training: it is the reference."""
        self._answers, self._others = answers.rows, mismatched(answers.rows, context)
        self._desirable = torch.from_numpy(answers.desirable)
        self._wanted, self._weights, self._measured = wanted, weights, measured
        self._reference, self._elsewhere = self._now()[0], self._now()[2]

    def _now(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities and tokens of the answers, and log-probabilities of the mismatched ones."""
        own, elsewhere = (torch.from_numpy(self._measured(rows)) for rows in (self._answers, self._others))
        return own[:, 0], own[:, 1], elsewhere[:, 0]

    def loss(self, _model: torch.nn.Module) -> float:
        """Mean over the answers, of the model as it stands now."""
        sums, counts, elsewhere = self._now()
        point, desirable = losses.reference_point(elsewhere, self._elsewhere), self._desirable
        gained, beta = sums - self._reference, beta_of(self._wanted)
        found = losses.kto(gained, desirable, point, beta, self._weights).mean()
        if desirable.any():
            found += self._wanted.preference.likelihood * losses.likelihood(sums[desirable], counts[desirable])
        return found.item()


class Moved:
    """How held-out judged answers moved: nothing was taught from them, or from questions near theirs."""

    def __init__(self, answers: Answers, measured: Measure) -> None:
        """Asks the model as it stands now, before training."""
        self._answers, self._measured = answers, measured
        self._before = self._now()

    def _now(self) -> np.ndarray:
        """(answers,): log π of each."""
        return self._measured(self._answers.rows)[:, 0]

    def metrics(self) -> dict[str, float]:
        """Of the model as it stands now: `heldout_desirable_gain` and `heldout_undesirable_gain`, by how many nats they
        have become likelier on average; and `heldout_judged_accuracy`: how often a desirable one gained more than an
        undesirable one, of all pairs of such (the area under the ROC curve, ties half)."""
        gained, desirable = self._now() - self._before, self._answers.desirable
        good, bad = gained[desirable], np.sort(gained[~desirable])
        found: dict[str, float] = {"heldout_judged": len(gained)}
        for name, of in (("desirable", good), ("undesirable", bad)):
            if len(of):
                found[f"heldout_{name}_gain"] = round(float(of.mean()), 4)
        if len(good) and len(bad):
            below = (np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")) / 2
            found["heldout_judged_accuracy"] = share_of(below / len(bad))
        return found


OBJECTIVE = Objective(inputs, prepare)
