"""A stage that a fork of the preloaded process stands in for is the same stage, and ends with what started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components import preloaded
from tests.waiting import until

ROOT = Path(__file__).parents[2]
SERVER = """
from components import preloaded
preloaded.FIRST, preloaded.THEN = ('wave', 'no_such_module'), {then!r}
preloaded.main({name!r})
"""
PROBE = """
import os, sys, time
from pathlib import Path
import components
from components import preloaded, stage

def main(settings):
    print("in", os.getcwd(), "under", os.getppid(), "with", os.environ["WORD"], flush=True)
    print("told", sys.argv[1:])
    print("imported", "wave" in sys.modules, "from", components.__file__)
    if os.environ["WORD"] == "fail":
        raise stage.StageError("it cannot be done")
    if os.environ["WORD"] == "sleep":
        Path("pid").write_text(str(os.getpid()))
        time.sleep(60)

if __name__ == "__main__":
    sys.prefix = PREFIX
    code = preloaded.handed_over("probe", sys.argv[1:])
    if code is not None:
        sys.exit(code)
    stage.run(main)
"""

pytestmark = pytest.mark.skipif(not preloaded.possible(), reason="no preloaded process on this machine")


@pytest.fixture(params=["first", "second"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Name of the socket, and who forks: the first process while the second imports (here for ever), or the second."""
    name = f"saqia-test-{uuid.uuid4().hex}"
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(600)\n")
    then = ("no_such_module", "endless") if request.param == "first" else ("no_such_module", "colorsys")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    process = subprocess.Popen([sys.executable, "-c", SERVER.format(name=name, then=then)], cwd=ROOT, env=environment)
    first = psutil.Process(process.pid)
    try:
        until(lambda: len(first.children()) == 1, "the first process has forked the second", 60)
        (second,) = first.children()
        serves = first if request.param == "first" else second
        until(lambda: who_listens(name) == serves.pid, "it listens", 60)
        yield name, serves
        process.terminate()
        process.wait(60)
        until(lambda: ended(second), "the second process ends with the first one", 10)
    finally:
        process.kill()
        process.wait()


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def who_listens(name: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"\0{name}")
        return preloaded._other_end(connection)[0]


def start(folder: Path, name: str, word: str, prefix: str = sys.prefix) -> subprocess.Popen[str]:
    (folder / "probe.py").write_text(PROBE.replace("PREFIX", repr(prefix)))
    shutil.copy(ROOT / "params.yaml", folder)
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "WORD": word, preloaded.VARIABLE: name}
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "probe", "a", "b c"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_the_stand_in_has_the_folder_environment_and_streams_and_what_is_imported(
    server: tuple[str, psutil.Process], tmp_path: Path
) -> None:
    name, process = server
    for _ in range(2):
        out, _ = (stage := start(tmp_path, name, "hello")).communicate(timeout=60)
        assert f"in {tmp_path} under {process.pid} with hello" in out
        assert "told ['a', 'b c']" in out
        assert "imported True" in out
        assert stage.returncode == 0


def test_its_error_is_the_stages_error(server: tuple[str, psutil.Process], tmp_path: Path) -> None:
    stage = start(tmp_path, server[0], "fail")
    _, said = stage.communicate(timeout=60)
    assert stage.returncode == 1
    assert said.strip() == f"{tmp_path.name}: it cannot be done"


def test_it_runs_the_code_of_its_own_folder(server: tuple[str, psutil.Process], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "components", tmp_path / "components", ignore=shutil.ignore_patterns("__pycache__"))
    out, _ = start(tmp_path, server[0], "hello").communicate(timeout=60)
    assert f"from {tmp_path}/components/__init__.py" in out


def test_what_another_python_started_runs_by_itself_and_its_output_ends(
    server: tuple[str, psutil.Process], tmp_path: Path
) -> None:
    stage = start(tmp_path, server[0], "hello", prefix="/another/environment")
    out, _ = stage.communicate(timeout=60)  # the server keeps no copy of the pipe
    assert f"under {os.getpid()} with hello" in out


def test_where_nobody_listens_the_stage_runs_by_itself(tmp_path: Path) -> None:
    stage = start(tmp_path, "saqia-nobody", "hello")
    out, _ = stage.communicate(timeout=60)
    assert f"under {os.getpid()} with hello" in out
    assert "imported False" in out
    assert stage.returncode == 0


@pytest.mark.parametrize(("victim", "code"), [("stage", -9), ("server", 137), ("stand-in", 137)])
def test_none_of_the_three_outlives_the_other_two(
    server: tuple[str, psutil.Process], tmp_path: Path, victim: str, code: int
) -> None:
    name, process = server
    stage = start(tmp_path, name, "sleep")
    pid = tmp_path / "pid"
    until(lambda: pid.exists() and pid.read_text(), "the stand-in runs", 60)
    stand_in = psutil.Process(int(pid.read_text()))
    assert stand_in.ppid() == process.pid
    os.kill({"stage": stage.pid, "server": process.pid, "stand-in": stand_in.pid}[victim], signal.SIGKILL)
    until(lambda: ended(stand_in), "the stand-in ends", 30)
    stage.communicate(timeout=60)
    assert stage.returncode == code
    assert victim == "server" or process.is_running()
