"""Two engines behind one surface: openvino for what it does exactly, torch for everything else.

Every version is loaded by the reference, which also proves it. Where openvino can hold it and
answers its golden prompts in the same tokens, requests that openvino can answer exactly go
there; what it cannot go on with (a grammar forbids the model's next token, its process died), the
reference goes on with, in the middle of an answer. /readyz says for every version which of the two
answers, and what keeps the faster one from it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.models import ModelError, first_line
from serving.engine.interface import (
    BASE,
    BadGateway,
    EngineError,
    EngineState,
    Parity,
    Request,
    Stopping,
    Unloaded,
)
from serving.engine.openvino_engine import OpenVinoEngine, unsupported
from serving.engine.torch_engine import TorchEngine

if TYPE_CHECKING:
    from components.golden import GoldenPrompt

log = logging.getLogger("saqia.engine")

REVIVE_SECONDS = 30.0


class AutoEngine:
    """See `interface.Engine`. `strict`: what openvino cannot do is refused instead of done by torch."""

    def __init__(self, reference: TorchEngine, fast: OpenVinoEngine, *, strict: bool) -> None:
        self.reference = reference
        self.fast = fast
        self._strict = strict
        self._why_not: dict[str, str] = {}
        """Versions that torch answers for → what keeps openvino from it."""
        self._leaving: set[str] = set()
        """Versions that take no new request and are still being answered."""
        self._folders: dict[str, Path | None] = {}
        self._revived: dict[str, float] = {}
        """Versions whose worker died → when a new one was last started."""
        self._reviving = threading.Lock()
        if strict:
            self._try_fast(BASE, None)
        else:
            self._why_not[BASE] = "the base is asked too seldom to be held twice"

    def load(self, name: str, folder: Path, *, merged: bool | None = None) -> None:
        self.reference.load(name, folder, merged=merged)
        self._try_fast(name, folder)

    def _try_fast(self, name: str, folder: Path | None) -> None:
        self._folders[name] = folder
        try:
            if folder is None:
                self.fast.load_base()
            else:
                self.fast.load(name, folder, model=self.reference.merged(name))
        except (ModelError, EngineError, OSError) as error:
            self._why_not[name] = first_line(error)
            log.warning("version %s is answered by torch, not by openvino: %s", name, self._why_not[name])
        else:
            self._why_not.pop(name, None)

    def _revive(self, name: str) -> None:
        """Start a worker in place of one that died, while torch answers.

        Not more often than makes sense: a version that brings its worker down again and again is mostly torch's.
        """
        if self._revived.get(name, -math.inf) + REVIVE_SECONDS > time.monotonic():
            return
        self._revived[name] = time.monotonic()

        def start() -> None:
            with self._reviving:
                if name in self._folders and name not in self._leaving and not self.fast.serves(name):
                    self._try_fast(name, self._folders[name])

        threading.Thread(target=start, name=f"revive-{name}", daemon=True).start()

    def unload(self, name: str) -> None:
        """The reference keeps the version until openvino's last answer is whole: it may have to go on with one."""
        if name != BASE:
            self._leaving.add(name)
            self.fast.unload(name, then=lambda: self._gone(name))
        else:
            self.reference.unload(name)

    def _gone(self, name: str) -> None:
        with contextlib.suppress(Stopping):
            self.reference.unload(name)
        self._leaving.discard(name)
        self._why_not.pop(name, None)
        self._folders.pop(name, None)
        self._revived.pop(name, None)

    def submit(self, request: Request) -> None:
        if request.model in self._leaving:
            raise Unloaded(f"version {request.model} is not loaded")
        if not self.fast.serves(request.model):
            if self.fast.problem(request.model) is not None:
                self._revive(request.model)
            self.reference.submit(request)
            return
        refusal = unsupported(request.sampling)
        if refusal is not None and self._strict:
            raise refusal
        if refusal is not None:
            self.reference.submit(request)
            return
        try:
            self.fast.submit(request)
        except BadGateway:  # it died just now; what it had begun, the reference has taken over
            self.reference.submit(request)

    def context(self, name: str) -> int:
        return self.reference.context(name)

    def vocabulary(self, name: str) -> int:
        return self.reference.vocabulary(name)

    def prove(self, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
        """By the reference, to the log-probability; openvino has proven its tokens when it was loaded."""
        return self.reference.prove(name, prompts, timeout)

    def answers_by(self, name: str) -> str:
        by_torch = self.reference.answers_by(name)
        if self.fast.serves(name):
            rest = "refused" if self._strict else by_torch
            return f"{self.fast.answers_by(name)}; what it cannot do exactly: {rest}"
        return f"{by_torch}; not openvino: {self._why_not.get(name) or self.fast.problem(name) or 'not loaded'}"

    def state(self) -> EngineState:
        one, other = self.reference.state(), self.fast.state()
        rows = {
            name: one.rows_by_model.get(name, 0) + other.rows_by_model.get(name, 0)
            for name in {*one.rows_by_model, *other.rows_by_model}
        }
        return EngineState(
            one.waiting + other.waiting,
            one.running + other.running,
            rows,
            one.steps + other.steps,
            one.tokens + other.tokens,
        )

    def close(self, drain_seconds: float) -> None:
        self.fast.close(drain_seconds)
        self.reference.close(drain_seconds)
