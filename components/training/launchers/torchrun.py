"""`train.launcher: torchrun`: several processes of this machine, under PyTorch's elastic agent.

The stage's own process is the agent: it starts one process a GPU with the stage's own command, watches them, and where
one dies ends the others and starts all of them again, which go on from the last checkpoint.
https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from components import config
from components.stage import StageError
from components.training.launchers import member

log = logging.getLogger(__name__)


def launch(settings: config.Settings, work: Callable[[config.Settings], None]) -> None:
    """Run the stage in `train.processes` processes; `work`, where this one is enough.

    Raises:
        StageError: as `start`.
    """
    import torch

    gpus, wanted = torch.cuda.device_count(), settings.train.processes
    if gpus and wanted and wanted > gpus:
        raise StageError(f"train.processes = {wanted}, but this machine has {gpus} GPUs: each process needs its own")
    processes = member.how_many(wanted, gpus, settings.threads)
    if processes == 1:
        work(settings)
        return
    start(("-m", "components", "training"), processes, settings.train.restarts)


def start(arguments: Sequence[str], processes: int, restarts: int) -> None:
    """Run `python arguments` in so many processes until all have ended well.

    Raises:
        StageError: what one of them said that it cannot do; or some died once more than `restarts` times.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what it says, the stage says shorter
    log.info("train.launcher: torchrun: %d processes", processes)
    wanted = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=restarts,
    )
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "refused"
        before = {name: os.environ.get(name) for name in (member.NOTE, "OMP_NUM_THREADS")}
        os.environ[member.NOTE] = str(note)
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # until the training says how many
        try:
            elastic_launch(wanted, sys.executable)(*arguments)
        except ChildFailedError as error:
            member.raise_refusal(note)
            rank, failure = error.get_first_failure()
            code = failure.exitcode
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise StageError(
                f"train.launcher: torchrun: process {rank} of {processes} {ended}, and train.restarts: {restarts} is "
                "used up; what it said stands above; run it again to go on from the last checkpoint"
            ) from error
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        member.raise_refusal(note)
