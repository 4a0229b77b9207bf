"""The proof that the service answers as the training side did: a version's golden prompts, asked again here.

Rendered by the serving path's own template and tokenizer, answered or scored by the engine
that will answer. Other token ids, or a log-probability outside the tolerance, and the version
is not served: a model asked in other tokens than it was taught with is quietly worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components import golden
from serving.engine.interface import Parity
from serving.engine.proof import TOLERANCE, first_difference
from serving.versions import Served

__all__ = ["TOLERANCE", "Parity", "prove"]


def prove(served: Served, folder: Path, timeout: float = 60.0) -> Parity:
    """Ask a loaded version its golden prompts.

    Raises:
        ModelError: golden.json is missing or damaged.
        EngineError: a golden prompt could not be answered at all.
    """
    prompts = golden.read(folder)
    if not prompts:
        return Parity(False, 0, 0.0, f"{folder / golden.FILE} holds no prompt: nothing proves this version")
    for number, prompt in enumerate(prompts, 1):
        rendered = served.prompt_ids(prompt.messages)
        if (at := first_difference(rendered, prompt.prompt_ids)) is not None:
            here, there = (_token(served, ids, at) for ids in (rendered, prompt.prompt_ids))
            problem = f"golden prompt {number}: token {at} is {here} here and {there} in training"
            return Parity(False, number, 0.0, problem + "; chat template or tokenizer differ")
    return served.engine.prove(served.version, prompts, timeout)


def _token(served: Served, ids: Sequence[int], at: int) -> str:
    if at >= len(ids):
        return "missing"
    return f"{ids[at]} {served.tokenizer.decode([ids[at]])!r}"
