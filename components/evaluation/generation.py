"""Greedy answers to many prompts, as fast as one small model on a CPU can give them.

Static batches (components/decoding.py), sorted by length. The adapter is merged first: a LoRA layer
costs two more products a token. Where the expected answers are known, only what differs from them is
generated (drafts.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from components.decoding import alike, decode
from components.evaluation.drafts import begin
from components.models import load_model

log = logging.getLogger(__name__)

DRAFT_ROWS = 32
"""Rows whose drafts are looked at together: more of them no longer fit a CPU's cache."""
WORTH_DRAFTING = 0.45
"""Looking at a draft costs about so much of generating the answer (measured: 3.7 of 8.1 ms a row on a CPU)."""


def load_merged(base: Path, adapter: Path | None) -> PreTrainedModel:
    """The model in float32 with its adapter folded into the weights (Hu et al. 2021, section 4.1).

    Raises:
        ModelError: missing or damaged weights, or an adapter made for another base.
    """
    model = load_model(base, adapter, dtype="float32")
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()  # type: ignore[operator]
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()  # type: ignore[arg-type]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    max_new_tokens: int,
    batch_size: int = 100,
    drafts: Sequence[Sequence[int]] | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[list[int]]:
    """The likeliest continuation of every prompt, without the end-of-turn token.

    A prompt that already fills the model's positions gets an empty answer.

    Args:
        prompts: token ids, any lengths.
        end: the token that ends an answer.
        drafts: what the answers are expected to be, `end` included: the same answers, sooner.
        progress: called with the number of rows each time that some are done.
    """
    room = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
    most = [min(max_new_tokens, room - len(prompt)) if prompt else 0 for prompt in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    waiting = [i for i, limit in enumerate(most) if limit > 0]
    if len(waiting) < len(prompts):
        log.warning("%d prompts leave no room for an answer within %d tokens", len(prompts) - len(waiting), room)
        progress(len(prompts) - len(waiting))
    if drafts is not None:
        waiting = _agree(model, prompts, drafts, end, most, waiting, answers, progress)
    for rows in alike([len(prompts[i]) + len(answers[i]) for i in waiting], waiting, batch_size):
        begun_prompts = [[*prompts[i], *answers[i]] for i in rows]
        rest = [most[i] - len(answers[i]) for i in rows]
        for i, more in zip(rows, decode(model, begun_prompts, end, rest), strict=True):
            answers[i] = [*answers[i], *more]
        progress(len(rows))
    return answers


def _agree(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    drafts: Sequence[Sequence[int]],
    end: int,
    most: Sequence[int],
    waiting: list[int],
    answers: list[list[int]],
    progress: Callable[[int], None],
) -> list[int]:
    """Begin answers by their drafts, as long as most drafts are the answer; returns the rows that are not done."""
    rest, drafted, done = set(waiting), 0, 0
    for rows in alike([len(prompts[i]) + len(drafts[i]) for i in waiting], waiting, DRAFT_ROWS):
        if drafted >= 2 * DRAFT_ROWS and done < drafted * WORTH_DRAFTING:
            break
        begun = begin(
            model, [prompts[i] for i in rows], [drafts[i] for i in rows], end=end, most=[most[i] for i in rows]
        )
        for i, beginning in zip(rows, begun, strict=True):
            answers[i] = beginning.ids
        finished = [i for i, beginning in zip(rows, begun, strict=True) if beginning.done]
        rest.difference_update(finished)
        drafted, done = drafted + len(rows), done + len(finished)
        progress(len(finished))
    return [i for i in waiting if i in rest]


@torch.inference_mode()
def answer_losses(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], batch_size: int = 100
) -> list[tuple[float, int]]:
    """Sum of negative log-likelihoods (nats) and number of tokens of each reference answer, teacher-forced.

    Rows are right-padded: under causal attention padding then cannot be seen, and no mask is needed.
    """
    losses: list[tuple[float, int]] = [(0.0, 0)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]) + len(answers[i]), i))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = max(len(prompts[i]) + len(answers[i]) for i in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        target = torch.full((len(rows), width), -100)
        for at, i in enumerate(rows):
            whole = [*prompts[i], *answers[i]]
            ids[at, : len(whole)] = torch.tensor(whole)
            target[at, len(prompts[i]) - 1 : len(whole) - 1] = torch.tensor(list(answers[i]))
        answered = width - min(len(prompts[i]) for i in rows) + 1  # the last positions: before them nothing is asked
        logits = model(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=answered).logits
        target = target[:, -answered:].to(model.device)
        wanted = target != -100
        nll = torch.nn.functional.cross_entropy(logits[wanted].float(), target[wanted], reduction="none").split(
            wanted.sum(1).tolist()
        )
        for i, part in zip(rows, nll, strict=True):
            losses[i] = (float(part.sum()), len(part))
    return losses


def latencies(model: PreTrainedModel, prompts: Sequence[Sequence[int]], end: int, max_new_tokens: int) -> list[float]:
    """Seconds that each prompt takes alone, the first one (warm-up) left out."""
    taken = []
    for prompt in prompts[:1] + list(prompts):  # type: ignore[operator]
        started = time.perf_counter()
        generate(model, [prompt], end=end, max_new_tokens=max_new_tokens, batch_size=1)
        taken.append(time.perf_counter() - started)
    return taken[1:]
