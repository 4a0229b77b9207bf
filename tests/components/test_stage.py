"""A stage that cannot work says so in one line, whatever it was that failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_disk import on_small_disk

ROOT = Path(__file__).parents[2]


def examples_stage(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "components.examples"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SAQIA_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe: [", "task.yaml is not readable YAML"),
        (b"- a\n", "task.yaml must be a mapping"),
        (b"{name: other, title: X, answer: text}\n", "name is 'other' but the folder is 'x'"),
    ],
)
def test_a_broken_task_yaml_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "x").mkdir(parents=True)
    (tmp_path / "tasks" / "x" / "task.yaml").write_bytes(content)
    (tmp_path / "params.yaml").write_text("task: x\n")
    done = examples_stage(tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_stage_typed_by_hand_says_which_of_the_task_s_parameters_it_does_not_hear_of(tmp_path: Path) -> None:
    (tmp_path / "tasks/x").mkdir(parents=True)
    (tmp_path / "tasks/x/task.yaml").write_text("{name: x, title: X, answer: text, base: /models/mine}\n")
    (tmp_path / "tasks/x/params.yaml").write_text("{train: {method: full, lora: {r: 16}}, teacher: {model: big}}\n")
    (tmp_path / "params.yaml").write_text("task: x\n")
    said = examples_stage(tmp_path).stdout
    assert "what tasks/x says of model.base, train.method is applied by `saqia run x`" in said
    (tmp_path / "params.yaml").write_text("{task: x, model: {base: /models/mine}, train: {method: full}}\n")
    assert "params.yaml is read alone" not in examples_stage(tmp_path).stdout


def test_a_full_disk_is_one_line_with_what_to_do() -> None:
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    program = (
        "from components import stage\n"
        "def main(settings):\n"
        "    with open('/dev/full', 'w') as out:\n"
        "        out.write('x' * 100000)\n"
        "stage.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "free some space" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


WEIGHTS = """
import sys
from pathlib import Path
from components import files, stage
def main(settings):
    import numpy
    from safetensors.numpy import save_file
    with files.replacing_folder(Path(sys.argv[1]) / "models") as folder:
        save_file({"weight": numpy.zeros(50_000, dtype=numpy.float32)}, folder / "model.safetensors")
stage.run(main)
"""


def test_weights_that_a_really_full_disk_cannot_take_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    """safetensors says so in an error of its own, which no system error is."""
    program = [sys.executable, "-c", WEIGHTS, str(tmp_path)]
    old = f'mkdir {tmp_path}/models; echo old > {tmp_path}/models/model.safetensors; exec "$@"'
    done = subprocess.run(
        [*on_small_disk(tmp_path), "sh", "-c", old, "0", *program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = f"No space left on device: {tmp_path}/models; nothing is half-written: free some space and run it again"
    assert done.stderr.strip().endswith(said)
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout.split() == ["model.safetensors"], "the old weights, and no half-written ones beside them"


def test_a_folder_that_a_full_disk_cannot_take_is_one_line() -> None:
    from components.stage import said_by_system

    error = shutil.Error([("a/x", "b/x", "[Errno 28] No space left on device: 'a/x' -> 'b/x'")])
    assert said_by_system(error) == (
        "No space left on device: b/x; nothing is half-written: free some space and run it again"
    )
