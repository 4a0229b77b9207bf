"""What a training does otherwise where its products are in bfloat16, which on a GPU they are.

- The base below an adapter (lora) is held in bfloat16: half the memory, and no weight is converted at every step.
- On a GPU rows lie end to end instead of padded (components/training/varlen.py).
- On a GPU a large model's layers are compiled: one kernel for what are many (norms, rotations, gates, residuals).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch

from components.cores import SMALL
from components.training import chunked, varlen
from components.training.classifier import Classifier
from components.training.completion import causal_model
from components.training.methods import LAYER

if TYPE_CHECKING:
    from components.config import TrainSettings

log = logging.getLogger(__name__)


def prepare(model: torch.nn.Module, wanted: TrainSettings) -> None:
    """Before anything is computed with a model whose training computes in bfloat16."""
    policy = model.policy if isinstance(model, Classifier) else model
    if wanted.method == "lora":
        hold_frozen(policy)
    varlen.adopt(causal_model(policy))


def hold_frozen(model: torch.nn.Module) -> None:
    """Round what is not trained to bfloat16, which its products would do at every step."""
    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.dtype is torch.float32:
            parameter.data = parameter.data.to(torch.bfloat16)


@contextmanager
def compiled(model: torch.nn.Module, wanted: Literal["auto"] | bool, backend: str = "inductor") -> Iterator[None]:
    """Have a model's layers compiled as long as this lasts; the first step then takes half a minute longer.

    Layers are alike, so the first one's code serves all. `auto`: on a GPU with what it takes to compile for it, and a
    model larger than `cores.SMALL`.
    """
    parameters = list(model.parameters())
    if wanted == "auto":
        wanted = sum(parameter.numel() for parameter in parameters) > SMALL and parameters[0].is_cuda
        if wanted and not chunked.compiles(parameters[0].device):
            wanted = False
            log.info("layers are not compiled, which is slower: there is no Triton or no C compiler (gcc, clang, CC)")
    found = layers(model) if wanted else []
    for layer in found:
        layer.compile(backend=backend)
    try:
        yield
    finally:
        for layer in found:
            layer._compiled_call_impl = None


def layers(model: torch.nn.Module) -> list[Any]:
    """The numbered layers of a model's body; none where it has no such."""
    policy = causal_model(model.policy if isinstance(model, Classifier) else model)
    named = ((LAYER.search(name), module) for name, module in policy.named_modules())
    return [module for match, module in named if match and match.end() == len(match.string)]
