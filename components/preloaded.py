"""Stages that begin at once: a process that has imported the large libraries forks itself for each of them.

Importing PyTorch, transformers, MLflow or Great Expectations takes a stage 3 to 12 seconds of processor time, and
a turn has a dozen stages. Whoever runs several (a flow) starts `python -m components.preloaded NAME` once and puts
NAME into SAQIA_PRELOADED. A stage that finds it there (`stage.run`) hands its working folder, environment and
standard streams over, waits, and ends as its stand-in ends. Without the variable, or where nobody answers, a stage
is a process like any other; what it does is the same either way.

A stand-in outlives neither the preloaded process (`end_with_parent`) nor the stage that it stands in for, whose end
of the connection closes when it dies.

Only on Linux and where there is no GPU: CUDA cannot be used in a fork of a process that has looked at it (PyTorch's
notes on multiprocessing), and macOS's system libraries don't survive a fork.
"""

from __future__ import annotations

import contextlib
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
from dataclasses import asdict, dataclass
from pathlib import Path

from components.lifetime import end_with_parent

VARIABLE = "SAQIA_PRELOADED"
"""Environment variable: name of the abstract socket (unix(7)) at which the preloaded process listens."""

MODULES = (
    "sqlalchemy",
    "alembic",
    "numpy",
    "mlflow",
    "tokenizers",
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "great_expectations",
    "great_expectations.expectations",
    "peft",
)
"""What takes stages long to import, in the order in which a turn needs it."""

GPUS = ("/dev/nvidiactl", "/dev/kfd")
OWN = ("components", "flows", "serving", "tasks")
"""The project's own packages: a stand-in imports them afresh, from the folder in which its stage runs."""


def possible() -> bool:
    """Whether a preloaded process can be used here."""
    return sys.platform == "linux" and not any(Path(device).exists() for device in GPUS)


@dataclass(frozen=True)
class Wanted:
    """A stage as it was started; its stand-in becomes the same."""

    module: str
    """As in `python -m module`."""
    folder: str
    environment: dict[str, str]
    path: list[str]
    """`sys.path`."""
    python: str
    """`sys.prefix`: another environment's stage cannot be stood in for."""


def handed_over() -> int | None:
    """Have the preloaded process run this one's main module instead; return the exit code to end with.

    None where there is no such process or it does not take the work: then the caller does it.
    """
    name = os.environ.get(VARIABLE)
    spec = sys.modules["__main__"].__spec__
    if not name or spec is None:
        return None
    wanted = Wanted(spec.name, os.getcwd(), dict(os.environ), sys.path, sys.prefix)
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"\0{name}")
            if not _of_same_user(connection):
                return None
            socket.send_fds(connection, [b"."], [0, 1, 2])
            connection.sendall(json.dumps(asdict(wanted)).encode() + b"\n")
            if not connection.recv(1):
                return None
        except OSError:
            return None
        code = connection.recv(1)  # closed without a word: it was killed, and its stand-ins with it
        return code[0] if code else 128 + signal.SIGKILL


def _of_same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's (SO_PEERCRED): an abstract socket has no permissions."""
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.getuid())


class Server:
    """Imports what stages need and forks for each that asks; one thread, so that a fork copies no held lock."""

    def __init__(self, name: str) -> None:
        """Raises: OSError: somebody listens there already."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{name}")
        self._listener.listen()
        self._ended, self._wake = socket.socketpair()  # the kernel's word that a child ended, as something to wait for
        for end in (self._ended, self._wake):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._running: dict[int, socket.socket] = {}
        """Process of a stand-in → the stage it stands in for."""

    def serve(self) -> Wanted:
        """Listen until killed. Returns in a forked process only: what that one has to run."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        missing = list(MODULES)
        while True:
            for key, _ in self._selector.select(timeout=0 if missing else None):
                if key.fileobj is self._listener:
                    wanted = self._accept()
                    if wanted is not None:
                        return wanted
                elif key.fileobj is self._ended:
                    self._reap()
                else:
                    self._end(key.data)
            if missing:
                with contextlib.suppress(ImportError):  # the stage that needs it will say so
                    importlib.import_module(missing.pop(0))
                    gc.freeze()  # what is imported stays shared with every fork (its reference counts aside)

    def _accept(self) -> Wanted | None:
        """Fork for a stage; what to run where this is the forked process."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        try:
            if not _of_same_user(connection):
                raise OSError("another user's")
            _, streams, _, _ = socket.recv_fds(connection, 1, 3)
            with connection.makefile("rb") as text:
                wanted = Wanted(**json.loads(text.readline()))
            if wanted.python != sys.prefix:
                raise OSError("another Python's")
            process = os.fork()
        except (OSError, ValueError, TypeError):
            connection.close()
            return None
        if process == 0:
            self._become(wanted, streams)
            return wanted
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            os.setpgid(process, process)
        with contextlib.suppress(OSError):
            connection.sendall(b"+")
        self._running[process] = connection
        self._selector.register(connection, selectors.EVENT_READ, process)
        return None

    def _become(self, wanted: Wanted, streams: list[int]) -> None:
        """In the forked process: nothing of the server's stays but what it imported."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end_with_parent()
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        for opened in (self._listener, self._ended, self._wake, *self._running.values()):
            opened.close()
        self._selector.close()
        os.chdir(wanted.folder)
        os.environ.clear()
        os.environ.update({key: value for key, value in wanted.environment.items() if key != VARIABLE})
        sys.path[:] = wanted.path
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

    def _end(self, process: int) -> None:
        """The stage is gone: its stand-in goes too, with everything that it started."""
        self._selector.unregister(self._running[process])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)


def main(name: str) -> None:
    """The preloaded process; it ends with the one that started it."""
    if not possible():
        return
    end_with_parent()
    wanted = Server(name).serve()
    runpy.run_module(wanted.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
