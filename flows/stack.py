"""The local stack: Prefect server, MLflow server, the worker and the service, as background processes.

Each program has a pid file under <home>/run that also holds the process's start time, so a
recycled pid is never taken for ours, and a log under <home>/logs. All bind 127.0.0.1 (the service: SAQIA_HOST).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil

from components import files
from components.config import Places
from components.stage import StageError
from flows import databases, environment, leftovers, prefect_database

START_SECONDS = 120.0
STOP_SECONDS = 20.0


class StackError(StageError):
    """A program of the stack cannot be started; one line that says which, why and what to do."""


@dataclass(frozen=True)
class Program:
    """One background process of the stack."""

    name: str
    title: str
    command: tuple[str, ...]
    port: int | None = None
    host: str = "127.0.0.1"
    health: str = ""
    """Path that answers 200 (or 503: up, but with nothing to serve yet) once it runs."""
    option: str = ""
    """How another port is chosen."""
    pages: tuple[tuple[str, str], ...] = ()
    """(what, path) of the pages that it shows."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}" if self.port else ""


@dataclass(frozen=True)
class Running:
    """A program's process as its pid file names it, if that process is still the same one."""

    name: str
    pid: int
    created: float
    port: int | None
    stays: bool = True
    """False where it was started for one command's while (`borrowed`)."""


@dataclass(frozen=True)
class State:
    """What is known about one program."""

    program: Program
    running: Running | None
    healthy: bool
    stale: bool
    """A pid file lies there but its process is gone."""


def programs(places: Places) -> list[Program]:
    """Every program of the stack, in the order they are started."""
    python = sys.executable
    mlflow = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(places.mlflow_port)]
    artifacts = ("--default-artifact-root", (places.home / "mlflow-uploads").as_uri())
    return [
        Program(
            "prefect",
            "Prefect server",
            (python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(places.prefect_port)),
            port=places.prefect_port,
            health="/api/health",
            option="--prefect-port (or SAQIA_PREFECT_PORT)",
            pages=(("Flows, runs, schedules", "/"),),
        ),
        Program(
            "mlflow",
            "MLflow server",
            (*mlflow, "--workers", "1", "--backend-store-uri", str(places.tracking_uri), *artifacts),
            port=places.mlflow_port,
            health="/health",
            option="--mlflow-port (or SAQIA_MLFLOW_PORT)",
            pages=(("Training runs, versions", "/"),),
        ),
        Program(
            "service",
            "Service",
            (python, "-m", "serving", "--host", places.host, "--port", str(places.port)),
            port=places.port,
            host=places.host,
            health="/livez",
            option="--port (or SAQIA_PORT)",
            pages=(
                ("Chat and feedback", "/ui"),
                ("Review queue", "/ui/review"),
                ("Arena", "/ui/arena"),
                ("Leaderboard", "/ui/leaderboard"),
                ("The wheel", "/ui/wheel"),
                ("OpenAI API", "/v1"),
                ("Metrics", "/metrics"),
            ),
        ),
        Program("worker", "Worker (deployments, schedules)", (python, "-m", "flows.worker")),
    ]


def one(places: Places, name: str) -> Program:
    """The program called `name`."""
    return next(p for p in programs(places) if p.name == name)


def start(
    root: Path,
    places: Places,
    wanted: Iterable[Program],
    say: Callable[[str], None] = print,
    stays: bool = True,
) -> list[Program]:
    """Start programs that are not running; wait until each answers; return those that were started.

    If one cannot be started, the ones that this call started are stopped again. `stays`
    says whether they are meant to outlive the command that starts them.

    Raises:
        StackError: a port is taken (by whom, and how to choose another), or a program ended at once.
    """
    wanted = list(wanted)
    started: list[Program] = []
    try:
        with _starting(places):
            missing = [p for p in wanted if running(places, p.name) is None]
            for program in missing:
                for text in _end_leftovers(places, program):
                    say(text)
                _check_port(program)
            for program in missing:
                if program.port is None:  # the worker needs the servers
                    for earlier in wanted:
                        if earlier.port is not None:
                            _wait(earlier, places)
                _spawn(program, root, places, stays)
                started.append(program)
        for program in wanted:  # also those that another command has just begun to start
            _wait(program, places)
    except BaseException:
        for program in reversed(started):
            stop(places, program.name)
        raise
    for program in started:
        say(f"{program.title} started" + (f" on {program.url}" if program.port else ""))
    return started


