"""Objectives `dpo` and `orpo`: teach which of two answers to the same prompt is preferred.

The two share pairs, batches, the anchor and what is shown on held-out pairs, and differ in `losses`. The reference is
the model as the training finds it (`train.start`), so its log-probabilities are computed once for all pairs and no
second model is kept; it is asked without dropout. The anchor teaches right answers beside the pairs in every step (the
pre-training term γ of Ouyang et al. 2022, eq. 2, on the task's own rows): a pair says only which answer is better.
Answers that were judged one by one are `kto`'s alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from components import config, layout
from components.files import DataError, read_rows
from components.schema import Example, Preference
from components.training.batches import Batches, Encoded, encode
from components.training.completion import answer_logprobs, completion_loss, head_is_separable
from components.training.heldout import kept_out
from components.training.lesson import Given, Lesson, Objective
from components.training.methods import suitable_rate
from components.training.mixture import mixed
from components.training.objectives import losses
from components.training.pairs import PairBatch, PairBatches, Pairs, as_example, encode_pairs, logprobs, share_pairs

log = logging.getLogger("train")

Measure = Callable[[Sequence[Encoded]], np.ndarray]
"""Rows → log π of their answers and how many tokens these have, by the model as it stands then; see `logprobs`."""
CURVES = ("preference_loss", "reward_chosen", "reward_rejected", "reward_accuracy")
"""Rewards are implicit: β·log π/π_ref. The accuracy is the share of the batch's pairs whose chosen answer has more."""

BETAS = {"dpo": 1.0, "kto": 1.0, "orpo": 0.1}
"""Where `preference.beta` is null. The papers' 0.1 lets dpo and kto go on until answers lie tens of nats apart, which
costs right answers; at 1 they are content after a few."""
SHARE = 1 / 3
"""Of the rate that right answers are taught with: a comparison says less of the tokens that make the difference."""


def inputs(settings: config.Settings) -> tuple[Path, ...]:
    curated = layout.curated(settings.task)
    files = [curated / "preferences.jsonl", curated / "preferences_heldout.jsonl"]
    return (*files, curated / "train.jsonl") if settings.train.preference.anchor else tuple(files)


def prepare(given: Given) -> Lesson[PairBatch]:
    """Pairs in batches of like length, with the reference's log-probabilities; held-out pairs are measured.

    Raises:
        DataError: there are no pairs, nothing is to learn from any, or a row is longer than the context.
    """
    settings, wanted = given.settings, given.settings.train
    taught, heldout, *beside = inputs(settings)
    every = read_rows(taught, Preference)
    if not every:
        raise DataError(
            f"{taught} holds no pair, and train.objective is {wanted.objective}: bring pairs in "
            f"tasks/{settings.task}/preferences.jsonl, or train with objective sft until corrections have come in"
        )
    pairs = unsettled(given, every)
    if not pairs:
        raise DataError(
            f"{taught}: the model that training begins with prefers every chosen answer already: there is nothing to "
            "teach; set train.preference.settled to null to teach them all the same"
        )
    pad = given.tokenizer.pad_token_id
    assert isinstance(pad, int)
    kept, watched = kept_out(pairs, wanted.validation_rows, settings.seed)
    encoded = encode_pairs(given.tokenizer, kept, settings.model.context)
    size = min(wanted.batch_size, len(kept))
    anchor = anchored(given, beside, size)
    fast = head_is_separable(given.model, Batches(encoded.chosen, size, settings.seed, pad).step(0))
    measured = partial(logprobs, given.model, size=2 * size, pad=pad, fast=fast)
    batches = PairBatches(
        encoded,
        np.stack([measured(encoded.chosen)[:, 0], measured(encoded.rejected)[:, 0]], axis=1),
        anchor,
        wanted.preference.anchor,
        size,
        settings.seed,
        pad,
    )
    watching = None
    if watched:
        watching = Watching(encode_pairs(given.tokenizer, watched, settings.model.context), wanted, measured)
    shown = Shown(encode_pairs(given.tokenizer, read_rows(heldout, Preference), settings.model.context), measured)
    return Lesson(
        rows=len(pairs),
        prompts=[as_example(pair, pair.chosen) for pair in pairs],
        steps=wanted.preference.steps,
        lr=wanted.preference.lr or suitable_rate(wanted.method, given.model, SHARE),
        batch=batches.step,
        loss=partial(loss, wanted=wanted, fast=fast),
        size=batches.size,
        share=share_pairs,
        heldout=watching.loss if watching else None,
        curves=CURVES,
        metrics=shown.metrics,
    )


def unsettled(given: Given, pairs: Sequence[Preference]) -> list[Preference]:
    """The pairs whose chosen answer the model, as training finds it, does not prefer by `preference.settled` nats."""
    settings, pad, most = given.settings, given.tokenizer.pad_token_id, given.settings.train.preference.settled
    assert isinstance(pad, int)
    if most is None or not pairs:
        return list(pairs)
    encoded, size = encode_pairs(given.tokenizer, pairs, settings.model.context), 2 * settings.train.batch_size
    fast = head_is_separable(given.model, Batches(encoded.chosen, size, settings.seed, pad).step(0))
    chosen, rejected = (
        logprobs(given.model, rows, size, pad, fast)[:, 0] for rows in (encoded.chosen, encoded.rejected)
    )
    kept = [pair for pair, ahead in zip(pairs, chosen - rejected, strict=True) if ahead < most]
    left_out = len(pairs) - len(kept)
    log.info("train: %d of %d pairs are settled, preferred already by %g nats", left_out, len(pairs), most)
    return kept


