"""Stages that begin at once: a process that has imported the large libraries forks itself for each of them.

Importing PyTorch, transformers, MLflow or Great Expectations takes a stage 3 to 12 seconds of processor time, and
a turn has a dozen stages. Whoever runs several (a flow) starts `python -m components.preloaded NAME` once and puts
NAME into SAQIA_PRELOADED. A process that finds it there (`handed_over`) hands its working folder, environment and open
files over, waits, and ends as its stand-in ends. Without the variable, or where nobody answers, it does its work
itself; the work is the same either way.

The first seconds of a build need none of the large libraries. So there are two preloaded processes: the first has
what every stage needs, serves at once, and forks the second, which imports the large libraries and then takes over
the socket.

A stand-in outlives neither the preloaded process (`end_with_parent`) nor the process that it stands in for, whose end
of the connection closes when it dies.

Only on Linux and where there is no GPU: CUDA cannot be used in a fork of a process that has looked at it (PyTorch's
notes on multiprocessing), and macOS's system libraries don't survive a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from components.lifetime import end_with_parent

VARIABLE = "SAQIA_PRELOADED"
"""Environment variable: name of the abstract socket (unix(7)) at which the preloaded process listens."""

FIRST = (
    "yaml",
    "pydantic_settings",
    "dvc.repo",
    "dvc.repo.reproduce",
    "sqlalchemy",
    "alembic.command",
    "numpy",
)
"""What every stage needs: 1 second."""
THEN = (
    "tokenizers",
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "great_expectations",
    "great_expectations.expectations",
    "peft",
)
"""What takes stages long to import, in the order in which a turn needs it: 10 seconds and more."""

MOST_FILES = 8
GPUS = ("/dev/nvidiactl", "/dev/kfd")
OWN = ("components", "flows", "serving", "tasks")
"""The project's own packages: a stand-in imports them afresh, from the folder in which its stage runs."""


def possible() -> bool:
    """Whether a preloaded process can be used here."""
    return sys.platform == "linux" and not any(Path(device).exists() for device in GPUS)


@dataclass(frozen=True)
class Wanted:
    """A process as it was started; its stand-in becomes the same."""

    module: str
    """As in `python -m module`."""
    arguments: list[str]
    files: list[int]
    """Numbers of the open files that go with it."""
    folder: str
    environment: dict[str, str]
    path: list[str]
    """`sys.path`."""
    python: str
    """`sys.prefix`: what another environment starts cannot be stood in for."""


def handed_over(module: str, arguments: Sequence[str] = (), files: Sequence[int] = (0, 1, 2)) -> int | None:
    """Have the preloaded process run `python -m module arguments` instead of this one; return the exit code.

    None where there is no such process, it does not take the work, or this one is a stand-in already: then the
    caller does it.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    wanted = Wanted(module, list(arguments), list(files), os.getcwd(), dict(os.environ), sys.path, sys.prefix)
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"\0{name}")
            process, user = _other_end(connection)
            if user != os.getuid() or process == os.getppid():
                return None
            socket.send_fds(connection, [b"."], files)
            connection.sendall(json.dumps(asdict(wanted)).encode() + b"\n")
            if not connection.recv(1):
                return None
        except OSError:
            return None
        code = connection.recv(1)  # closed without a word: it was killed, and its stand-ins with it
        return code[0] if code else 128 + signal.SIGKILL


def _other_end(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end (SO_PEERCRED): an abstract socket has no permissions."""
    process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return process, user


