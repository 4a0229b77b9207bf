"""A turn's folder: what you see is what runs, and nobody's working tree is disturbed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components import config
from flows import workspace
from tests.flows.conftest import ROOT, git
from tests.small_disk import on_small_disk


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    own = {".git", ".saqia"}
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not own & set(path.relative_to(folder).parts)
    }


def test_uncommitted_new_and_deleted_files_are_what_runs(project: Path, places: config.Places) -> None:
    (project / "first.py").write_text("print('changed')\n")
    (project / "new.py").write_text("print('new')\n")
    (project / "aside.py").unlink()
    (project / "data").mkdir()
    (project / "data" / "ignored").write_text("not carried")
    made = workspace.prepare(project, "one", "intake", places=places)
    assert (made.root / "first.py").read_text() == "print('changed')\n"
    assert (made.root / "new.py").exists()
    assert not (made.root / "aside.py").exists()
    assert not (made.root / "data").exists()


def test_the_users_tree_index_branch_and_mtimes_stay_as_they_were(project: Path, places: config.Places) -> None:
    (project / "first.py").write_text("print('changed')\n")
    (project / "new.py").write_text("print('new')\n")
    (project / "second.py").write_text("staged\n")
    git(project, "add", "second.py")
    before = (git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD"), git(project, "branch", "-a"))
    index = (project / ".git" / "index").read_bytes()
    files = state_of(project)
    made = workspace.prepare(project, "one", "intake", places=places)
    (made.root / "dvc.lock").write_text("schema: '2.0'\n")
    workspace.record(made, "version-1")
    workspace.remove(made)
    after = (git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD"), git(project, "branch", "-a"))
    assert after == before
    assert state_of(project) == files
    assert (project / ".git" / "index").read_bytes() == index
    assert git(project, "worktree", "list").count("\n") == 0


def test_what_a_turn_made_is_kept_by_a_ref_after_its_folder_is_gone(project: Path, places: config.Places) -> None:
    made = workspace.prepare(project, "one", "intake", {"turn": {"snapshots": []}, "seed": 5}, places)
    (made.root / "dvc.lock").write_text("schema: '2.0'\n")
    commit = workspace.record(made, "version-1")
    workspace.remove(made)
    assert not made.root.exists()
    assert commit == git(project, "rev-parse", "refs/saqia/intake/version-1")
    assert git(project, "show", f"{commit}:dvc.lock") == "schema: '2.0'"
    assert yaml.safe_load(git(project, "show", f"{commit}:params.yaml"))["seed"] == 5
    git(project, "gc", "--prune=now", "--quiet")
    assert git(project, "cat-file", "-t", str(commit)) == "commit"


def test_a_reused_folder_keeps_outputs_and_lock_and_takes_up_new_code(project: Path, places: config.Places) -> None:
    made = workspace.prepare(project, "one", "intake", places=places)
    (made.root / "data" / "first").mkdir(parents=True)
    (made.root / "data" / "first" / "checkpoint").write_text("half way")
    (made.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (made.root / ".dvc" / "tmp").mkdir(exist_ok=True)
    (project / "first.py").write_text("print('fixed')\n")
    again = workspace.prepare(project, "one", "intake", places=places)
    assert (again.root / "first.py").read_text() == "print('fixed')\n"
    assert (again.root / "data" / "first" / "checkpoint").read_text() == "half way"
    assert (again.root / "dvc.lock").read_text() == "schema: '2.0'\nstages: {}\n"


def test_a_full_disk_is_said_with_the_file_that_git_could_not_write(project: Path, tmp_path: Path) -> None:
    (project / "large.py").write_text("#" * 200_000)
    git(project, "add", "large.py")
    git(project, "commit", "-q", "-m", "large")
    disk = tmp_path / "disk"
    disk.mkdir()
    program = "import sys, pathlib, flows.workspace as w; w.prepare(pathlib.Path(sys.argv[1]), 'one', 'intake')"
    done = subprocess.run(
        [*on_small_disk(disk), sys.executable, "-c", program, str(project)],
        cwd=ROOT,
        env={**os.environ, "SAQIA_HOME": str(disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "git worktree failed" in last
    assert last.endswith("unable to write file large.py; the disk seems full: free some space and run it again")


def test_a_half_made_folder_is_made_anew(project: Path, places: config.Places) -> None:
    made = workspace.prepare(project, "one", "intake", places=places)
    shutil.rmtree(project / ".git" / "worktrees" / "one")
    (made.root / "first.py").unlink()
    assert (workspace.prepare(project, "one", "intake", places=places).root / "first.py").exists()


def test_outside_git_a_copy_is_made_and_the_lock_alone_is_recorded(project: Path, places: config.Places) -> None:
    shutil.rmtree(project / ".git")
    (project / "data").mkdir()
    made = workspace.prepare(project, "one", "intake", places=places)
    assert made.commit is None
    assert (made.root / "first.py").exists()
    assert not (made.root / "data").exists()
    (made.root / "dvc.lock").write_text("schema: '2.0'\n")
    assert workspace.record(made, "version-1") is None
    assert (places.home / "locks" / "intake" / "version-1.lock").read_text() == "schema: '2.0'\n"
    workspace.remove(made)
    assert not made.root.exists()
    assert (project / "first.py").exists()


def test_a_home_inside_the_project_is_not_copied_into_itself(project: Path) -> None:
    shutil.rmtree(project / ".git")
    inside = config.Places(home=project / ".saqia").absolute(project)
    made = workspace.prepare(project, "one", "intake", places=inside)
    assert not (made.root / ".saqia").exists()


def test_an_empty_repository_without_a_commit_works(project: Path, places: config.Places) -> None:
    shutil.rmtree(project / ".git")
    git(project, "init", "-q")
    made = workspace.prepare(project, "one", "intake", places=places)
    assert made.commit is not None
    assert (made.root / "first.py").exists()


def test_the_tasks_own_parameters_lie_over_the_projects(project: Path, places: config.Places) -> None:
    (project / "tasks" / "clinic").mkdir(parents=True)
    (project / "tasks" / "clinic" / "params.yaml").write_text("train: {steps: 7}\n")
    made = workspace.prepare(project, "one", "clinic", {"train": {"lr": 0.5}}, places)
    settings = made.settings()
    assert (settings.task, settings.train.steps, settings.train.lr) == ("clinic", 7, 0.5)
    assert settings.train.batch_size == config.load(project / "params.yaml").train.batch_size


def test_impossible_parameters_of_a_task_are_named_and_nothing_is_made(project: Path, places: config.Places) -> None:
    (project / "tasks" / "clinic").mkdir(parents=True)
    (project / "tasks" / "clinic" / "params.yaml").write_text("train: {steps: 0}\n")
    with pytest.raises(config.ConfigError, match=r"tasks/clinic/params.yaml: train.steps = 0"):
        workspace.prepare(project, "one", "clinic", places=places)
    assert not (places.home / "work").exists()


def test_reports_are_kept_by_name(project: Path, places: config.Places) -> None:
    made = workspace.prepare(project, "one", "intake", places=places)
    (made.root / "reports" / "intake").mkdir(parents=True)
    (made.root / "reports" / "intake" / "report.html").write_text("x")
    (made.root / "reports" / "base").mkdir()
    (made.root / "reports" / "base" / "loss.csv").write_text("y")
    kept = workspace.keep_reports(made, "version-1")
    assert (kept / "report.html").read_text() == "x"
    assert (kept / "base" / "loss.csv").read_text() == "y"


def test_a_turn_that_ended_takes_the_folders_of_stopped_ones_before_it_along(
    project: Path, places: config.Places
) -> None:
    stopped, other, now, later = (
        workspace.prepare(project, name, "intake", places=places)
        for name in ("intake-turn-0001", "clinic-turn-0001", "intake-turn-0002", "intake-turn-0003")
    )
    workspace.remove_stopped(now)
    assert [made.root.exists() for made in (stopped, other, now, later)] == [False, True, True, True]
