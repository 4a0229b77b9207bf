"""What a training does about memory: what it keeps, and how much it took at most."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import TYPE_CHECKING

from components.cores import SMALL

if TYPE_CHECKING:
    import torch


KEPT = 32 << 20
"""Bytes up to which a freed block is kept: the most that glibc takes (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX)."""


def keep_freed(model: torch.nn.Module) -> None:
    """Have the C library keep what a small model's step frees: the next one asks for blocks of the same size.

    By default glibc gives blocks of some megabytes, such as a batch's logits, back to the system at once, and gets
    them again page by page, each filled with zeros: a tenth of a pre-training step of the local base. A larger model's
    blocks are larger than can be kept, and its memory matters more than these pages. No result depends on it.
    """
    if sys.platform != "linux" or sum(parameter.numel() for parameter in model.parameters()) > SMALL:
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return  # another C library
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    library.mallopt(mmap_threshold, KEPT)
    library.mallopt(trim_threshold, 32 * KEPT)
    library.mallopt(top_pad, 2 * KEPT)


def peak_megabytes() -> float:
    """Peak so far, in MiB: of the GPU's memory where there is one, else of this process's resident memory."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
