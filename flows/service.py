"""What the flows know of the running service: what it says about itself over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from components.config import Places
from components.registry import Version
from components.stage import StageError
from flows import environment

ROLL_OUT_SECONDS = 180.0


def wait_until_served(version: Version, places: Places, seconds: float = ROLL_OUT_SECONDS) -> str:
    """`roll_out` without Prefect."""
    started = time.monotonic()
    with httpx.Client(timeout=10) as client:
        while True:
            ready = readiness(places, client)
            if ready is None:
                return "no service is running; the next start serves it"
            if ready.get("task") not in (None, version.task):
                return f"the running service serves task {ready['task']}; nothing to roll out"
            if str(ready.get("version")) == version.version:
                return f"the service answers with version {version.version} after {time.monotonic() - started:.1f} s"
            refused = ready.get("refused") or {}
            if str(refused.get("version")) == version.version:
                raise StageError(f"the service refuses version {version.version}: {refused.get('reason')}")
            if time.monotonic() - started > seconds:
                raise StageError(
                    f"the service still answers with version {ready.get('version')} after {seconds:.0f} s; "
                    "see <home>/logs/service.log, or `saqia rollback`"
                )
            time.sleep(0.2)


def readiness(places: Places, client: httpx.Client | None = None) -> dict[str, Any] | None:
    """What the running service says about itself, or None where none runs; `client` where it is asked often."""
    try:
        url = environment.service_url(places) + "/readyz"
        found = (client.get(url) if client is not None else httpx.get(url, timeout=10)).json()
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def reports_folder(places: Places, task_name: str) -> Path:
    """Where the reports of a task's versions are kept."""
    return places.home / "reports" / task_name
