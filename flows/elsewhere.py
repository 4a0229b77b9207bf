"""A stage that another machine runs: sent to the work pool that dvc.yaml's `meta.pool` names, followed, and fetched.

Code, parameters and dvc.lock go as a commit (flows/exchange.py), inputs and outputs by DVC's remote
(flows/transfer.py), and the request as a run of the pool's deployment, which a worker there takes
(flows/pool_worker.py, flows/visitor.py).
Only pools that `improve.pools` lists are used; the stages of all others run here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterTimestamp
from prefect.client.schemas.objects import Log, State
from prefect.client.schemas.sorting import LogSort
from prefect.deployments import run_deployment
from prefect.states import Cancelled, Cancelling, Crashed

from components.config import ImproveSettings
from components.stage import StageError
from flows import exchange, pools, transfer
from flows.results import Node, StageFailed
from flows.workspace import Workspace

LOOK_SECONDS = 1.0
KILLED = "Killed"
"""Name of the state of a stage that was killed there, rather than gave up."""
LATE = timedelta(seconds=15)
"""By how much a line may come after one that is younger."""
PAGE = 200
LINES = "prefect.flow_runs.stage"
"""Logger whose lines the sender passes on: the stage's own."""


def run(
    node: Node,
    workspace: Workspace,
    settings: ImproveSettings,
    line: Callable[[str], None],
    stopped: Callable[[], bool],
) -> bool:
    """Have the stage made by a worker of its pool; what it made is in this project's cache then.

    Returns:
        False if it had been made before, and nobody was asked.

    Raises:
        StageFailed: the stage's own line; that the worker died (then it may be tried again), or that none came;
            that git's origin or DVC's remote refuses.
    """
    try:
        return _run(node, workspace, settings, line, stopped)
    except StageFailed:
        raise
    except StageError as error:
        raise StageFailed(node.name, f"{node.name}: {error}", retryable=False) from error


def _run(
    node: Node,
    workspace: Workspace,
    settings: ImproveSettings,
    line: Callable[[str], None],
    stopped: Callable[[], bool],
) -> bool:
    assert node.pool
    if transfer.made_before(workspace.root, node.name):
        return False
    transfer.push(workspace.root, node.needs)
    deployment = pools.offer(node.pool)
    with exchange.published(workspace, uuid.uuid4().hex) as ref, get_client(sync_client=True) as client:
        asked: Any = run_deployment(
            deployment,
            parameters={
                "name": node.name,
                "needs": list(node.needs),
                "task": workspace.task,
                "ref": ref,
                "place": workspace.name,
            },
            timeout=0,
            as_subflow=False,
            flow_run_name=f"{node.name} of {workspace.name}",
        )
        line(f"sent to work pool {node.pool}")
        end = _follow(client, asked.id, node, settings.pool_minutes, line, stopped)
    if not end.is_completed():
        said = end.message or end.name or "it ended without a word"
        raise StageFailed(node.name, said, retryable=end.is_crashed() or end.name == KILLED)
    if not transfer.made_elsewhere(workspace.root, node.name):
        raise StageFailed(
            node.name,
            f"{node.name}: work pool {node.pool} says that it is made, but DVC's remote here does not hold it: is the "
            "worker's remote the same one (dvc remote list)?",
            retryable=False,
        )
    return True


def _follow(
    client: SyncPrefectClient,
    run_id: UUID,
    node: Node,
    minutes: float,
    line: Callable[[str], None],
    stopped: Callable[[], bool],
) -> State[Any]:
    """Pass the run's lines on until it has ended; its last state.

    Raises:
        StageFailed: its worker is gone, or none came within `minutes`, or this flow is being stopped.
    """
    assert node.pool
    lines, missing_since = _Lines(client, run_id, line), 0.0
    while True:
        asked = client.read_flow_run(run_id)
        lines.pass_on()
        state = asked.state
        assert state
        if state.is_final():
            return state
        there, taken_by = pools.workers(client, node.pool), asked.labels.get("prefect.worker.name")
        if stopped():
            client.set_flow_run_state(run_id, Cancelled() if taken_by is None else Cancelling(), force=True)
            raise StageFailed(node.name, f"{node.name}: interrupted", retryable=False)
        if taken_by is not None and taken_by not in there:
            said = f"{node.name}: worker {taken_by} of work pool {node.pool} is gone: it died, or cannot reach Prefect"
            client.set_flow_run_state(run_id, Crashed(message=said), force=True)
            raise StageFailed(node.name, said, retryable=True)
        if there or taken_by is not None:
            missing_since = 0.0
        elif not missing_since:
            missing_since = time.monotonic()
            line(
                f"no worker of work pool {node.pool} is there: `saqia worker --pool {node.pool}` starts one; "
                f"waiting for it, {minutes:g} minutes at most"
            )
        elif time.monotonic() - missing_since > minutes * 60:
            client.set_flow_run_state(run_id, Cancelled(), force=True)
            raise StageFailed(
                node.name,
                f"{node.name}: no worker of work pool {node.pool} came within {minutes:g} minutes "
                f"(improve.pool_minutes): start one with `saqia worker --pool {node.pool}`, or take the pool out of "
                "improve.pools in params.yaml",
                retryable=False,
            )
        time.sleep(LOOK_SECONDS)


class _Lines:
    """A run's own lines, each told once; they come in batches, and one may come after later ones."""

    def __init__(self, client: SyncPrefectClient, run_id: UUID, line: Callable[[str], None]) -> None:
        self._client, self._run_id, self._line = client, run_id, line
        self._told: set[UUID] = set()
        self._since = datetime.fromtimestamp(0, UTC)

    def pass_on(self) -> None:
        """Tell what has come."""
        wanted = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[self._run_id]), timestamp=LogFilterTimestamp(after_=self._since)
        )
        offset, entries = 0, list[Log]()
        while offset == len(entries):  # a page was full
            page = self._client.read_logs(wanted, limit=PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
            entries += page
            offset += PAGE
        for entry in entries:
            if entry.id not in self._told:
                self._told.add(entry.id)
                if entry.name == LINES:
                    self._line(entry.message)
        if entries:
            self._since = max(self._since, entries[-1].timestamp - LATE)
