"""Flow `stage`: one stage of somebody else's turn, in this worker's own clone of the project.

The commit comes from the clone's `origin`, inputs and outputs go by DVC's remote, and what the stage says goes to
Prefect's log, where the sender reads it (flows/elsewhere.py).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from components import config
from components.lifetime import end_with
from components.stage import EXPECTED, said_by_system
from flows import exchange, pipeline, transfer, workspace
from flows.elsewhere import KILLED
from flows.results import StageFailed

CLONE, WORKER = "SAQIA_CLONE", "SAQIA_WORKER"
"""Environment variables of a pool's worker: its clone, and its process, which a stage does not outlive."""


@flow(name="stage", flow_run_name="{name} of {place}", persist_result=False)
def stage(name: str, needs: list[str], task: str, ref: str, place: str) -> State[Any]:
    """Run one stage and send what it made.

    Args:
        needs: the stages whose outputs it reads.
        ref: of the clone's origin, the commit to run it on.
        place: name of the folder to work in; a stage that was killed finds there what it left.
    """
    end_with(int(os.environ[WORKER]))
    lines: Any = get_run_logger()
    lines = lines.getChild("stage")
    logging.getLogger("prefect.flow_runs.stage").setLevel(logging.INFO)
    root = Path(os.environ[CLONE])
    try:
        made = exchange.fetched(root, ref, f"visiting-{place}", task, config.places(root))
        transfer.pull(made.root, needs)
        lines.info("begins in %s on %s", made.root, os.uname().nodename)
        outcome = pipeline.start_and_follow(name, str(made.root), dict(made.env), lines.info)
        transfer.push_made(made.root, name)
        workspace.remove_stopped(made)  # the folders of earlier turns
    except StageFailed as error:
        return Failed(name=KILLED if error.retryable else "Failed", message=str(error))
    except EXPECTED as error:
        return Failed(message=f"{name}: {error}")
    except OSError as error:
        return Failed(message=f"{name}: {said_by_system(error)}")
    return Completed(message=outcome)
