"""The service's end of one openvino worker: rows go in, their tokens come back on a thread of its own."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.models import ModelError
from serving.engine.interface import BadGateway, EngineError, Stopping
from serving.engine.row import Row

log = logging.getLogger("saqia.engine")

ROOT = Path(__file__).parents[2]
START_SECONDS = 300.0
"""Loading a large model from a slow disk takes long; a worker that says nothing for so long is stuck."""
LOOK_SECONDS = 0.1
"""How often deadlines and hang-ups are looked at while no token comes."""


class Pipeline:
    """One model, loaded in a worker process."""

    def __init__(self, name: str, settings: Mapping[str, Any], hand_over: Callable[[Row], None] | None) -> None:
        """Start the worker and wait until it has loaded.

        hand_over takes rows that this pipeline cannot go on with: their grammar forbids what the model
        wants to say, or the worker has died. None: such rows fail.

        Raises:
            ModelError: it could not load the file; with the worker's own words.
        """
        self.name = name
        self.problem: str | None = None
        """Why this pipeline answers nothing any more."""
        self.rows: dict[int, Row] = {}
        self._hand_over = hand_over
        self._next = 0
        self._outbox = bytearray()
        self._lock = threading.Lock()
        self._closing = False
        self._wake_read, self._wake = os.pipe()
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serving.engine.openvino_worker", json.dumps(dict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the service, which then drains
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._pending = b""
        try:
            self._await_ready()
        except BaseException:
            self._put_away()
            raise
        os.set_blocking(self._in, False)
        self._thread = threading.Thread(target=self._run, name=f"openvino-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def ask(self, row: Row, most: int, waiting_allowed: int) -> int | None:
        """Queue a row; None, or where `most` rows and `waiting_allowed` more are here, how many wait.

        Raises:
            Stopping, BadGateway: the pipeline is closing, or dead.
        """
        sampling = row.sampling
        with self._lock:
            if self.problem is not None:
                raise BadGateway(self.problem)
            if self._closing:
                raise Stopping("the service is shutting down")
            if len(self.rows) >= most + waiting_allowed:
                return len(self.rows) - most
            self._next += 1
            self.rows[self._next] = row
            greedy = sampling.temperature == 0 or sampling.top_p == 0
            self._send(
                {
                    "ask": self._next,
                    "prompt": row.request.prompt,
                    "new": sampling.max_tokens,
                    "ends": sorted(row.end_ids),
                    "temperature": 0 if greedy else sampling.temperature,
                    "top_p": sampling.top_p,
                    "seed": seed_of(sampling.seed),
                    "whole": row.unwatched,
                }
            )
        return None

    def close(self, drain_seconds: float) -> None:
        """Take nothing new, finish what runs (at most so long), end the worker."""
        until = time.monotonic() + drain_seconds
        with self._lock:
            self._closing = True
        while self.rows and time.monotonic() < until and self._thread.is_alive():
            time.sleep(0.02)
        for row in list(self.rows.values()):
            row.request.cancelled = True
        with self._lock:
            self._closing = True
            self._wake_up()
        self._thread.join(5)
        self._put_away()

    def _await_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            if not select.select([self._out], [], [], max(0.0, until - time.monotonic()))[0]:
                raise ModelError(f"openvino did not load {self.name} within {START_SECONDS:g} s")
            for message in self._read():
                if message.get("ready"):
                    return
                raise ModelError(f"openvino cannot load {self.name}: {message.get('failed')}")

    def _read(self) -> list[dict[str, Any]]:
        """What the worker has said by now.

        Raises:
            BadGateway: it has died.
        """
        more = os.read(self._out, 1 << 20)
        if not more:
            code = self._process.wait(10)
            raise BadGateway(f"the openvino worker of {self.name} died (exit {code})")
        *lines, self._pending = (self._pending + more).split(b"\n")
        return [json.loads(line) for line in lines]

    def _run(self) -> None:
        try:
            while not (self._closing and not self.rows):
                with self._lock:
                    writable = [self._in] if self._outbox else []
                came = select.select([self._out, self._wake_read], writable, [], LOOK_SECONDS if self.rows else None)
                if self._wake_read in came[0]:
                    os.read(self._wake_read, 4096)
                self._flush()
                if self._out in came[0]:
                    for message in self._read():
                        self._heard(message)
                self._look()
        except Exception as error:
            self._die(error)

    def _heard(self, message: dict[str, Any]) -> None:
        if "failed" in message:
            raise BadGateway(f"the openvino worker of {self.name} failed: {message['failed']}")
        for id, tokens, ended in message["tokens"]:
            row = self.rows.get(id)
            if row is None:
                continue
            kept = self._feed(row, tokens)
            if kept and not row.done and ended:
                row.fail(EngineError("openvino had no room for the request's keys and values"))
            if row.done or not kept:
                self._forget(id, told=ended)
            if not kept:
                self._give_up(row, EngineError("the model left its grammar"))

    def _feed(self, row: Row, tokens: list[int]) -> bool:
        """Take tokens until the row is done; False from the first one that its grammar forbids.

        The model chose freely, and that is exact: where the grammar allows the likeliest token, it is the
        likeliest of those that it allows, too (and a drawn one is drawn as among them).
        """
        for token in tokens:
            if row.constraint is not None and not row.constraint.allows(token):
                return False
            row.accept(token, None)
            if row.done:
                return True
        return True

    def _give_up(self, row: Row, error: EngineError) -> None:
        if self._hand_over is None:
            row.fail(error)
        else:
            self._hand_over(row)

    def _look(self) -> None:
        for id, row in list(self.rows.items()):
            if row.end_early():
                self._forget(id, told=False)

    def _forget(self, id: int, *, told: bool) -> None:
        with self._lock:
            self.rows.pop(id, None)
            if not told:
                self._send({"drop": id})

    def _send(self, command: Mapping[str, Any]) -> None:
        """Under the lock: queue a line for the worker."""
        self._outbox += json.dumps(command, separators=(",", ":")).encode() + b"\n"
        self._wake_up()

    def _wake_up(self) -> None:
        os.write(self._wake, b".")

    def _flush(self) -> None:
        with self._lock:
            while self._outbox:
                try:
                    del self._outbox[: os.write(self._in, self._outbox[: 1 << 16])]
                except BlockingIOError:
                    return
                except BrokenPipeError:
                    self._outbox.clear()  # reading says why

    def _die(self, error: Exception) -> None:
        with self._lock:
            self.problem = str(error)
            rows, self.rows = list(self.rows.values()), {}
        log.error("%s; %d requests were with it", self.problem, len(rows), exc_info=not isinstance(error, EngineError))
        for row in rows:
            if not row.done:
                self._give_up(row, BadGateway(self.problem))

    def _put_away(self) -> None:
        """The worker ends when its input does; one that does not is killed."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._wake_read)
        os.close(self._wake)


def seed_of(seed: int | None) -> int:
    """openvino uses 32 bits of a seed: every one of OpenAI's 64 goes into them."""
    return int.from_bytes(hashlib.blake2b(str(seed or 0).encode(), digest_size=4).digest(), "big")
