"""One training in several processes, each with its share of every batch.

Processes meet twice a step: to add their gradients up (synchronous data parallelism; Li et al. 2020,
https://arxiv.org/abs/2006.15704) and to tell each other the directions that Muon found; threads
would meet after every operation (components/cores.py). The result depends on how many processes there are (sums
run in another order) and on nothing else. Inside, everybody else asks `count()` and `rank()`.

A small model on a CPU has them forked at the loop (`forked`), so what was loaded is not loaded again, and they meet in
memory that they share: a meeting of gloo, PyTorch's own for CPUs, takes 5 ms here and this one 0.3, where a step is
60. On several GPUs or machines somebody else starts them (`train.launcher`), each from the beginning, and
they meet by torch.distributed (components/optimization/launched.py); the loop is the same.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from components import cores
from components.lifetime import end_with_parent
from components.stage import StageError

if TYPE_CHECKING:
    import torch


class Lost(RuntimeError):
    """Another process of the group is gone."""


class Done(Exception):
    """This process has done its part of a launched training: the first one alone goes on."""


class Group(Protocol):
    """The processes that train one model together, as one of them sees them."""

    rank: int
    count: int

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place: the same bits for everybody.

        Raises:
            Lost: one of them is gone.
        """


class Forked:
    """A group of forked processes, which meet in shared memory.

    Each has two rows of the shared memory and uses them in turn: nobody can come to the meeting after next
    before all have left this one, so a row is never written while somebody still reads it.
    """

    def __init__(self, processes: int, room: int) -> None:
        """Args: room: the most numbers (float32) that are added up at once."""
        import torch

        self.rank, self.count = 0, processes
        shared = mmap.mmap(-1, 2 * processes * room * 4)  # stays open as long as the tensor does
        self._rows = torch.frombuffer(shared, dtype=torch.float32).view(2, processes, room)
        self._pairs = [socket.socketpair() for _ in range(processes - 1)]
        self._peers = [own for own, _ in self._pairs]
        self._meetings = 0

    def become(self, rank: int) -> None:
        """Tell a forked process which one it is; 0 stays the first."""
        self.rank = rank
        for number, (first, other) in enumerate(self._pairs, 1):
            if rank == 0:
                other.close()
            else:
                first.close()
                if number != rank:
                    other.close()
        if rank:
            self._peers = [self._pairs[rank - 1][1]]

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """As `Group.sum_up`, of float32 tensors, in one meeting and in the order of the ranks."""
        import torch

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        rows = self._rows[self._meetings % 2, :, : flat.numel()]
        self._meetings += 1
        rows[self.rank] = flat
        self._meet()
        total = rows.sum(dim=0)
        for tensor, part in zip(tensors, total.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def _meet(self) -> None:
        """Wait until all are here: everybody tells the first one, which then tells everybody."""
        try:
            if self.rank:
                self._peers[0].sendall(b".")
            if not all(peer.recv(1) for peer in self._peers):
                raise Lost
            if self.rank == 0:
                for peer in self._peers:
                    peer.sendall(b".")
        except OSError as error:
            raise Lost from error

    def close(self) -> None:
        """Whoever waits for this process learns that it comes no more."""
        for peer in self._peers:
            peer.close()


_group: Group | None = None


def count() -> int:
    """How many processes train one model together."""
    return _group.count if _group else 1


def rank() -> int:
    """Which of them this one is; 0 is the one that tells, saves and goes on afterwards."""
    return _group.rank if _group else 0


def sum_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each float32 tensor by its sum over all processes, in place."""
    if _group is not None:
        _group.sum_up(tensors)


def among(model: torch.nn.Module, parts: int, threads: int) -> int:
    """How many processes share work of so many parts: those that were launched, else what `cores.processes` says.

    Raises:
        StageError: more were launched than there are parts.
    """
    if _group is None:
        return cores.processes(model, parts, threads)
    if _group.count > parts:
        raise StageError(
            f"a batch of {parts} rows cannot be shared out among {_group.count} processes: raise train.batch_size or "
            "lower train.processes in params.yaml"
        )
    return _group.count


@contextmanager
def joined(group: Group) -> Iterator[None]:
    """Train as one of the processes that somebody has launched."""
    global _group
    _group = group
    try:
        yield
    finally:
        _group = None


def agree(value: int) -> bool:
    """Whether all processes have this same number (below 2²⁴)."""
    import torch

    if _group is None:
        return True
    told = torch.zeros(_group.count, dtype=torch.float32)
    told[_group.rank] = value
    sum_up([told])
    return bool((told == value).all())


def of_first(value: float) -> float:
    """What the first process has, a number that float32 holds."""
    import torch

    numbers = torch.tensor([value if rank() == 0 else 0.0], dtype=torch.float32)
    sum_up([numbers])
    return numbers.item()


@contextmanager
def forked(processes: int, room: int) -> Iterator[None]:
    """`processes` processes run the body, all alike; only the first comes out of it.

    Where somebody has launched them, they are there already.

    Args:
        room: the most numbers that `sum_up` gets at once.

    Raises:
        StageError: another one died, so that this one could not go on.
        Done: in all launched processes but the first, at the end.
    """
    import torch

    global _group
    if _group is not None:
        yield
        alone, _group = _group.rank == 0, None  # from here on the first has nobody to meet
        if not alone:
            raise Done
        return
    if processes == 1:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    group = Forked(processes, room)
    own, children = _fork(processes)
    group.become(own)
    _group = group
    if own:
        with _ending_here():
            yield
    try:
        yield
    except BaseException as error:
        group.close()
        ended = _end(children)
        if isinstance(error, Lost):
            raise StageError(
                f"a process that trains beside this one {ended}: run it again to go on from the last checkpoint "
                "(where memory is short, `threads: 1` in params.yaml needs less)"
            ) from error
        raise
    else:
        group.close()
        for child in children:
            os.waitpid(child, 0)
    finally:
        _group = None
        torch.set_num_threads(threads)


def _fork(processes: int) -> tuple[int, list[int]]:
    """This process's number and, in the first one, the ids of the others; they end when it does."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # else each of them writes again what was not written yet
    children: list[int] = []
    for number in range(1, processes):
        pid = os.fork()
        if pid == 0:
            gc.freeze()  # what the first one made is its to put away
            end_with_parent()
            return number, []
        children.append(pid)
    return 0, children


@contextmanager
def _ending_here() -> Iterator[None]:
    """Leave the process at the end of the body, whatever that is: what it shares with the first one stays untouched."""
    code = 1
    try:
        yield
        code = 0
    except (StageError, Lost):
        pass  # the first one meets the same, or is gone
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _end(children: Sequence[int]) -> str:
    """End the children; what became of the first that ended by itself."""
    said = "ended"
    time.sleep(0.2)  # one that was killed is just being buried
    for child in children:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        elif (code := os.waitstatus_to_exitcode(status)) and said == "ended":
            said = f"was killed by signal {-code}" if code < 0 else "failed"
    return said
