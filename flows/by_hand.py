"""Running a flow from the command line: against the stack's Prefect server, or one for the occasion."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.config import Places
from flows import environment, stack


@contextmanager
def prefect_server(root: Path, places: Places) -> Iterator[Places]:
    """A Prefect server: the one that runs, else one that ends with this command. Yields where it is."""
    if stack.running(places, "prefect"):
        yield places
        return
    places = places.model_copy(update={"prefect_port": stack.free_port(places.prefect_port)})
    environment.enter(places)
    stack.start(root, places, [stack.one(places, "prefect")], say=lambda _: None)
    try:
        yield places
    finally:
        stack.stop(places, "prefect")


def run_flow(root: Path, places: Places, name: str, task: str, reason: str) -> int:
    """Run `build` or `improve` with progress on the terminal; return the exit code."""
    from flows.terminal import Terminal

    terminal = Terminal()
    with terminal.step("Prefect server"):
        server = prefect_server(root, places)
        places = server.__enter__()
    try:
        state = follow(terminal, name, task, reason)
    finally:
        server.__exit__(None, None, None)
    good = state.is_completed()
    terminal.console.print(state.message or state.name, style="green" if good else "red", markup=False)
    return 0 if good else 1


def follow(terminal: Any, name: str, task: str, reason: str) -> Any:
    """Run a flow in this process with `terminal` following it; return its final state."""
    quiet_prefect()
    from flows import progress
    from flows.build import build
    from flows.improve import improve

    flow = {"build": build, "improve": improve}[name]
    with terminal.running(f"{name} {task}"), progress.listening(terminal):
        return flow(task=task, reason=reason, return_state=True)


def quiet_prefect() -> None:
    """Prefect's own lines go to its server and UI; the terminal shows ours. It reads this when a flow begins."""
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
