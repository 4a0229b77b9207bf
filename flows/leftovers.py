"""Programs of this installation that run though no pid file names them: what an interrupted command left behind.

A server starts a process of its own for its work, which can outlive it, and a command can be killed between starting a
program and noting its process. Both keep a port that nobody seems to hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from components.config import Places

MARK = "SAQIA_PROGRAM"
"""Environment variable that names the program which a process was started as; its own processes inherit it."""
COMMANDS = {
    "prefect": (("prefect", "server"), ("prefect.server.api.server:create_app",)),
    "mlflow": (("mlflow", "server"), ("mlflow.server",)),
    "service": (("-m", "serving"),),
    "worker": (("-m", "flows.worker"),),
}
"""Words in a program's command line. A worker's flow runs inherit its environment, too, and are no worker."""
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Leftover:
    """One process that was left behind."""

    process: psutil.Process
    ports: tuple[int, ...]
    """Where it listens."""

    def __str__(self) -> str:
        where = f", listening on port {', '.join(map(str, self.ports))}" if self.ports else ""
        return f"process {self.process.pid}{where}"


def find(places: Places, name: str, leader: int | None) -> list[Leftover]:
    """The processes of the program called `name` that belong to no running one.

    Args:
        leader: the program's process as its pid file names it; what is in its session belongs to it.
    """
    result = []
    for process in psutil.process_iter():
        try:
            if process.pid != leader and _is(process, places, name) and os.getsid(process.pid) != leader:
                result.append(Leftover(process, _ports(process)))
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    return result


def end(leftovers: Iterable[Leftover]) -> None:
    """End them: politely first."""
    processes = [leftover.process for leftover in leftovers]
    for signal in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            try:
                signal(process)  # psutil asks first whether the pid is still the same process
            except psutil.Error:
                continue
        _, processes = psutil.wait_procs(processes, timeout=STOP_SECONDS)


def _is(process: psutil.Process, places: Places, name: str) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    environment = process.environ()
    if environment.get(MARK) != name or environment.get("SAQIA_HOME") != str(places.home):
        return False
    command, known = process.cmdline(), COMMANDS.get(name)
    return known is None or any(_holds(command, words) for words in known)


def _holds(command: list[str], words: tuple[str, ...]) -> bool:
    """Whether the words stand one after another in a command line; a single one may be the beginning of a word."""
    if len(words) == 1:
        return any(part.startswith(words[0]) for part in command)
    return any(tuple(command[i : i + len(words)]) == words for i in range(len(command)))


def _ports(process: psutil.Process) -> tuple[int, ...]:
    return tuple(
        sorted(
            {c.laddr.port for c in process.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN and c.laddr}
        )
    )
