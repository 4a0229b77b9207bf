"""`saqia sweep`: which parameters of the training are best, tried one after the other.

A trial is the graph up to `train` in a workspace of the sweep's own: the user's tree is left alone, and every stage
before `train` comes from DVC's cache. Trials are compared by the loss on rows that `train` keeps out of teaching
(`train.validation_rows`). The sets that decide about a version are not looked at, or the best of many would pass by
luck. What a trial came to is kept under <home>/sweeps, so that a sweep which was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components import config, files, layout
from components.config import Places
from components.optimization import space as search
from components.stage import StageError
from components.task import settings as settings_of
from flows import workspace
from flows.lock import one_turn
from flows.overview import task_name
from flows.workspace import Workspace


@dataclass(frozen=True)
class Trial:
    """One training with its parameters. Number 0 has those that hold now, and names none."""

    number: int
    parameters: dict[str, Any]
    loss: float | None
    """Of the rows kept out of teaching; None: the training failed."""
    error: str
    seconds: float
    training: str
    """Its MLflow run."""


def run(root: Path, places: Places, task: str | None, wanted: Sequence[str], trials: int, rows: int) -> None:
    """Try the parameters that hold now and so many points of the space; print what came of them.

    Raises:
        ConfigError: the space is none, or a point of it is impossible; nothing was tried.
        StageError: not even with the parameters that hold now could be trained.
    """
    from components.registry import sweeps

    name = task_name(root, task)
    settings = settings_of(name, root)
    space = search.parse(wanted)
    if not space:
        raise StageError("name what to try, e.g. --set train.lr=1e-4..1e-2:log --set train.lora.r=8,16,32")
    fixed = {**_turn(name), "train": {"validation_rows": rows}}
    points = [{}, *itertools.islice(search.points(space, settings.seed), trials)]
    texts = [workspace.merged_params(root, name, _over(fixed, point)) for point in points]
    console = Console(highlight=False)
    with one_turn(places.home, f"sweep of {name}", settings.improve.when_busy, typer.echo):
        made = workspace.prepare(root, f"{name}-sweep", name, fixed, places)
        sweep = hashlib.sha256(f"{made.commit} {sorted(wanted)} {texts[0]}".encode()).hexdigest()[:12]
        kept = places.home / "sweeps" / name
        parent = sweeps.begin(name, sweep, dict(text.split("=", 1) for text in wanted))
        typer.echo(
            f"sweep {sweep} of {name}: {len(points)} trainings, compared by the loss on {rows} rows kept out of them"
        )
        done: list[Trial] = []
        for number, point in enumerate(points):
            trial = _known(kept / sweep / f"{number:03}.json", point)
            if trial is None:
                made = workspace.prepare(root, made.name, name, _over(fixed, point), places)
                with console.status("") if console.is_terminal else nullcontext() as status:
                    show = _shower(status, f"trial {number} of {len(points) - 1}")
                    trial = _train(made, number, point, show)
                if trial.loss is not None:
                    sweeps.add(parent, trial.training, number, trial.loss)
                elif number == 0:
                    raise StageError(f"the parameters that hold now cannot be trained with: {trial.error}")
                files.write_json(kept / sweep / f"{number:03}.json", asdict(trial))
            done.append(trial)
            typer.echo(f"trial {number} of {len(points) - 1}: {_told(trial)}")
        best = min((t for t in done if t.loss is not None), key=lambda t: (t.loss, t.number))
        files.write_json(kept / "best.json", asdict(best))
        assert best.loss is not None
        sweeps.end(parent, best.parameters, best.loss)
        workspace.remove(made)
    _show(console, name, done, best)


def apply(root: Path, places: Places, task: str | None) -> None:
    """Write what the last sweep found best into the task's own params.yaml; what else stands there stays.

    Raises:
        StageError: there was no sweep, or what holds now was best.
        ConfigError: the file, or the file with these, is impossible; nothing was written.
    """
    from ruamel.yaml import YAML

    name = task_name(root, task)
    try:
        best = Trial(**json.loads((places.home / "sweeps" / name / "best.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StageError(f"{name} has no finished sweep: saqia sweep --task {name} --set …") from None
    if not best.parameters:
        raise StageError(
            f"the parameters of {name} that held in the last sweep were the best: there is nothing to write"
        )
    workspace.merged_params(root, name, search.nested(best.parameters))
    file = root / layout.task_folder(name) / layout.PARAMS
    yaml = YAML()  # keeps the user's comments and order
    yaml.preserve_quotes = True
    values = (yaml.load(file.read_text(encoding="utf-8")) if file.exists() else None) or {}
    for key, value in best.parameters.items():
        *sections, last = key.split(".")
        inside = values
        for section in sections:
            inside = inside.setdefault(section, {})
        inside[last] = value
    with files.replacing(file) as temporary, temporary.open("w", encoding="utf-8") as written:
        yaml.dump(values, written)
    typer.echo(
        f"written to {file.relative_to(root)}: {_named(best.parameters)}; next: saqia run {name}, or the next turn"
    )


def _turn(name: str) -> dict[str, Any]:
    """What the champion was taught and where it began, or the first version's beginning."""
    import yaml

    from components import registry

    champion = registry.champion(name)
    turn = (yaml.safe_load(champion.lineage.params) or {}).get("turn") if champion else None
    return {"turn": config.TurnSettings().model_dump(mode="json") | (turn or {})}


