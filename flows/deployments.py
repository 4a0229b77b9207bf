"""What Prefect may start by itself: `build`, `improve` on its schedule, and `improve` when corrections wait.

The deployments belong to a process work pool, so that a bigger installation can move them to
another pool (Kubernetes, a GPU machine) without a change here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events import emit_event
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import Flow
from prefect.schedules import Cron

from components.config import Settings

POOL = "local"
WAITING = "feedback.waiting"
"""Event: a turn of a task is due, since `improve.corrections` corrections wait or a person asks for it."""
AUTOMATION = "improve when corrections wait"


def deploy(root: Path, tasks: Mapping[str, Settings]) -> None:
    """Create or update the work pool, both deployments and the automation.

    Args:
        tasks: every task with its own settings; each has its own schedule.
    """
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", description="this machine"))
    # No concurrency limit: Prefect takes the slot from a run that is paused for approval, and minutes later ends it
    # for having none. That one turn runs at a time is the lock's business (flows/lock.py), by hand and scheduled alike.
    common: dict[str, Any] = {
        "work_pool_name": POOL,
        "job_variables": {"env": _environment(), "working_dir": str(root)},
        "print_next_steps": False,
        "ignore_warnings": True,
        "build": False,
        "push": False,
    }
    _flow(root, "build").deploy(
        name="build", description="Everything from nothing to the task's first champion", **common
    )
    nightly = [
        Cron(
            improve.cron,
            timezone=improve.timezone,
            parameters={"task": task, "reason": f"the schedule ({improve.cron} {improve.timezone})"},
            slug=f"nightly-{task.replace('_', '-')}",
        )
        for task, improve in ((name, settings.improve) for name, settings in tasks.items())
    ]
    deployment = _flow(root, "improve").deploy(
        name="improve", description="One turn of the wheel", schedules=nightly, **common
    )
    _automate(deployment)


def announce(task: str, waiting: int, reason: str) -> None:
    """Tell Prefect that a turn of a task is due, and why; the automation starts it."""
    emit_event(
        WAITING,
        resource={"prefect.resource.id": f"saqia.feedback.{task}", "prefect.resource.name": f"feedback on {task}"},
        payload={
            "task": task,
            "corrections": waiting,
            "reason": reason,
        },
    )


def _flow(root: Path, name: str) -> Flow[..., Any]:
    found = Flow.from_source(source=str(root), entrypoint=f"flows/{name}.py:{name}")
    assert isinstance(found, Flow)
    return found


def _automate(deployment: Any) -> None:
    """One automation: on the event, run `improve` for the task that the event names, with its reason."""
    wanted = Automation(
        name=AUTOMATION,
        description="Starts a turn when improve.corrections corrections wait",
        enabled=True,
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={WAITING},
            match={"prefect.resource.id": "saqia.feedback.*"},
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment,
                parameters={
                    "task": {"__prefect_kind": "jinja", "template": "{{ event.payload.task }}"},
                    "reason": {"__prefect_kind": "jinja", "template": "{{ event.payload.reason }}"},
                },
            )
        ],
    )
    try:
        there = Automation.read(name=AUTOMATION)
    except ValueError:
        wanted.create()
        return
    assert isinstance(there, Automation)
    wanted.id = there.id
    wanted.update()


def _environment() -> dict[str, str]:
    """What a run needs to find this installation's places; Prefect adds its own."""
    wanted = (
        "SAQIA_",
        "MLFLOW_",
        "PREFECT_HOME",
        "DVC_NO_ANALYTICS",
        "DO_NOT_TRACK",
        "GX_",
        "OMP_",
        "PATH",
        "PYTHONPATH",
    )
    return {key: value for key, value in os.environ.items() if key.startswith(wanted)}
