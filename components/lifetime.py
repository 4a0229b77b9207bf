"""A process that lives no longer than the one that started it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil


def end_with_parent(signum: int = signal.SIGKILL) -> None:
    """Have this process sent `signum` when the one that started it dies, however that dies.

    Else `kill -9` of DVC or of a flow leaves its stage running for nobody. On Linux the kernel
    does it (prctl(2), PR_SET_PDEATHSIG); elsewhere a thread looks twice a second. DVC starts a
    stage through the user's shell, and some shells (dash) stay between the two: then a thread
    looks after DVC itself.
    """
    parent = psutil.Process(os.getppid())
    starter = _behind_shell(parent)
    if starter:
        _watch(starter, signum)
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        if ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, int(signum), 0, 0, 0) == 0:
            told = os.environ.get("SAQIA_STARTED_BY", "")
            if told.isdigit() and not Path(f"/proc/{told}").exists():
                os.kill(os.getpid(), signum)  # it died before we could ask to be told
            return
    _watch(parent, signum)


def end_with(process: int, signum: int = signal.SIGTERM) -> None:
    """Have this process sent `signum` when another one, which need not have started it, is gone."""
    try:
        _watch(psutil.Process(process), signum)
    except psutil.NoSuchProcess:
        os.kill(os.getpid(), signum)


SHELLS = frozenset({"sh", "dash", "ash", "ksh", "bash", "zsh", "fish"})


def _behind_shell(parent: psutil.Process) -> psutil.Process | None:
    """Who started the shell that did nothing but start this process; None if a shell didn't."""
    try:
        command = parent.cmdline()
        if len(command) >= 3 and command[-2] == "-c" and Path(command[0]).name in SHELLS:
            return parent.parent()
    except psutil.Error:
        pass
    return None


def _watch(process: psutil.Process, signum: int) -> None:
    def alive() -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def look() -> None:
        while alive():
            time.sleep(0.5)
        os.kill(os.getpid(), signum)

    threading.Thread(target=look, daemon=True).start()
