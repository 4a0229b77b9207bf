"""The same project through DVC's own door: repro, push and pull, metrics, experiments."""

from __future__ import annotations

import shutil

from tests.e2e.project import Project


def test_repro_runs_nothing_the_second_time(project: Project) -> None:
    project.dvc("repro")
    second = project.dvc("repro")
    assert "Running stage" not in second
    assert "Data and pipelines are up to date." in second


def test_push_and_pull_bring_everything_back_from_the_local_remote(project: Project) -> None:
    project.dvc("push")
    version = project.root / "models" / "parcels" / "adapter" / "manifest.json"
    before = version.read_bytes()
    for folder in (".dvc/cache", "data", "models", "reports"):
        shutil.rmtree(project.root / folder)
    project.dvc("pull")
    assert version.read_bytes() == before
    assert "up to date" in project.dvc("status")


def test_an_experiment_reruns_what_it_touches_and_its_metrics_are_compared(project: Project) -> None:
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "the lock")
    output = project.dvc("exp", "run", "-S", "train.lr=0.004", "-S", "train.steps=20")
    for stage, runs in (
        ("pretrain", False),
        ("validate", False),
        ("train", True),
        ("select", True),
        ("evaluate", True),
    ):
        assert (f"Running stage '{stage}'" in output) is runs, output[-3000:]
    changed = project.dvc("metrics", "diff")
    assert "reports/parcels/training/metrics.json" in changed
    assert "loss" in changed
    assert "train.lr" in project.dvc("params", "diff")
