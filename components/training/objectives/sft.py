"""Objective `sft`: teach the right answers (supervised fine-tuning on completions)."""

from __future__ import annotations

from pathlib import Path

from components import config, layout
from components.files import read_rows
from components.schema import Example
from components.training.batches import Batch, Batches, encode, in_batches, share
from components.training.completion import completion_loss, head_is_separable, mean_loss
from components.training.heldout import kept_out
from components.training.lesson import Given, Lesson, Objective
from components.training.mixture import mixed


def inputs(settings: config.Settings) -> tuple[Path, ...]:
    return (layout.curated(settings.task) / "train.jsonl",)


def prepare(given: Given) -> Lesson[Batch]:
    """Corrections repeated to their share, in batches of like length.

    The first version is trained for `train.first_steps` where the local base was taught this task already.

    Raises:
        DataError: there is no example, or one is longer than the context.
    """
    settings, wanted = given.settings, given.settings.train
    (train,) = inputs(settings)
    examples = read_rows(train, Example)
    taught, watched = kept_out(examples, wanted.validation_rows, settings.seed)
    encoded = encode(given.tokenizer, mixed(taught, wanted.feedback_share), settings.model.context)
    pad = given.tokenizer.pad_token_id
    assert isinstance(pad, int)
    batches = Batches(encoded, wanted.batch_size, settings.seed, pad)
    fast = head_is_separable(given.model, batches.step(0))
    known = settings.model.base == "local" and settings.corpus.task == settings.task
    steps = wanted.first_steps or wanted.steps if known and not given.has_champion else wanted.steps
    held = in_batches(encode(given.tokenizer, watched, settings.model.context), pad) if watched else []
    return Lesson(
        rows=len(examples),
        prompts=examples,
        steps=steps,
        lr=wanted.lr,
        batch=batches.step,
        loss=lambda model, batch: completion_loss(model, batch, fast),
        size=batches.size,
        share=share,
        heldout=(lambda model: mean_loss(model, held, fast)) if held else None,
    )


OBJECTIVE = Objective(inputs, prepare)
