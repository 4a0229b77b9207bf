"""`python -m serving`: BentoML's worker for this service, and a parent that starts it again if it dies.

`bentoml serve serving.service:Saqia` runs the same service; its supervisor imports the whole
service once more, only to read settings that are known here, which made the start a third slower.
Binds 127.0.0.1 unless told otherwise; address and port come from the flags, else from SAQIA_HOST
and SAQIA_PORT. An address that other machines reach is refused while there is no API key.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from components import config
from components.lifetime import end_with_parent
from components.stage import StageError
from serving.access.binding import Exposed, check

RESTART_SECONDS = 1.0
"""Pause before a worker that died is started again."""
LIVES_LONG_ENOUGH = 20.0
"""A worker that dies sooner than this did not get to serve: one such death in a row too many ends the service."""
MOST_EARLY_DEATHS = 3


def main() -> None:
    """Check what can be checked at once, then serve until told to stop."""
    places = config.places()
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve the champion over HTTP.")
    parser.add_argument("--host", default=places.host)
    parser.add_argument("--port", type=int, default=places.port)
    arguments = parser.parse_args()
    try:
        config.load()
        check(arguments.host, arguments.port)
        listener = bind(arguments.host, arguments.port)
    except (config.ConfigError, StageError, Exposed, OSError) as error:
        sys.exit(f"serving: {error}")
    os.environ.update(places.model_copy(update={"host": arguments.host, "port": arguments.port}).as_env())
    os.environ.setdefault("BENTOML_HOME", str(places.home / "bentoml"))
    counts = metrics_folder(places.home, arguments.port)
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(counts))
    code = supervise(listener)
    shutil.rmtree(counts, ignore_errors=True)
    sys.exit(code)


def bind(host: str, port: int) -> socket.socket:
    """The service's own socket; the worker listens on it, and a restarted one again.

    Raises:
        OSError: the address cannot be used; the message says what to do.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise OSError(f"{host}:{port} cannot be used ({why}); stop what listens there or pass --port") from None
    return listener


def supervise(listener: socket.socket) -> int:
    """Run a worker; start another one where it dies without having been told to. Returns the exit code."""
    stopping, early = False, 0
    child = 0

    def stop(signum: int, _: object) -> None:
        nonlocal stopping
        stopping = True
        if child:
            os.kill(child, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while True:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            work(listener)
        _, status = os.waitpid(child, 0)
        child, code = 0, os.waitstatus_to_exitcode(status)
        if stopping or code == 0:
            return 0 if stopping and code in (0, -signal.SIGTERM) else max(code, 0)
        early = early + 1 if time.monotonic() - began < LIVES_LONG_ENOUGH else 0
        if early >= MOST_EARLY_DEATHS:
            print(f"serving: the worker died {early} times on its way up (exit {code}); see above", file=sys.stderr)
            return 1
        print(f"serving: the worker died (exit {code}); starting another", file=sys.stderr, flush=True)
        time.sleep(RESTART_SECONDS)


def work(listener: socket.socket) -> None:
    """Become BentoML's worker. Never returns; dies with its parent, however that dies."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    end_with_parent()
    sys.path.insert(0, str(Path.cwd()))
    from _bentoml_impl.worker.service import main as worker

    arguments = ["serving.service:Saqia", "--fd", str(listener.fileno()), "--service-name", "saqia"]
    worker(arguments, prog_name="serving")
    sys.exit(0)


def metrics_folder(home: Path, port: int, memory: Path = Path("/dev/shm")) -> Path:
    """An empty folder for the numbers of prometheus_client's processes, in memory where there is such a place.

    Its files are mapped and have holes: on a full disk the next count that meets one ends the process (SIGBUS).
    """
    folder = home / "metrics" / str(port)
    if memory.is_dir() and os.access(memory, os.W_OK):
        name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
        shared = memory / f"saqia-metrics-{os.getuid()}-{name}"
        with suppress(FileExistsError):
            shared.mkdir(mode=0o700)
        if not shared.is_symlink() and shared.stat().st_uid == os.getuid():
            folder = shared
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink()
    return folder


if __name__ == "__main__":
    main()
