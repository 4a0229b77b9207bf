"""A small model's training on several cores: one process a core, each with its share of every batch.

Processes meet twice a step: to add their gradients up (synchronous data parallelism; Li et al. 2020,
https://arxiv.org/abs/2006.15704) and to tell each other the directions that Muon found; threads
would meet after every operation (components/cores.py). The result depends on how many processes there are (sums
run in another order) and on nothing else.

Processes are forked, so what was loaded is not loaded again. Inside, everybody else asks `count()`
and `rank()`, which also know a launcher's processes (torchrun).
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.stage import StageError, end_with_parent

if TYPE_CHECKING:
    import torch


def count() -> int:
    """How many processes train one model together."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; 0 is the one that tells, saves and goes on afterwards."""
    import torch.distributed as dist

    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


@contextmanager
def forked(processes: int) -> Iterator[None]:
    """`processes` processes run the body, all alike; only the first comes out of it.

    Raises:
        StageError: another one died, so that this one could not go on.
    """
    import torch
    import torch.distributed as dist

    if processes == 1:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="saqia-replicas-") as folder:
        meeting = (Path(folder) / "store").as_uri()
        own, children = _fork(processes)
        if own:
            with _ending_here():
                dist.init_process_group("gloo", init_method=meeting, rank=own, world_size=processes)
                yield
        try:
            dist.init_process_group("gloo", init_method=meeting, rank=0, world_size=processes)
            yield
        except BaseException as error:
            ended = _end(children)
            if _lost(error):
                raise StageError(
                    f"a process that trains beside this one {ended}: run it again to go on from the last "
                    "checkpoint (where memory is short, `threads: 1` in params.yaml needs less)"
                ) from error
            raise
        else:
            for child in children:
                os.waitpid(child, 0)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            torch.set_num_threads(threads)


def sum_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in place and in one message."""
    import torch
    import torch.distributed as dist

    if count() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    at = 0
    for tensor in tensors:
        tensor.copy_(flat[at : at + tensor.numel()].view_as(tensor))
        at += tensor.numel()


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
    except StageError:
        pass  # the first one meets the same and says so
    except BaseException as error:
        if not _lost(error):
            traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _lost(error: BaseException) -> bool:
    """Whether a collective failed since another process is gone."""
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or "closed by peer" in str(error))


def _end(children: Sequence[int]) -> str:
    """End the children; what became of the first that ended by itself."""
    said = "ended"
    time.sleep(0.2)  # one that was killed is just being buried
    for child in children:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        elif code := os.waitstatus_to_exitcode(status):
            said = f"was killed by signal {-code}" if code < 0 else "failed"
    return said
