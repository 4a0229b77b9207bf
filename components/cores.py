"""How a model uses several cores: a small one in several processes, a larger one in several threads.

A matrix of 128 columns is too little work to divide among threads: they meet after every
operation, hundreds of times a step, and each meeting waits for the slowest, which beside any other
process on the machine is a core's whole time slice. Processes with a part of the rows each hardly meet.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SMALL = 20_000_000
"""Parameters up to which a model is given to processes. Each holds what it changes itself (a training its weights,
gradients and optimizer state), and a larger model's matrices keep threads busy between two meetings."""


def processes(model: torch.nn.Module, parts: int, threads: int) -> int:
    """How many processes should do work of so many parts on `threads` cores; 1 leaves the threads to PyTorch.

    They are forked, so that what was loaded is not loaded again: only where the system can do that.
    """
    parameters = list(model.parameters())
    forkable = sys.platform == "linux" and all(parameter.device.type == "cpu" for parameter in parameters)
    small = sum(parameter.numel() for parameter in parameters) <= SMALL
    return max(1, min(threads, parts)) if forkable and small else 1