def _over(fixed: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """A point as overrides of params.yaml, with what all trials share."""
    values = search.nested(point)
    return {**values, **fixed, "train": {**values.get("train", {}), **fixed["train"]}}


def _known(file: Path, point: Mapping[str, Any]) -> Trial | None:
    """What a trial came to before this sweep was stopped; one that failed is tried again."""
    if not file.exists():
        return None
    trial = Trial(**json.loads(file.read_text(encoding="utf-8")))
    return trial if trial.loss is not None and trial.parameters == point else None


def _train(made: Workspace, number: int, point: dict[str, Any], show: Callable[[str], None]) -> Trial:
    """Run the graph up to `train` and read what the training says of itself.

    Raises:
        StageError: it says nothing that trials could be compared by.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "dvc", "repro", "train"]
    process = subprocess.Popen(
        command, cwd=made.root, env=dict(made.env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.rpartition("\r")[2].strip()
            if text:
                show(text)
                said = said if text.startswith("ERROR: failed to reproduce") else text
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.terminate()  # the stage ends with DVC
        process.wait()
    took = round(time.monotonic() - began, 1)
    if process.returncode != 0:
        return Trial(number, point, None, said, took, "")
    metrics = json.loads((made.root / layout.training(made.task) / "metrics.json").read_text(encoding="utf-8"))
    if "validation_loss" not in metrics:
        raise StageError("this train.objective reports no loss on rows kept out of it: a sweep has nothing to compare")
    return Trial(number, point, float(metrics["validation_loss"]), "", took, str(metrics["mlflow_run"]))


def _shower(status: Any, title: str) -> Callable[[str], None]:
    """What shows the newest line of a training: on a terminal only, where it replaces the one before."""

    def show(line: str) -> None:
        if status is not None:
            status.update(escape(f"{title}: {line}"))

    return show


def _named(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in parameters.items()) or "as now"


def _told(trial: Trial) -> str:
    came = f"failed: {trial.error}" if trial.loss is None else f"loss {trial.loss:.4f}"
    return f"{_named(trial.parameters)}: {came}, {trial.seconds:.0f} s"


def _show(console: Console, name: str, done: Sequence[Trial], best: Trial) -> None:
    table = Table(title=f"Trials of {name}, best first", title_justify="left")
    for column in ("trial", "parameters", "validation loss", "seconds"):
        table.add_column(column)
    for trial in sorted(done, key=lambda t: (t.loss is None, t.loss or 0.0, t.number)):
        loss = "failed" if trial.loss is None else f"{trial.loss:.4f}"
        row = (str(trial.number), escape(_named(trial.parameters)), loss, f"{trial.seconds:.0f}")
        table.add_row(*row, style="green" if trial is best else None)
    console.print(table)
    if best.parameters:
        console.print(f"take them over: saqia sweep --apply --task {name}")
    else:
        console.print("nothing that was tried is better than what holds now")
