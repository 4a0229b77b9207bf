"""Objective `distill`: learn from a teacher, by its probabilities (Hinton et al. 2015, https://arxiv.org/abs/1503.02531),
by its answers (Kim & Rush 2016, https://arxiv.org/abs/1606.07947), or by both.

A right answer says which token comes next; a teacher says of every token how likely it is, which is worth most where
rows are few. Its answers need no right ones at all, only prompts.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from components import chat, config, layout
from components.decoding import alike, decode
from components.files import read_rows
from components.models import load_tokenizer, load_weights, model_folder, tensor_hash
from components.schema import Example, Message
from components.stage import StageError
from components.training.batches import Batch, Batches, encode, in_batches, share
from components.training.completion import answer_logits, head_is_separable
from components.training.heldout import kept_out
from components.training.lesson import Given, Lesson, Objective
from components.training.mixture import mixed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

CURVES = ("cross_entropy", "divergence")
"""Of the taught answers and, where it counts, from the teacher: nats a token."""
Measure = Callable[[torch.nn.Module, Batch], tuple[torch.Tensor, int, torch.Tensor]]
ASKED = 100
"""Rows that the teacher answers together."""


def inputs(settings: config.Settings) -> tuple[Path, ...]:
    return (layout.curated(settings.task) / "train.jsonl",)


def prepare(given: Given) -> Lesson[Batch]:
    """The rows, answered by the teacher where that is wanted, in batches of like length.

    Raises:
        DataError: there is no example, or one is longer than the context.
        ModelError: there is no such teacher.
        StageError: none is named, or its tokens are not the base's.
    """
    settings, wanted = given.settings, given.settings.train
    if wanted.distill.teacher is None:
        raise StageError("train.objective: distill needs train.distill.teacher, the folder of the model to learn from")
    if not Path(wanted.distill.teacher).expanduser().is_dir():
        raise StageError(f"train.distill.teacher: there is no folder {wanted.distill.teacher}; bring the teacher there")
    folder = model_folder(wanted.distill.teacher, named_by="train.distill.teacher")
    (train,) = inputs(settings)
    examples = read_rows(train, Example)
    teacher = load_weights(folder, "float32").eval().requires_grad_(False)
    teacher.to(next(given.model.parameters()).device)
    tokens = load_tokenizer(folder)
    if wanted.distill.weight and tokens.get_vocab() != given.tokenizer.get_vocab():
        raise StageError(
            f"train.distill.teacher: {folder} has other tokens than the base, so its probabilities say nothing of the "
            "base's; set train.distill.weight to 0 and answers to teacher, or take a teacher of the base's family"
        )
    rows = examples
    if wanted.distill.answers == "teacher":
        rows = answered(teacher, tokens, examples, wanted.distill.max_new_tokens)
    taught, watched = kept_out(rows, wanted.validation_rows, settings.seed)
    taught = mixed(taught, wanted.feedback_share)
    pad = given.tokenizer.pad_token_id
    assert isinstance(pad, int)
    encoded = encode(given.tokenizer, taught, settings.model.context)
    batches = Batches(encoded, wanted.batch_size, settings.seed, pad)
    asked = (given.model, teacher) if wanted.distill.weight else (given.model,)
    fast = all(head_is_separable(model, batches.step(0)) for model in asked)
    measured = partial(loss, teacher=teacher, wanted=wanted.distill, vocabulary=len(given.tokenizer), fast=fast)
    held = in_batches(encode(given.tokenizer, watched, settings.model.context), pad) if watched else []
    return Lesson(
        rows=len(rows),
        prompts=examples,
        steps=wanted.steps,
        lr=wanted.lr,
        batch=batches.step,
        loss=measured,
        size=batches.size,
        share=share,
        heldout=(lambda model: mean_loss(model, held, measured)) if held else None,
        curves=CURVES if wanted.distill.weight else CURVES[:1],
        made_with={"teacher_sha256": tensor_hash(folder)},
    )


def loss(
    model: torch.nn.Module,
    batch: Batch,
    teacher: PreTrainedModel,
    wanted: config.DistillSettings,
    vocabulary: int,
    fast: bool,
) -> tuple[torch.Tensor, int, torch.Tensor]:
    """(1 − weight)·cross-entropy + weight·divergence, means over answer tokens; with the values of CURVES.

    Args:
        vocabulary: tokens that there are; heads may be wider, each in its own way.
    """
    logits = answer_logits(model, batch, fast).float()
    crossed = F.cross_entropy(logits, batch.targets.to(logits.device))
    if not wanted.weight:
        return crossed, batch.tokens, crossed.detach()[None]
    with torch.no_grad():
        theirs = answer_logits(teacher, batch, fast).float()
    apart = divergence(logits[:, :vocabulary], theirs[:, :vocabulary], wanted.beta, wanted.temperature).mean()
    total = (1 - wanted.weight) * crossed + wanted.weight * apart
    return total, batch.tokens, torch.stack([crossed, apart]).detach()


def divergence(student: torch.Tensor, teacher: torch.Tensor, beta: float, temperature: float) -> torch.Tensor:
    """Of the student's distribution from the teacher's at each position, in nats: (positions,).

    KL(teacher ‖ student) with beta 0, KL(student ‖ teacher) with 1, and between them the generalised Jensen-Shannon
    divergence β·KL(teacher ‖ M) + (1 − β)·KL(student ‖ M), M = β·teacher + (1 − β)·student (Agarwal et al. 2023,
    https://arxiv.org/abs/2306.13649, eq. 1).

    Args:
        student, teacher: logits, (positions, vocabulary).
    """
    q, p = (torch.log_softmax(logits / temperature, dim=-1) for logits in (student, teacher))
    if beta == 0:
        return _kl(p, q)
    if beta == 1:
        return _kl(q, p)
    middle = torch.logaddexp(p + math.log(beta), q + math.log(1 - beta))
    return beta * _kl(p, middle) + (1 - beta) * _kl(q, middle)


def _kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) of log-probabilities."""
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


@torch.inference_mode()
def answered(
    teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_new_tokens: int
) -> list[Example]:
    """The examples with the teacher's likeliest answers in place of their own; an answer that does not end is cut.

    Raises:
        StageError: it answers nothing.
    """
    prompts = chat.prompts_ids(tokenizer, [example.prompt for example in examples])
    end, texts = chat.end_of_turn_id(tokenizer), [""] * len(examples)
    room = int(getattr(teacher.config, "max_position_embeddings", 0) or 1 << 30)
    for rows in alike([len(prompt) for prompt in prompts], range(len(prompts)), ASKED):
        most = [max(1, min(max_new_tokens, room - len(prompts[row]))) for row in rows]
        for row, ids in zip(rows, decode(teacher, [prompts[row] for row in rows], end, most), strict=True):
            texts[row] = str(tokenizer.decode(ids, skip_special_tokens=True))
    said = [
        example.model_copy(update={"messages": (*example.prompt, Message(role="assistant", content=text))})
        for example, text in zip(examples, texts, strict=True)
        if text.strip()
    ]
    if not said:
        raise StageError("train.distill.teacher: it answered none of the rows; is it a model that can converse?")
    log.info("the teacher answered %d of %d rows", len(said), len(examples))
    return said


@torch.no_grad()
def mean_loss(model: torch.nn.Module, batches: Sequence[Batch], measured: Measure) -> float:
    """The loss of several batches, each weighed by its answer tokens."""
    sizes = [len(batch.targets) for batch in batches]
    found = [measured(model, batch)[0].item() * size for batch, size in zip(batches, sizes, strict=True)]
    return sum(found) / sum(sizes)


OBJECTIVE = Objective(inputs, prepare)
