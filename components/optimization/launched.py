"""The processes of a training that torchrun, accelerate or Ray has started, on one machine or several.

They meet by torch.distributed: gloo between CPUs, NCCL between GPUs. Each holds the whole model and optimizer;
gradients are added up once the batch's share has gone backwards, large tensors where they lie and the small ones
(an adapter's) together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # public, but not said to mypy
from torch.distributed.rendezvous import rendezvous

from components.optimization.replicas import Lost

WAIT = timedelta(hours=1)
"""Longest time between two meetings: all wait while the first looks at held-out rows. One that dies is noticed at once,
by gloo through its closed connection, elsewhere by who launched it."""
LARGE = 2**20
"""Numbers from which a tensor is added up by itself: copying it beside others would cost more than a message."""


def beside() -> int:
    """How many of the processes share this machine, this one included."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group() -> Iterator[Launched]:
    """Meet the other processes, by what the launcher has put into the environment; Ray has had them meet already."""
    if dist.is_initialized():
        yield Launched()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    store, rank, count = next(rendezvous("env://", timeout=WAIT))
    # torchrun keeps one store for all its attempts, in which this one would find the addresses of those that died
    store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank, world_size=count, timeout=WAIT)
    try:
        yield Launched()
    finally:
        dist.destroy_process_group()


class Launched:
    """A `replicas.Group` over torch.distributed's process group."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """As `replicas.Group.sum_up`; tensors may lie on the CPU or on this process's GPU."""
        large = [t for t in tensors if t.numel() >= LARGE and t.is_contiguous() and t.device.type == self._device.type]
        alone = {id(tensor) for tensor in large}
        small = [tensor for tensor in tensors if id(tensor) not in alone]
        try:
            waiting = [dist.all_reduce(tensor, async_op=True) for tensor in large]
            if small:
                flat = torch.cat([tensor.detach().reshape(-1).to(self._device, torch.float32) for tensor in small])
                dist.all_reduce(flat)
                for tensor, part in zip(small, flat.split([tensor.numel() for tensor in small]), strict=True):
                    tensor.copy_(part.view_as(tensor))
            for work in waiting:
                work.wait()
        except RuntimeError as error:
            raise Lost(f"a process that trains beside this one is gone ({error})") from error
