"""How much memory this process has taken at most, and whether products of bfloat16 pay on this machine."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Literal

from components.cores import SMALL

if TYPE_CHECKING:
    import torch


def peak_megabytes() -> float:
    """Peak so far, in MiB: of the GPU's memory where there is one, else of this process's resident memory."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def bfloat16(wanted: Literal["auto", "float32", "bfloat16"], model: torch.nn.Module) -> bool:
    """Whether a training computes its products in bfloat16.

    auto: on a GPU that can, and on a CPU with instructions for it where the model is large enough to be held up by
    its products; without such instructions bfloat16 is slower than float32.
    """
    import torch

    if wanted != "auto":
        return wanted == "bfloat16"
    if next(model.parameters()).is_cuda:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    large = sum(parameter.numel() for parameter in model.parameters()) > SMALL
    return large and torch.cpu._is_avx512_bf16_supported()
