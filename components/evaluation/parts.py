"""Answers to many prompts, part by part, and several parts at once where the model is small (components/cores.py)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from components.cores import processes
from components.evaluation.generation import generate
from components.lifetime import end_with_parent
from components.stage import StageError


@dataclass(frozen=True)
class Part:
    """Prompts of one set as token ids, with what their answers are expected to be."""

    prompts: Sequence[Sequence[int]]
    drafts: Sequence[Sequence[int]]


@dataclass(frozen=True)
class How:
    """What `generate` is told beside the prompts."""

    end: int
    max_new_tokens: int
    batch_size: int


def divided(prompts: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]], size: int) -> list[Part]:
    """Parts of at most `size` prompts, of like lengths each, so that little is padding."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]) + len(drafts[i]), i))
    rows = [order[start : start + size] for start in range(0, len(order), size)]
    return [Part([prompts[i] for i in part], [drafts[i] for i in part]) for part in rows]


def answered(
    model: PreTrainedModel, parts: Sequence[Part], how: How, threads: int
) -> Iterator[tuple[Part, list[list[int]]]]:
    """Every part with its answers (see `generate`), as they are finished.

    Raises:
        StageError: a process that answers beside this one died.
    """
    workers = processes(model, len(parts), threads)
    if workers == 1:
        for part in parts:
            yield part, _generate(model, part, how)
        return
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=fork, initializer=_begin, initargs=(model, how)) as pool:
        waiting = {pool.submit(_answer, part): part for part in parts}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenProcessPool as error:
            raise StageError(
                "a process that answers beside this one was killed: run it again to go on after the answers that are "
                "kept (where memory is short, `threads: 1` in params.yaml needs less)"
            ) from error


_told: tuple[PreTrainedModel, How]
"""In a worker: the model, as it was when the worker was forked."""


def _begin(model: PreTrainedModel, how: How) -> None:
    global _told
    end_with_parent()
    torch.set_num_threads(1)
    _told = model, how


def _answer(part: Part) -> list[list[int]]:
    model, how = _told
    return _generate(model, part, how)


def _generate(model: PreTrainedModel, part: Part, how: How) -> list[list[int]]:
    return generate(
        model,
        part.prompts,
        end=how.end,
        max_new_tokens=how.max_new_tokens,
        batch_size=how.batch_size,
        drafts=part.drafts,
    )
