"""Does the wheel keep turning? Ten turns in a row, their verdicts held against the truth.

    python -m benchmarks.turns [--turns 10] [--seeds …]        ten turns, beside version 1 and an oracle
    python -m benchmarks.turns --objective dpo --turns 3       the same with another objective
    python -m benchmarks.turns --planted 2                     bad candidates: 2 of each kind a seed
    python -m benchmarks.turns --demo 20 --threads 1 2         README's first turn, 20 seeds by 1 and by 2 threads
    python -m benchmarks.turns --tables                        what was measured so far, again; nothing runs

A seed's wheel runs in a copy of the project (below `--keep`), driven by the flows `build` and `improve` themselves.
Twenty families are known to version 1, and each turn brings a new one beside earlier and old ones
(`families.py`). Five careful people, a careless one and from turn 4 on a hostile one judge what the served version
answers (`people.py`). An independent draw of 5,000 rows a set says what each candidate is truly worth (`truth.py`).

Killed, the same command goes on where it was. A copy keeps the code that it began with: `--fresh` begins anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.turns import families, report
from benchmarks.turns.plan import Plan
from benchmarks.wheel_workspace import commit_all, copy_project, environment, parse_changes, set_params

SEEDS = [4127, 4219, 4337, 4441, 4583]
"""Nothing was tuned on these."""
WEIGHTS = {"build": 2.0, "oracle": 5.0}
"""Of the parts of a wheel in the estimate of what is left; a turn is 1."""


def main() -> None:
    chosen = arguments()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    kept: Path = chosen.keep.resolve()
    jobs = planned(chosen)
    if not chosen.tables:
        progress = Progress(console, sum(parts(plan) for _, plan, _ in jobs))
        for name, plan, changes in jobs:
            run(console, progress, kept / name, plan, changes, kept / "cache", chosen.fresh)
    show(console, kept, jobs, chosen)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--base-seed", type=int, help="build the base once, by this seed; the seeds draw all else")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--messages", type=int, default=350, help="a turn")
    parser.add_argument("--objective", default="sft")
    parser.add_argument("--hostile-from", type=int, default=4)
    parser.add_argument("--truth", type=int, default=5000, help="rows of each set of the independent draw")
    parser.add_argument("--oracle-steps", type=int, help="default: as many as all turns together")
    parser.add_argument("--planted", type=int, metavar="N", help="N bad candidates of each kind a seed")
    parser.add_argument("--demo", type=int, metavar="N", help="README's demo, N seeds")
    parser.add_argument("--threads", type=int, nargs="+", help="default: params.yaml's; --demo runs each")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="KEY=VALUE", help="of params.yaml")
    parser.add_argument("--keep", type=Path, default=Path(".saqia/benchmarks/turns"))
    parser.add_argument("--fresh", action="store_true", help="forget what was done before")
    parser.add_argument("--tables", action="store_true", help="show what was measured; run nothing")
    return parser.parse_args()


def planned(chosen: argparse.Namespace) -> list[tuple[str, Plan, dict[str, Any]]]:
    """Every wheel: its folder's name, its plan, its changes of params.yaml."""
    changes = parse_changes(chosen.changes)
    kind = "demo" if chosen.demo else "planted" if chosen.planted else "turns"
    seeds = [chosen.seeds[0] + i for i in range(chosen.demo)] if chosen.demo else chosen.seeds
    jobs = []
    for threads in chosen.threads or [None]:
        for seed in seeds:
            plan = Plan(
                seed=seed,
                base_seed=seed if chosen.base_seed is None else chosen.base_seed,
                kind=kind,
                turns={"demo": 1, "planted": 2, "turns": chosen.turns}[kind],
                messages=chosen.messages,
                truth=chosen.truth,
                glance=min(200, chosen.truth),
                objective=chosen.objective,
                hostile_from=chosen.hostile_from,
                oracle_steps=chosen.oracle_steps,
                planted=chosen.planted or 0,
            )
            words = [kind, *([chosen.objective] if chosen.objective != "sft" else [])]
            words += [f"threads-{threads}"] if threads else []
            own = {"threads": threads} if threads else {}
            jobs.append(("-".join([*words, str(seed)]), plan, {**changes, **own, "seed": plan.base_seed}))
    return jobs


