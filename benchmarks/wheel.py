"""Where a turn's time goes, and which share of it is orchestration rather than work.

    python -m benchmarks.wheel [--task NAME]

Reads the newest `build` and the newest `improve` of this installation in which stages ran from
Prefect's own records (`saqia demo` makes both), so it measures the real thing after the fact:

work            time in which at least one stage ran
after the graph register, report, promote, roll out: what makes a built version serve
orchestration   the rest: preparing the turn's folder, reading the graph, starting tasks,
                moving outputs from the cache, telling Prefect

Stages that ran side by side count once. What DVC and a stage's start take is part of its stage's seconds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

Span = tuple[float, float]
AFTER = ("register", "report", "promote", "refuse", "roll out")
AIM = 0.05


@dataclass(frozen=True)
class Step:
    """A task of a flow run."""

    name: str
    span: Span
    ran: bool
    """False where DVC found it unchanged."""

    @property
    def seconds(self) -> float:
        return self.span[1] - self.span[0]


@dataclass(frozen=True)
class Turn:
    """A flow run."""

    name: str
    span: Span
    steps: tuple[Step, ...]


def covered(spans: Sequence[Span]) -> float:
    """Seconds in which at least one of the spans lasts."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def shares(turn: Turn) -> dict[str, float]:
    """Seconds of work, of the steps after the graph, of orchestration, and of the whole."""
    whole = turn.span[1] - turn.span[0]
    stages = [s.span for s in turn.steps if s.ran and s.name not in AFTER]
    work = covered(stages)
    after = covered([*stages, *(s.span for s in turn.steps if s.name in AFTER)]) - work
    return {"work": work, "after the graph": after, "orchestration": whole - work - after, "whole": whole}


def newest(flow: str, task: str) -> Turn | None:
    """The newest completed run of a flow in which a stage ran, as Prefect recorded it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])), sort=FlowRunSort.START_TIME_DESC, limit=50
        )
        for run in found:
            ended = run.state is not None and run.state.is_completed()
            if not ended or run.parameters.get("task") != task or not run.start_time or not run.end_time:
                continue
            recorded = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
            steps = tuple(
                Step(
                    re.sub(r"-[0-9a-f]{3}$", "", t.name),
                    (t.start_time.timestamp(), t.end_time.timestamp()),
                    t.state is not None and t.state.name != "Cached",
                )
                for t in sorted(recorded, key=lambda t: t.start_time.timestamp() if t.start_time else 0.0)
                if t.start_time and t.end_time
            )
            if any(s.ran and s.name not in AFTER for s in steps):
                return Turn(run.name, (run.start_time.timestamp(), run.end_time.timestamp()), steps)
    return None


def show(console: Console, turn: Turn) -> None:
    """Print a run's steps and its shares."""
    table = Table(title=turn.name, title_justify="left")
    table.add_column("step")
    for column in ("from", "seconds"):
        table.add_column(column, justify="right")
    for step in turn.steps:
        began = f"{step.span[0] - turn.span[0]:.1f}"
        table.add_row(step.name, began, f"{step.seconds:.1f}" if step.ran else "cached")
    console.print(table)
    parts = shares(turn)
    for name, seconds in parts.items():
        console.print(f"  {name:<16} {seconds:7.1f} s  {seconds / parts['whole']:6.1%}")
    good = parts["orchestration"] / parts["whole"] < AIM
    console.print(f"  orchestration is {'below' if good else 'NOT below'} {AIM:.0%} of the turn\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", help="default: `task` in params.yaml")
    chosen = parser.parse_args()
    from components import config
    from flows import environment, stack
    from flows.by_hand import prefect_server

    root = environment.project_root()
    places = stack.where_it_runs(config.places(root))
    environment.enter(places)
    task = chosen.task or config.load(root / "params.yaml").task
    with prefect_server(root, places):
        turns = [turn for flow in ("build", "improve") if (turn := newest(flow, task))]
    if not turns:
        sys.exit(f"no build and no improve of {task} is on record here: run `saqia demo` first")
    console = Console(highlight=False)
    for turn in turns:
        show(console, turn)


if __name__ == "__main__":
    main()
