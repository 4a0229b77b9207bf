"""How a flow run begins and ends, whichever flow it is: the task, the lock, and errors as states in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.client.schemas import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from components import config
from components.evaluation.plan import plan
from components.stage import EXPECTED, said_by_system
from components.task import load as load_task
from components.task import settings as settings_of
from flows import artifacts, environment, pipeline, progress
from flows.lock import Busy, Needless, one_turn
from flows.results import Result
from flows.workspace import Workspace

Body = Callable[[Path, str, config.Places], State[Any]]


def enter(
    what: str,
    task: str | None,
    reason: str,
    body: Body,
    meanwhile: Callable[[str, config.Places, str], None] = lambda *_: None,
) -> State[Any]:
    """Run `body(root, task, places)` as the only turn of this installation; return its state, or why there is none.

    Args:
        what: what the lock says is running, e.g. `turn`.
        meanwhile: called with task, places and holder while another process holds the lock; raises
            `Needless` where there is nothing to wait for.
    """
    logger = get_run_logger()
    root = environment.project_root()
    places = config.places(root)
    try:
        name = load_task(task or config.load(root / "params.yaml").task, root).name
        logger.info("%s of %s: %s", what, name, reason)
        busy = settings_of(name, root).improve.when_busy

        def say(text: str) -> None:
            logger.info(text)
            progress.line(what, text)

        with one_turn(places.home, f"{what} of {name}", busy, say, lambda held: meanwhile(name, places, held)):
            return body(root, name, places)
    except Needless as error:
        return Completed(name="Nothing to do", message=str(error))
    except Busy as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:
        return Failed(message=str(error))
    except OSError as error:
        return Failed(message=said_by_system(error))


def called(form: str) -> Callable[[], str]:
    """What a flow's run is called in Prefect: its parameters filled in, and where no task was given, params.yaml's."""

    def name() -> str:
        given = dict(flow_run.parameters or {})
        if given.get("task") is None:
            try:
                given["task"] = config.load(environment.project_root() / "params.yaml").task
            except (*EXPECTED, environment.NoProject):
                given["task"] = "the default task"
        return form.format(**given)

    return name


def run_graph(made: Workspace, name: str) -> list[Result]:
    """Run the graph with progress in Prefect's UI and on the terminal."""
    bar = artifacts.Progress(name)
    ended: list[Result] = []
    nodes = pipeline.graph(made)
    gates = {node.name for node in nodes if node.gate}

    def finished(result: Result) -> None:
        if result.name in gates and result.outcome in ("ran", "cached"):
            _say_what_can_be_proven(made, name)
        ended.append(result)
        bar.show(ended, len(nodes))
        progress.finished(result)

    return pipeline.run(made, show=progress.line, finished=finished, known=nodes)


def _say_what_can_be_proven(made: Workspace, name: str) -> None:
    """The data is known and nothing is trained yet: the moment to say what the verdict will be able to show."""
    for text in plan(load_task(name, made.root), made.settings(), made.root):
        get_run_logger().info(text)
        progress.note(text)


def refusal(results: list[Result], made: Workspace) -> str:
    """Why the graph did not get through, what was finished all the same and what was not begun, in one line."""
    said = "; ".join(r.error for r in results if r.outcome == "failed")
    finished = [r.name for r in results if r.outcome in ("ran", "cached")]
    skipped = [r.name for r in results if r.outcome == "skipped"]
    if finished:
        said += f"; finished, since they do not need it: {', '.join(finished)}"
    if skipped:
        said += f"; not begun: {', '.join(skipped)}"
    return f"{said} (the turn's folder is kept: {made.root})"
