"""The command: quick help, one clear line for an error, and a doctor that finds what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import doctor
from tests.flows.conftest import ROOT


def saqia(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, flows.cli\n"
        "try: flows.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'prefect', 'torch', 'mlflow', 'dvc', 'transformers', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("demo", "build", "improve", "init", "run", "up", "down", "status", "doctor", "promote", "rollback"):
        assert command in done.stdout


def test_outside_a_project_one_line_says_so(tmp_path: Path) -> None:
    done = saqia("status", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("saqia: ")
    assert "is not inside a Saqia project" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_impossible_parameter_is_named_before_anything_starts(project: Path) -> None:
    (project / "params.yaml").write_text("train: {steps: 0}\nnonsense: 1\n")
    done = saqia("build", cwd=project)
    assert done.returncode == 1
    assert "params.yaml: train.steps = 0" in done.stderr
    assert "nonsense is not a known key" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_task_is_named_with_the_ones_that_exist(project: Path) -> None:
    done = saqia("build", "--task", "clinic", cwd=project)
    assert done.returncode == 1
    assert "no task 'clinic'" in done.stderr


@pytest.mark.parametrize("command", [("run", ""), ("build", "--task", ""), ("status", "--task", "")])
def test_an_empty_task_name_is_not_the_default_task(command: tuple[str, ...], project: Path) -> None:
    """As from `saqia run "$TASK"` where the variable is not set."""
    done = saqia(*command, cwd=project)
    assert done.returncode == 1
    assert "no task ''" in done.stderr


def test_a_version_that_does_not_exist_is_one_line() -> None:
    done = saqia("promote", "7")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("saqia: intake has no version 7")


@pytest.mark.parametrize(
    ("lock", "state"), [("typer==0.0.1\n", "bad"), ("no-such-package-here==1.0\n", "bad"), ("# nothing\n", "good")]
)
def test_the_doctor_compares_the_lock_with_what_is_installed(project: Path, lock: str, state: str) -> None:
    (project / "requirements.lock").write_text(lock)
    found = doctor.lock(project)
    assert found.state == state
    if state == "bad":
        assert "pip install -r requirements.lock" in found.remedy


def test_the_doctor_names_a_wrong_parameter_and_fails(project: Path) -> None:
    (project / "params.yaml").write_text("train: {lr: -1}\n")
    findings = {f.what: f for f in doctor.check_all(project)}
    assert findings["params.yaml"].state == "bad"
    assert "train.lr = -1" in findings["params.yaml"].found
    assert doctor.print_findings(list(findings.values())) == 1


def test_the_doctor_shows_what_precision_auto_was_measured_to_take(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAQIA_HOME", str(tmp_path / "home"))
    assert "nothing was measured yet" in doctor.precision(project).found
    (tmp_path / "home").mkdir()
    answer = {"float32": 300.2, "bfloat16": 150.0, "taken": "float32"}
    (tmp_path / "home" / "precision.json").write_text(json.dumps({"a processor": answer, "damaged": {}}))
    assert doctor.precision(project).found == "auto, as measured: float32 (float32 300, bfloat16 150 GFLOP/s)"