@contextlib.contextmanager
def _starting(places: Places) -> Iterator[None]:
    """Held by one command at a time, so that two never start the same program."""
    path = places.home / "run" / "starting.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stop(places: Places, name: str) -> bool:
    """End a program and everything it started; False where none ran (a stale pid file goes in any case)."""
    found = running(places, name)
    file = pid_file(places, name)
    if found is None:
        file.unlink(missing_ok=True)
        return False
    _signal_group(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and _same_process(found):
        time.sleep(0.05)
    _signal_group(found.pid, signal.SIGKILL)
    file.unlink(missing_ok=True)
    return True


def left_behind(places: Places, program: Program) -> list[leftovers.Leftover]:
    """Processes of a program that run though its pid file does not name them."""
    return leftovers.find(places, program.name, getattr(running(places, program.name), "pid", None))


def end_left_behind(places: Places) -> list[str]:
    """End what interrupted commands left of this installation's programs; say what was ended."""
    with _starting(places):  # another command may be starting one
        return [text for program in programs(places) for text in _end_leftovers(places, program)]


def _end_leftovers(places: Places, program: Program) -> list[str]:
    leftovers.end(found := left_behind(places, program))
    return [f"{program.title} of an interrupted command ended: {leftover}" for leftover in found]


def strangers(places: Places) -> list[tuple[Program, str]]:
    """Programs whose port is held by something that is not this installation's, and by what."""
    return [
        (program, owner_of(program.port))
        for program in programs(where_it_runs(places))
        if program.port is not None
        and running(places, program.name) is None
        and listening(program.port, program.host)
        and not left_behind(places, program)
    ]


def running(places: Places, name: str) -> Running | None:
    """The program's process, if its pid file names one that still runs and is the same one."""
    try:
        found = Running(**json.loads(pid_file(places, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if _same_process(found) else None


def states(places: Places) -> list[State]:
    """What runs, what answers, what left a stale pid file."""
    found = []
    with httpx.Client(timeout=5) as client:
        for program in programs(places):
            process = running(places, program.name)
            if process and process.port and process.port != program.port:
                program = replace(program, port=process.port)
            found.append(
                State(
                    program=program,
                    running=process,
                    healthy=process is not None and _answers(program, places, client),
                    stale=process is None and pid_file(places, program.name).exists(),
                )
            )
    return found


def where_it_runs(places: Places) -> Places:
    """The same places with the ports that running programs really use (chosen when they were started)."""
    ports = {s.program.name: s.running.port for s in states_quick(places) if s.running and s.running.port}
    names = {"prefect": "prefect_port", "mlflow": "mlflow_port", "service": "port"}
    return places.model_copy(update={names[name]: port for name, port in ports.items() if name in names})


def states_quick(places: Places) -> list[State]:
    """Like `states` without asking the programs whether they answer."""
    return [State(p, running(places, p.name), False, False) for p in programs(places)]


def free_port(preferred: int, taken: Iterable[int] = ()) -> int:
    """`preferred` if nothing listens there, else one that the system says is free."""
    if preferred not in taken and not listening(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a program could not bind the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def owner_of(port: int) -> str:
    """Who listens on the port, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid
            ):
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())
                return f"process {connection.pid} ({command[:80] or process.name()})"
    except psutil.Error:
        pass
    return "another process"


def _check_port(program: Program) -> None:
    if program.port is not None and listening(program.port, program.host):
        raise StackError(
            f"{program.title}: port {program.port} is taken by {owner_of(program.port)}; "
            f"stop it or choose another with {program.option}"
        )


def _spawn(program: Program, root: Path, places: Places, stays: bool) -> None:
    log = log_file(places, program.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    _ready_file(places, program.name).unlink(missing_ok=True)  # one that was killed left it
    if program.name == "prefect":
        prefect_database.provide(places.home / "prefect")
    with log.open("ab") as out:
        out.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(program.command)}\n".encode())
        out.flush()
        process = subprocess.Popen(
            program.command,
            cwd=root,
            env={**os.environ, **environment.variables(places), "PYTHONPATH": str(root), leftovers.MARK: program.name},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = Running(program.name, process.pid, psutil.Process(process.pid).create_time(), program.port, stays)
    files.write_json(pid_file(places, program.name), record.__dict__)


def _wait(program: Program, places: Places) -> None:
    log = log_file(places, program.name)
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5) as client:
        while not _answers(program, places, client):
            if running(places, program.name) is None:
                needed = [d for d in databases.of(places) if program.name in d.programs]
                why = databases.damaged(needed) or _last_line(log)
                raise StackError(f"{program.title} ended at once: {why} (see {log})")
            if time.monotonic() > deadline:
                raise StackError(f"{program.title} does not answer after {START_SECONDS:.0f} s (see {log})")
            time.sleep(0.1)


def _answers(program: Program, places: Places, client: httpx.Client) -> bool:
    """`client` is for many questions: making one takes longer (certificates) than asking."""
    if program.port is None:
        return _ready_file(places, program.name).exists()
    try:
        return client.get(program.url + program.health).status_code in (200, 503)
    except httpx.HTTPError:
        return False


def _last_line(log: Path) -> str:
    """The last line of a program's newest start; a full disk, which cuts that line short, in plain words."""
    started = log.read_text(encoding="utf-8", errors="replace").rpartition("\n--- ")[2]
    if "disk is full" in started or "No space left on device" in started:
        return "the disk is full: free some space and run it again"
    lines = [line.strip() for line in started.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"


def log_file(places: Places, name: str) -> Path:
    """Where a program writes its log."""
    return places.home / "logs" / f"{name}.log"


def _ready_file(places: Places, name: str) -> Path:
    """What a program without a port writes once it is ready."""
    return places.home / "run" / f"{name}.ready"


def pid_file(places: Places, name: str) -> Path:
    """Where a program's process is named."""
    return places.home / "run" / f"{name}.json"


def _same_process(found: Running) -> bool:
    return is_process(found.pid, found.created)


def is_process(pid: int, created: float) -> bool:
    """Whether `pid` still is the process that began at `created`, and no later one of that number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - created) < 1.0
    except psutil.Error:
        return False


def _signal_group(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)
