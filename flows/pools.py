"""Work pools of other machines: what a worker there may be asked to do, and which of them are there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

FLOW = "stage"


def offer(pool: str) -> str:
    """Create the pool and its one deployment if they are not there; the deployment's name.

    The deployment names a module, not a folder: each worker runs it from its own clone.
    """
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(
                WorkPoolCreate(name=pool, type="process", description="stages whose meta.pool in dvc.yaml names it")
            )
        client.create_deployment(
            flow_id=client.create_flow_from_name(FLOW),
            name=pool,
            work_pool_name=pool,
            entrypoint="flows.visitor.stage",
            description="One stage of dvc.yaml in the worker's own clone",
            enforce_parameter_schema=False,
        )
    return f"{FLOW}/{pool}"


def workers(client: SyncPrefectClient, pool: str) -> set[str]:
    """Names of the pool's workers that are there now."""
    return {worker.name for worker in client.read_workers_for_work_pool(pool) if worker.status.value == "ONLINE"}
