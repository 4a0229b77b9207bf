"""Running a flow from the command line: against the stack's Prefect server, or one for the occasion."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from components import config
from components.config import Places
from components.stage import StageError
from flows import environment, stack
from flows.borrowed import borrow, give_back


@contextmanager
def prefect_server(root: Path, places: Places) -> Iterator[Places]:
    """A Prefect server: the one that runs, else one that ends with this command. Yields where it is."""
    if stack.running(places, "prefect") is None:
        places = places.model_copy(update={"prefect_port": stack.free_port(places.prefect_port)})
        environment.enter(places)
    borrow(root, places, "prefect")
    try:
        yield places
    finally:
        give_back(places, "prefect")


def run_flow(root: Path, places: Places, name: str, task: str, reason: str) -> int:
    """Run `build` or `improve` with progress on the terminal; return the exit code."""
    from flows import outcome
    from flows.terminal import Terminal

    outcome.check(root, task)
    terminal = Terminal()
    with ExitStack() as ended:
        with terminal.step("Prefect server"), getting_ready(task):
            ended.enter_context(prefect_server(root, places))
        state = follow(terminal, name, task, reason)
    good = state.is_completed()
    terminal.console.print(state.message or state.name, style="green" if good else "red", markup=False)
    if good and name == "build":
        outcome.tell(terminal.console, root, places, task)
    return 0 if good else 1


@contextmanager
def getting_ready(task: str, then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Import what a flow needs, and open the registry and the store, beside whatever is done meanwhile; then `then`.

    An error in here comes again, with its words, where the flow does the same.
    """

    def work() -> None:
        _get_ready(task)
        then()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _get_ready(task: str) -> None:
    with suppress(Exception):
        quiet_prefect()
        import dvc.repo  # noqa: F401

        import flows.build
        import flows.improve  # noqa: F401
        from components import registry
        from components.feedback.store import Store

        registry.champion(task)
        with Store(config.places().database_url):
            pass


def follow(terminal: Any, name: str, task: str, reason: str) -> Any:
    """Run a flow in this process with `terminal` following it; return its final state.

    Raises:
        StageError: the Prefect server went away meanwhile.
    """
    import httpx

    quiet_prefect()
    from flows import progress
    from flows.build import build
    from flows.improve import improve

    flow = {"build": build, "improve": improve}[name]
    try:
        with terminal.running(f"{name} {task}"), progress.listening(terminal):
            return flow(task=task, reason=reason, return_state=True)
    except httpx.TransportError as error:
        raise StageError(
            f"the Prefect server does not answer any more ({error}); what was done is kept: run the same command again "
            f"(its log: {stack.log_file(config.places(), 'prefect')})"
        ) from error


def quiet_prefect() -> None:
    """Prefect's own lines go to its server and UI; the terminal shows ours. It reads this when a flow begins."""
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
