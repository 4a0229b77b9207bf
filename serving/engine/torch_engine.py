"""The reference engine: transformers models, batched anew at every step, on a thread of its own.

New requests join at the next step and finished ones leave at once, so a short answer never
waits for a long one. One thread owns the models: whatever changes them (loading, dropping)
is done by that thread between two steps, in the order in which it was asked for.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from components import label_head, models
from components.chat import end_of_turn_id
from components.models import ModelError
from serving.engine import labels, proof
from serving.engine.grammar import Grammars
from serving.engine.interface import (
    BASE,
    Delta,
    EngineError,
    EngineState,
    Finished,
    Pace,
    Parity,
    QueueFull,
    Request,
    Stopping,
    Unloaded,
)
from serving.engine.lane import Lane
from serving.engine.prefixes import Prefixes
from serving.engine.row import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from components.golden import GoldenPrompt
    from components.label_head import LabelHead

log = logging.getLogger("saqia.engine")
T = TypeVar("T")

PREFILL_TOKENS = 4096
"""Most prompt tokens run between two steps: it bounds how long running answers pause for new ones."""


class Loaded:
    """A version as the engine holds it."""

    def __init__(self, lane: Lane, tokenizer: PreTrainedTokenizerBase) -> None:
        self.lane = lane
        self.tokenizer = tokenizer
        self.end_ids = end_ids(tokenizer, getattr(lane.model, "generation_config", None))
        self.users = 0
        """Requests queued or running; a version that is leaving goes when this is zero."""
        self.leaving = False
        self.head: LabelHead | None = None
        """What answers in place of generated tokens, where the version has one."""
        self._grammars: Grammars | None = None

    def grammars(self) -> Grammars:
        """The version's compiled grammars, made when the first one is asked for."""
        if self._grammars is None:
            self._grammars = Grammars(self.tokenizer, self.lane.vocabulary, self.end_ids)
        return self._grammars


