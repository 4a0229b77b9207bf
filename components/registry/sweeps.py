"""A sweep in MLflow: one run of the task's experiment, and the trainings of its trials as its children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.registry.store import client, experiment

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's pages draw a run inside another."""


def begin(task: str, name: str, space: Mapping[str, str]) -> str:
    """The id of a sweep's run; the one that a stopped sweep of this name began is used again."""
    where = experiment(task)
    found = client().search_runs([where], f"tags.`saqia.sweep` = '{name}'", max_results=1)
    if found:
        client().update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    run = client().create_run(where, run_name=f"{task} sweep {name}", tags={"saqia.sweep": name})
    for key, values in space.items():
        client().log_param(run.info.run_id, key, values)
    return str(run.info.run_id)


def add(sweep: str, training: str, trial: int, value: float) -> None:
    """Make a trial's training a child of the sweep, and note what it came to."""
    client().set_tag(training, PARENT, sweep)
    client().set_tag(training, "saqia.trial", str(trial))
    client().log_metric(sweep, "validation_loss", value, step=trial)


def end(sweep: str, best: Mapping[str, Any], value: float) -> None:
    """Close the sweep's run with its best parameters."""
    for key, chosen in best.items():
        client().set_tag(sweep, f"best.{key}", str(chosen))
    client().log_metric(sweep, "best_validation_loss", value)
    client().set_terminated(sweep, "FINISHED")