def anchored(given: Given, files: Sequence[Path], size: int) -> Batches | None:
    """Batches of right answers to be taught beside the pairs; None where `preference.anchor` names no file."""
    if not files:
        return None
    settings, pad = given.settings, given.tokenizer.pad_token_id
    assert isinstance(pad, int)
    rows = mixed(read_rows(files[0], Example), settings.train.feedback_share)
    return Batches(encode(given.tokenizer, rows, settings.model.context), size, settings.seed, pad)


def loss(
    model: torch.nn.Module, batch: PairBatch, wanted: config.TrainSettings, fast: bool
) -> tuple[torch.Tensor, int, torch.Tensor]:
    """The objective's mean loss over a batch's pairs, plus the anchor; with the values of CURVES."""
    sums, counts = answer_logprobs(model, batch.answers, fast)
    reference = batch.reference.to(sums.device)
    preference = total = of_pairs(sums, counts, reference, wanted)
    if batch.anchor is not None:
        total = total + batch.anchor_weight * completion_loss(model, batch.anchor, fast)[0]
    rewards = beta_of(wanted) * (sums - reference).detach()
    better = (rewards[: batch.pairs] > rewards[batch.pairs :]).float().mean()
    means = [part.mean() for part in rewards.chunk(2)]
    return total, batch.tokens, torch.stack([preference.detach(), *means, better])


def beta_of(wanted: config.TrainSettings) -> float:
    """`preference.beta`, or what suits the objective."""
    return wanted.preference.beta or BETAS[wanted.objective]


def of_pairs(
    sums: torch.Tensor, counts: torch.Tensor, reference: torch.Tensor, wanted: config.TrainSettings
) -> torch.Tensor:
    """The objective's mean over n pairs.

    Args:
        sums, counts, reference: (2n,), chosen answers before rejected ones: log π in nats, tokens, log π_ref.
    """
    beta, likelihood = beta_of(wanted), wanted.preference.likelihood
    chosen, rejected = sums.chunk(2)
    n_chosen, n_rejected = counts.chunk(2)
    if wanted.objective == "orpo":
        # The likelihood of the chosen answers is part of the objective: per answer token, as in SFT.
        nll = -chosen.sum() / n_chosen.sum()
        return nll + beta * losses.orpo(chosen / n_chosen, rejected / n_rejected).mean()
    at_chosen, at_rejected = reference.chunk(2)
    compared = losses.dpo(chosen, rejected, at_chosen, at_rejected, beta).mean()
    return compared + likelihood * losses.likelihood(chosen, n_chosen) if likelihood else compared


class Watching:
    """The objective on pairs that are kept out of teaching (`train.validation_rows`), without the anchor."""

    def __init__(self, pairs: Pairs, wanted: config.TrainSettings, measured: Measure) -> None:
        """Asks the model as it stands now, before training: it is the reference."""
        self._rows, self._wanted, self._measured = [*pairs.chosen, *pairs.rejected], wanted, measured
        self._reference = self._now()[:, 0]

    def _now(self) -> torch.Tensor:
        return torch.from_numpy(self._measured(self._rows))

    def loss(self, _model: torch.nn.Module) -> float:
        """Mean over the pairs, of the model as it stands now."""
        sums, counts = self._now().unbind(1)
        return of_pairs(sums, counts, self._reference, self._wanted).item()


class Shown:
    """What held-out pairs show before and after: nothing was taught from them, or from questions near theirs."""

    def __init__(self, pairs: Pairs, measured: Measure) -> None:
        """Asks the model as it stands now, before training."""
        self._pairs, self._measured = pairs, measured
        self._before = self._both() if len(pairs) else np.zeros((0, 2), np.float32)

    def _both(self) -> np.ndarray:
        """(pairs, 2): log π of the chosen and of the rejected answers."""
        return np.stack([self._measured(self._pairs.chosen)[:, 0], self._measured(self._pairs.rejected)[:, 0]], axis=1)

    def metrics(self, model: torch.nn.Module) -> dict[str, float]:
        """`heldout_prefers[_before]`: share of pairs whose chosen answer the model would rather give; and
        `heldout_accuracy`: whose chosen answer gained more than the other (an implicit reward margin above 0, which
        is what DPO means by accuracy), `heldout_margin`: by how many nats on average."""
        if not len(self._pairs):
            return {"heldout_pairs": 0}
        after = self._both()
        gained = (after - self._before) @ np.array([1, -1], np.float32)
        return {
            "heldout_pairs": len(self._pairs),
            "heldout_prefers_before": share_of(self._before[:, 0] > self._before[:, 1]),
            "heldout_prefers": share_of(after[:, 0] > after[:, 1]),
            "heldout_accuracy": share_of(gained > 0),
            "heldout_margin": round(float(gained.mean()), 4),
        }


def share_of(true: np.ndarray) -> float:
    """Their mean, for metrics.json."""
    return round(float(true.mean()), 5)


OBJECTIVE = Objective(inputs, prepare)
