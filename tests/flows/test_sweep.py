"""`saqia sweep` on a graph whose training is a formula: what is tried, kept, shown in MLflow and taken over."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components import config
from components.registry import client, experiment
from components.stage import StageError
from flows import sweep
from tests.flows.conftest import git

TRAIN = """
import json, os, pathlib, sys, mlflow, yaml
train = yaml.safe_load(open("params.yaml"))["train"]
with open(os.environ["TRIED"], "a") as tried:
    tried.write(f"{train['lr']}\\n")
if train["lr"] > 0.05:
    sys.exit("training: the loss is nan; lower train.lr in params.yaml")
client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
run = client.create_run(client.get_experiment_by_name("intake").experiment_id).info.run_id
out = pathlib.Path("reports/intake/training"); out.mkdir(parents=True)
loss = abs(train["lr"] - 0.004) + train["validation_rows"] * 0
(out / "metrics.json").write_text(json.dumps({"validation_loss": loss, "mlflow_run": run}))
"""
DVC = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [train]
    outs: [reports/intake/training]
"""
SPACE = ["train.lr=0.004,0.03,0.9"]


@pytest.fixture
def tuned(project: Path, places: config.Places, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "train.py").write_text(TRAIN)
    (project / "dvc.yaml").write_text(DVC)
    (project / "tasks" / "intake").mkdir(parents=True)
    (project / "tasks" / "intake" / "task.yaml").write_text("{name: intake, title: Intake, answer: text}\n")
    (project / "tasks" / "intake" / "params.yaml").write_text("train:\n  lr: 0.01  # mine\n  steps: 9\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "a task")
    monkeypatch.setenv("TRIED", str(places.home / "tried"))
    monkeypatch.setenv("SAQIA_HOME", str(places.home))
    places.home.mkdir(exist_ok=True)
    experiment("intake")
    return project


def tried(places: config.Places) -> list[float]:
    return [float(line) for line in (places.home / "tried").read_text().split()]


def test_a_sweep_finds_the_best_shows_it_and_takes_it_over(
    tuned: Path, places: config.Places, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run(tuned, places, "intake", SPACE, trials=3, rows=20)
    said = capsys.readouterr().out
    assert sorted(tried(places)) == [0.004, 0.01, 0.03, 0.9]
    assert tried(places)[0] == 0.01  # what holds now is tried first
    assert "failed: training: the loss is nan; lower train.lr in params.yaml" in said
    assert git(tuned, "status", "--porcelain") == ""
    runs = client().search_runs([experiment("intake")])
    parent = next(run for run in runs if "saqia.sweep" in run.data.tags)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 3  # all but the one that failed
    assert "0" in {run.data.tags["saqia.trial"] for run in children}
    assert parent.data.tags["best.train.lr"] == "0.004"
    assert parent.info.status == "FINISHED"

    sweep.run(tuned, places, "intake", SPACE, trials=3, rows=20)
    assert len(tried(places)) == 5  # only the one that failed is tried again
    sweep.apply(tuned, places, "intake")
    written = (tuned / "tasks" / "intake" / "params.yaml").read_text()
    assert yaml.safe_load(written) == {"train": {"lr": 0.004, "steps": 9}}
    assert "# mine" in written


def test_what_cannot_be_is_refused_before_anything_is_tried(tuned: Path, places: config.Places) -> None:
    with pytest.raises(config.ConfigError, match=r"train.lr = 7"):
        sweep.run(tuned, places, "intake", ["train.lr=0.01,7"], trials=2, rows=20)
    with pytest.raises(config.ConfigError, match=r"train.rate is not a known key"):
        sweep.run(tuned, places, "intake", ["train.rate=1,2"], trials=2, rows=20)
    with pytest.raises(StageError, match="name what to try"):
        sweep.run(tuned, places, "intake", [], trials=2, rows=20)
    with pytest.raises(StageError, match="has no finished sweep"):
        sweep.apply(tuned, places, "intake")
    assert not (places.home / "tried").exists()