class Server:
    """Forks for each process that asks; one thread, so that a fork copies no held lock.

    Args:
        listener: where they ask.
        successor: the process that will take the listener over, and what it says so with.
    """

    def __init__(self, listener: socket.socket, successor: tuple[int, socket.socket] | None = None) -> None:
        self._listener, self._successor = listener, successor
        self._listener.setblocking(False)  # two processes may both see that somebody asks
        self._ended, self._wake = socket.socketpair()  # the kernel's word that a child ended, as something to wait for
        for end in (self._ended, self._wake):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ended, selectors.EVENT_READ)
        if successor is not None:
            self._selector.register(successor[1], selectors.EVENT_READ)
        self._running: dict[int, socket.socket] = {}
        """Process of a stand-in → the stage it stands in for."""

    def serve(self) -> Wanted:
        """Listen until killed. Returns in a forked process only: what that one has to run."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    wanted = self._accept()
                    if wanted is not None:
                        return wanted
                elif key.fileobj is self._ended:
                    self._reap()
                elif self._successor is not None and key.fileobj is self._successor[1]:
                    self._hand_on()
                else:
                    self._end(key.data)

    def _hand_on(self) -> None:
        """The successor listens from now on, or has died before it could."""
        assert self._successor is not None
        ready = self._successor[1]
        self._selector.unregister(ready)
        if ready.recv(1):
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._listener)
            self._listener.close()

    def _accept(self) -> Wanted | None:
        """Fork for a stage; what to run where this is the forked process."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return None  # the other process was quicker
        connection.settimeout(10)
        opened: list[int] = []
        try:
            if _other_end(connection)[1] != os.getuid():
                raise OSError("another user's")
            _, opened, _, _ = socket.recv_fds(connection, 1, MOST_FILES)
            with connection.makefile("rb") as text:
                wanted = Wanted(**json.loads(text.readline()))
            if wanted.python != sys.prefix:
                raise OSError("another Python's")
            process = os.fork()
        except (OSError, ValueError, TypeError):
            connection.close()  # it asked for nothing that can be done here, or went away
            for file in opened:  # else whoever reads from it would wait for this process's end
                os.close(file)
            return None
        if process == 0:
            connection.close()
            self._become(wanted, opened)
            return wanted
        for file in opened:
            os.close(file)
        with contextlib.suppress(OSError):
            os.setpgid(process, process)
        with contextlib.suppress(OSError):
            connection.sendall(b"+")
        self._running[process] = connection
        self._selector.register(connection, selectors.EVENT_READ, process)
        return None

    def _become(self, wanted: Wanted, opened: list[int]) -> None:
        """In the forked process: nothing of the server's stays but what it imported."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        end_with_parent()
        for ours in (self._listener, self._ended, self._wake, *self._running.values()):
            ours.close()
        if self._successor is not None:
            self._successor[1].close()
        self._selector.close()
        aside = [fcntl.fcntl(file, fcntl.F_DUPFD, max(wanted.files) + 1) for file in opened]
        for file in opened:
            os.close(file)
        for place, file in zip(wanted.files, aside, strict=True):
            os.dup2(file, place)
            os.close(file)
        os.chdir(wanted.folder)
        os.environ.clear()
        os.environ.update(wanted.environment)
        sys.path[:] = wanted.path
        sys.argv[1:] = wanted.arguments
        sys.path_importer_cache.clear()
        for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
            del sys.modules[name]

    def _reap(self) -> None:
        """Tell the stages whose stand-ins have ended."""
        with contextlib.suppress(BlockingIOError):
            self._ended.recv(4096)
        for process in list(self._running):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                connection = self._running.pop(process)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(bytes([code if code >= 0 else 128 - code]))
                connection.close()
        if self._listener.fileno() < 0 and not self._running and _ended(self._successor):
            os._exit(1)  # nobody listens any more: whoever started this may start another

    def _end(self, process: int) -> None:
        """The stage is gone: its stand-in goes too, with everything that it started."""
        connection = self._running.get(process)
        if connection is None:
            return  # it ended at the same moment
        self._selector.unregister(connection)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)


def main(name: str) -> None:
    """The preloaded process; it ends with the one that started it, and the second process with it.

    Raises:
        OSError: somebody listens there already.
    """
    if not possible():
        return
    end_with_parent()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    _import(FIRST)
    ready, says_so = socket.socketpair()
    successor = os.fork()
    if successor == 0:
        end_with_parent()
        ready.close()
        _import(THEN)
        listener.listen()  # again: who connects from now on sees this process at the other end
        server = Server(listener)
        says_so.sendall(b".")
        says_so.close()
        _run(server.serve())
    says_so.close()
    signal.signal(signal.SIGTERM, lambda *_: _leave(successor))
    _run(Server(listener, (successor, ready)).serve())


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with contextlib.suppress(ImportError):  # the stage that needs it will say so
            importlib.import_module(module)
    gc.freeze()  # what is imported stays shared with every fork (its reference counts aside)


def _ended(successor: tuple[int, socket.socket] | None) -> bool:
    try:
        return successor is not None and os.waitpid(successor[0], os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _leave(successor: int) -> NoReturn:
    """End, and the second process before: its memory takes a moment to put away, and whoever waits waits for both."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(successor, signal.SIGKILL)
        os.waitpid(successor, 0)
    os._exit(0)


def _run(wanted: Wanted) -> NoReturn:
    """Be `python -m module` to the end, but leave taking all that was imported apart to the system: it takes 0.5 s."""
    code = 0
    try:
        runpy.run_module(wanted.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end, in that order
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