class TorchEngine:
    """See `interface.Engine`. `base` is the folder with base.json."""

    def __init__(
        self,
        base: Path,
        *,
        max_batch: int,
        max_queue: int,
        context: int,
        merge_up_to: int = 500_000_000,
        prefix_cache_bytes: int = 0,
        device: str | None = None,
    ) -> None:
        self.base = base
        self.base_reference = models.read_base(base)
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._context = context
        self.prefixes = Prefixes(prefix_cache_bytes)
        shared = Lane(self._place(models.load_model(base)), "shared", self.prefixes)
        self._shared = shared
        self.parameters = sum(p.numel() for p in shared.model.parameters())
        self._merge = self.parameters <= merge_up_to
        self.note = ""
        """Why no faster engine answers, for /readyz."""
        self._lanes = [shared]
        self._loaded: dict[str, Loaded] = {BASE: Loaded(shared, models.load_tokenizer(base))}
        self._waiting: deque[Row] = deque()
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._steps = self._tokens = 0
        self._pace = Pace()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # What other threads call

    def load(self, name: str, folder: Path, *, merged: bool | None = None) -> None:
        if merged is None:
            merged = self._merge
        if name in self._loaded:
            raise ModelError(f"version {name} is loaded already")
        models.check_adapter(self.base, folder)
        tokenizer = load_version_tokenizer(folder)
        if label_head.there(folder):
            head = label_head.read(folder)
            lane = Lane(self._place(load_merged(self.base, folder)), name)
            self._on_engine_thread(lambda: self._add_lane(name, lane, tokenizer, head.to(lane.device)))
        elif not merged and mixable(folder):
            self._on_engine_thread(lambda: self._add_shared(name, folder, tokenizer))
        else:
            lane = Lane(self._place(load_merged(self.base, folder)), name, self.prefixes)
            self._on_engine_thread(lambda: self._add_lane(name, lane, tokenizer))

    def unload(self, name: str) -> None:
        if name == BASE:
            raise EngineError("the base cannot be unloaded: versions stand on it")
        self._on_engine_thread(lambda: self._mark_leaving(name))

    def submit(self, request: Request) -> None:
        with self._wake:
            loaded = self._loaded.get(request.model)
            if self._stopping:
                raise Stopping("the service is shutting down")
            if loaded is None or loaded.leaving:
                raise Unloaded(f"version {request.model} is not loaded")
            if loaded.head is not None and (refusal := labels.refusal(request)) is not None:
                raise refusal
            if len(self._waiting) >= self._max_queue:
                raise QueueFull(len(self._waiting), self._pace.retry_after(self._max_queue, self._max_batch))
            constraint = loaded.grammars().start(request.sampling.grammar) if request.sampling.grammar else None
            row = Row(request, loaded.tokenizer, loaded.end_ids, constraint, self._emit)
            if request.sampling.frequency_penalty or request.sampling.presence_penalty:
                row.counts = torch.zeros(loaded.lane.vocabulary, device=loaded.lane.device)
            request.submitted = time.monotonic()
            loaded.users += 1
            self._waiting.append(row)
            self._wake.notify()

    def adopt(self, row: Row) -> None:
        """Go on with a row that another engine began, ahead of those that still wait. It is never refused: it fails."""
        with self._wake:
            loaded = self._loaded.get(row.request.model)
            if loaded is not None and not self._stopping:
                row.move(self._emit)
                loaded.users += 1
                self._waiting.appendleft(row)
                self._wake.notify()
                return
        row.fail(Unloaded(f"version {row.request.model} is not loaded any more"))

    def context(self, name: str) -> int:
        loaded = self._loaded.get(name)
        if loaded is None:
            raise Unloaded(f"version {name} is not loaded")
        return min(self._context, loaded.lane.context)

    def vocabulary(self, name: str) -> int:
        loaded = self._loaded.get(name)
        if loaded is None:
            raise Unloaded(f"version {name} is not loaded")
        return loaded.lane.vocabulary

    def loaded(self) -> tuple[str, ...]:
        """Names that `submit` takes now."""
        with self._wake:
            return tuple(name for name, loaded in self._loaded.items() if not loaded.leaving)

    def state(self) -> EngineState:
        with self._wake:
            by_model: dict[str, int] = dict.fromkeys(self._loaded, 0)
            for lane in self._lanes:
                for row in lane.rows:
                    by_model[row.request.model] = by_model.get(row.request.model, 0) + 1
            return EngineState(len(self._waiting), sum(by_model.values()), by_model, self._steps, self._tokens)

    def prove(self, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
        """Log-probabilities of the golden answers (or labels), within `golden.TOLERANCE`."""
        loaded = self._loaded.get(name)
        if loaded is not None and loaded.head is not None:
            head, lane = loaded.head, loaded.lane
            return self._on_engine_thread(lambda: labels.prove(lane.model, head, prompts))
        return proof.by_logprobs(self, name, prompts, timeout)

    def answers_by(self, name: str) -> str:
        loaded = self._loaded.get(name)
        if loaded is not None and loaded.head is not None:
            return f"torch on {self._device}, by a label head"
        return f"torch on {self._device}" + (f"; {self.note}" if self.note else "")

    def close(self, drain_seconds: float) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(drain_seconds)
        if self._thread.is_alive():
            for row in [*self._waiting, *(row for lane in self._lanes for row in lane.rows)]:
                row.request.cancelled = True
            self._thread.join(10)

    # The engine's own thread

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                with self._wake:
                    while not (self._commands or self._waiting or self._busy() or self._stopping):
                        self._wake.wait()
                    if self._stopping and not (self._commands or self._waiting or self._busy()):
                        return
                    commands = list(self._commands)
                    self._commands.clear()
                for action, future in commands:
                    _settle(action, future)
                self._admit()
                for lane in self._lanes:
                    if lane.rows:
                        self._guarded(lane, lane.rows, lane.step)
                        self._steps += 1
                self._sweep()

    def _busy(self) -> bool:
        return any(lane.rows for lane in self._lanes)

    def _admit(self) -> None:
        """Move waiting rows into their lanes, as many as batch and prompt budget allow."""
        room = self._max_batch - sum(len(lane.rows) for lane in self._lanes)
        budget = PREFILL_TOKENS
        joining: dict[int, tuple[Lane, list[Row]]] = {}
        with self._wake:
            while self._waiting and room > 0 and (budget > 0 or not joining):
                row = self._waiting[0]
                if not row.end_early():
                    budget -= len(row.tokens)
                    room -= 1
                    lane = self._loaded[row.request.model].lane
                    joining.setdefault(id(lane), (lane, []))[1].append(row)
                self._waiting.popleft()
        for lane, rows in joining.values():
            head = self._loaded[rows[0].request.model].head
            if head is not None:
                self._guarded(lane, rows, lambda lane=lane, rows=rows, head=head: labels.answer(lane.model, head, rows))  # type: ignore[misc]
            else:
                self._guarded(lane, rows, lambda lane=lane, rows=rows: lane.admit(rows))  # type: ignore[misc]

    def _guarded(self, lane: Lane, rows: list[Row], action: Callable[[], Any]) -> None:
        """Run a forward pass; if it fails, its requests fail and the engine goes on."""
        rows = list(rows)
        try:
            action()
        except Exception as error:
            log.exception("%s: %d requests failed", lane.name, len(rows) + len(lane.rows))
            for row in {id(row): row for row in [*rows, *lane.rows]}.values():
                if not row.done:
                    row.fail(EngineError(f"the model failed: {type(error).__name__}: {models.first_line(error)}"))
            lane.reset()

    def _emit(self, request: Request, event: Delta | Finished) -> None:
        if isinstance(event, Finished):
            self._tokens += len(event.ids)
            self._pace.record(time.monotonic() - request.submitted)
            with self._wake:
                if (loaded := self._loaded.get(request.model)) is not None:
                    loaded.users -= 1
        try:
            request.on_event(event)
        except Exception:
            log.exception("request %s: its listener failed; the answer goes nowhere", request.id)
            request.cancelled = True

    def _add_shared(self, name: str, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        try:
            with torch.inference_mode(False):
                self._shared.add_adapter(name, folder)
        except Exception as error:
            raise ModelError(f"{folder} holds no usable adapter: {models.first_line(error)}") from error
        with self._wake:
            self._loaded[name] = Loaded(self._shared, tokenizer)

    def _add_lane(
        self, name: str, lane: Lane, tokenizer: PreTrainedTokenizerBase, head: LabelHead | None = None
    ) -> None:
        loaded = Loaded(lane, tokenizer)
        loaded.head = head
        with self._wake:
            self._lanes.append(lane)
            self._loaded[name] = loaded

    def _mark_leaving(self, name: str) -> None:
        if name in self._loaded:
            self._loaded[name].leaving = True

    def _sweep(self) -> None:
        """Drop versions that are leaving and that nobody waits for any more."""
        for name, loaded in [(n, v) for n, v in self._loaded.items() if v.leaving and v.users == 0]:
            with self._wake:
                del self._loaded[name]
                if loaded.lane is not self._shared:
                    self._lanes.remove(loaded.lane)
            self.prefixes.drop(name)
            if loaded.lane is self._shared:
                self._shared.drop_adapter(name)
            log.info("version %s is unloaded", name)

    def _on_engine_thread(self, action: Callable[[], T]) -> T:
        future: Future[T] = Future()
        with self._wake:
            if self._stopping:
                raise Stopping("the service is shutting down")
            self._commands.append((action, future))
            self._wake.notify()
        return future.result()

    def _place(self, model: PreTrainedModel) -> PreTrainedModel:
        placed: Any = model
        return placed.to(self._device).eval().requires_grad_(False)


def _settle(action: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(action())
    except Exception as error:
        future.set_exception(error)


def end_ids(tokenizer: PreTrainedTokenizerBase, generation: Any) -> frozenset[int]:
    """Tokens that end an answer: end of turn, end of text, and what the model's generation settings (if any) add."""
    found = {end_of_turn_id(tokenizer)}
    if isinstance(tokenizer.eos_token_id, int):
        found.add(tokenizer.eos_token_id)
    more = getattr(generation, "eos_token_id", None)
    found.update([more] if isinstance(more, int) else more or [])
    return frozenset(found)


def load_version_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer and chat template that a version was trained with.

    Raises:
        ModelError: they are not in its folder.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"{folder} holds no usable tokenizer: {models.first_line(error)}") from None
    if not tokenizer.chat_template:
        raise ModelError(f"{folder}/chat_template.jinja is missing: this is no complete version")
    return tokenizer


def load_merged(base: Path, folder: Path) -> PreTrainedModel:
    """A version as one plain model: its adapter merged into the base, or the fully tuned model that it is."""
    model: Any = models.load_model(base, folder)
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def mixable(folder: Path) -> bool:
    """Can PEFT put this version into one batch with others? Not with DoRA, biases or whole modules of its own."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
    except FileNotFoundError:
        return False
    special = ("use_dora", "modules_to_save", "trainable_token_indices")
    return (
        config.get("peft_type") == "LORA"
        and not any(config.get(k) for k in special)
        and (config.get("bias", "none") == "none")
    )
