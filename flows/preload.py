"""This process's own preloaded process, which its stages begin in (components/preloaded.py)."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping

from components.preloaded import VARIABLE

STOP_SECONDS = 5.0
_started: tuple[str, subprocess.Popen[bytes]] | None = None


def start(env: Mapping[str, str] | None = None) -> None:
    """Begin to import what stages need, beside whatever else there is to do; again, it does nothing.

    Nor where the environment names one already, which whoever started this process runs for several.
    It ends with this process, and with the thread that calls this: call it from the main one.
    """
    global _started
    if os.environ.get(VARIABLE) or (_started is not None and _started[1].poll() is None):
        return
    name = f"saqia-{uuid.uuid4().hex}"
    process = subprocess.Popen(
        [sys.executable, "-m", "components.preloaded", name],
        env={**(env or os.environ), "PYTHONUNBUFFERED": "1", "SAQIA_STARTED_BY": str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    _started = (name, process)
    atexit.register(_stop, process)  # the kernel would end it too, but after this process, for others to wonder at


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def variables() -> dict[str, str]:
    """What a stage's environment says of the preloaded process."""
    return {VARIABLE: _started[0]} if _started else {}