def parts(plan: Plan) -> float:
    """How much a wheel is, in turns."""
    from benchmarks.turns.planted import KINDS

    oracle = WEIGHTS["oracle"] if plan.kind == "turns" and plan.objective == "sft" else 0
    planted = plan.planted * len(KINDS) if plan.kind == "planted" else 0
    return WEIGHTS["build"] + plan.turns + oracle + planted


def run(
    console: Console,
    progress: Progress,
    folder: Path,
    plan: Plan,
    changes: dict[str, Any],
    cache: Path,
    fresh: bool,
) -> None:
    """Make a seed's copy where there is none yet, and run its wheel; its lines come here."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    prepare(folder, plan, changes, cache)
    command = [sys.executable, "-m", "benchmarks.turns.wheel", str(folder)]
    project = folder / "project"
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            command, cwd=project, env=environment(project), stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                progress.heard(folder.name, line.strip())
        except BaseException:
            process.send_signal(signal.SIGINT)  # so that it ends its Prefect server
            process.wait()
            raise
    if process.wait():
        last = (folder / "log.txt").read_text().strip().splitlines()[-1:]
        console.print(f"{folder.name} stopped: {last[0] if last else ''} ({folder / 'log.txt'})", style="red")


def prepare(folder: Path, plan: Plan, changes: dict[str, Any], cache: Path) -> None:
    """The copy with its task, its parameters and its plan; one that is there already must have the same plan.

    Raises:
        SystemExit: it was begun with another plan.
    """
    written = folder / "plan.json"
    if written.exists():
        if Plan.model_validate_json(written.read_text()) != plan:
            sys.exit(f"{folder} was begun with other arguments: --fresh begins anew, --keep chooses another place")
        return
    shutil.rmtree(folder, ignore_errors=True)
    project = folder / "project"
    project.mkdir(parents=True)
    copy_project(project, cache)
    if plan.kind != "demo":
        families.move(project / "tasks" / "intake")
    set_params(project, changes)
    commit_all(project)
    written.write_text(plan.model_dump_json(indent=2))


class Progress:
    """Lines as they come, with the time that is left by what was done so far."""

    def __init__(self, console: Console, total: float) -> None:
        self._console, self._total, self._done = console, total, 0.0
        self._began = time.monotonic()

    def heard(self, wheel: str, line: str) -> None:
        if line.startswith("end "):
            self._done += WEIGHTS.get(line.removeprefix("end "), 1.0)
            spent = time.monotonic() - self._began
            left = spent / self._done * max(0.0, self._total - self._done)
            self._console.print(f"  {wheel}: {line}; {spent / 60:.0f} min spent, about {left / 60:.0f} left")
        elif line and not line.startswith("begin "):
            self._console.print(f"{wheel}: {line}", markup=False)


def show(console: Console, kept: Path, jobs: Sequence[tuple[str, Plan, Any]], chosen: argparse.Namespace) -> None:
    """Tables of whatever there is."""
    states = {}
    for name, plan, _ in jobs:
        file = kept / name / "state.json"
        if file.exists():
            states[name] = plan, json.loads(file.read_text())
    if chosen.demo:
        runs: dict[str, dict[int, Any]] = {}
        for name, (plan, state) in states.items():
            threads = name.split("-")[2] if "threads" in name else "params.yaml's"
            runs.setdefault(threads, {})[plan.seed] = state
        report.show_demo(console, runs, kept)
    elif chosen.planted:
        report.show_planted(console, {plan.seed: state for plan, state in states.values()}, kept)
    elif states:
        of = kept if chosen.objective == "sft" else kept / chosen.objective
        of.mkdir(parents=True, exist_ok=True)
        report.show(console, {plan.seed: state for plan, state in states.values()}, of)


if __name__ == "__main__":
    main()
