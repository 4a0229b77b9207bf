"""The fast engine on a CPU: openvino-genai's continuous batching over merged versions as f16 GGUF.

It does a part of what the reference does, exactly: greedy and sampled text, seeds that the rest
of the batch does not touch, stop strings (matched here, on the text), streaming. A grammar is not
given to openvino, whose xgrammar leaves white space free and drops parts of a schema (`pattern` with
`minLength`, `format`) with only a warning: the model writes freely, every token is held against the
reference's own grammar, and at the first that is forbidden the reference goes on. What openvino
does otherwise than OpenAI's API means, it refuses (`unsupported`):

- penalties: openvino moves a logit towards and past zero by its sign, so a token whose logit is
  negative gains from a penalty (openvino.genai, src/cpp/src/sampling/logit_transformers.hpp);
- log-probabilities: f16 weights move them by more than the reference's tolerance, and it has no
  alternatives; logit_bias, echo: it has none.

f16 rounds the weights, so a version is asked its golden prompts first and serves here only if every
token is the reference's.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import golden, label_head, models
from components.export import gguf
from components.models import ModelError
from serving.engine import proof
from serving.engine.grammar import Constraint, Grammars
from serving.engine.interface import (
    BASE,
    Delta,
    EngineState,
    Finished,
    Pace,
    Parity,
    QueueFull,
    Request,
    Sampling,
    Unloaded,
    Unsupported,
)
from serving.engine.openvino_pipeline import Pipeline
from serving.engine.row import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from components.golden import GoldenPrompt

log = logging.getLogger("saqia.engine")

PREFILL_TOKENS = 4096
KEPT_VERSIONS = 4
"""Written versions that stay on disk, those last used."""
LONGEST_DRAIN = 3600.0
"""Seconds; a request's own deadline ends it long before."""
COLDEST = 0.01
"""Below this temperature (and above 0) single precision overflows in openvino's sampling."""


def available() -> str | None:
    """None, or why openvino cannot answer on this machine."""
    missing = [name for name in ("openvino_genai", "gguf") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} cannot be imported: pip install openvino-genai gguf" if missing else None


def unsupported(how: Sampling) -> Unsupported | None:
    """What of a request this engine cannot do exactly, or None."""
    for asked, param, what in (
        (how.frequency_penalty, "frequency_penalty", "OpenAI's penalties"),
        (how.presence_penalty, "presence_penalty", "OpenAI's penalties"),
        (how.logit_bias, "logit_bias", "logit_bias"),
        (how.grammar and 0 < how.top_p < 1, "top_p", "a nucleus of what a grammar allows"),
        (how.prompt_logprobs, "echo", "log-probabilities of a prompt"),
        (how.top_logprobs is not None, "logprobs", "log-probabilities in full precision"),
        (0 < how.temperature < COLDEST, "temperature", f"temperatures between 0 and {COLDEST}"),
    ):
        if asked:
            return Unsupported("openvino", param, what)
    return None


class Loaded:
    """A version as this engine holds it."""

    def __init__(
        self, pipeline: Pipeline, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int], context: int, size: int
    ) -> None:
        self.pipeline = pipeline
        self.tokenizer = tokenizer
        self.ends = ends
        self.context = context
        self.vocabulary = size
        self._grammars: Grammars | None = None

    def start(self, grammar: str) -> Constraint:
        """A fresh state of a grammar over this version's vocabulary."""
        if self._grammars is None:
            self._grammars = Grammars(self.tokenizer, self.vocabulary, self.ends)
        return self._grammars.start(grammar)


class OpenVinoEngine:
    """See `interface.Engine`.

    files: where versions are written as GGUF; it may be deleted at any time.
    hand_over: what goes on with a row whose grammar forbids what the model wants, or whose worker died.
    """

    def __init__(
        self,
        base: Path,
        files: Path,
        *,
        max_batch: int,
        max_queue: int,
        context: int,
        threads: int,
        hand_over: Callable[[Row], None] | None = None,
    ) -> None:
        self.base = base
        self._files = files
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._context = context
        self._threads = threads
        self._hand_over = hand_over
        self._loaded: dict[str, Loaded] = {}
        self._lock = threading.Lock()
        self._pace = Pace()
        self._tokens = 0

    def load(
        self, name: str, folder: Path, *, merged: bool | None = None, model: PreTrainedModel | None = None
    ) -> None:
        """Write the version, load it beside the others, and have it prove itself.

        model: the version as one plain model, where somebody holds it already.

        Raises:
            ModelError: it cannot be written as GGUF, not be loaded, or answers its golden prompts in other tokens.
        """
        from serving.engine.torch_engine import load_version_tokenizer

        models.check_adapter(self.base, folder)
        if label_head.there(folder):
            raise models.ModelError("it answers by a label head, which openvino's pipelines do not have")
        self._load(name, folder, load_version_tokenizer(folder), model)
        parity = self.prove(name, golden.read(folder), timeout=60.0)
        if not parity.holds:
            self.unload(name)
            raise ModelError(parity.problem)

    def load_base(self) -> None:
        """The bare base, too. There is nothing that it could prove itself on."""
        self._load(BASE, None, models.load_tokenizer(self.base))

    def _load(
        self,
        name: str,
        folder: Path | None,
        tokenizer: PreTrainedTokenizerBase,
        model: PreTrainedModel | None = None,
    ) -> None:
        from serving.engine.torch_engine import end_ids

        config, generation = _configs(self.base, folder)
        gguf.check(config)
        file = self._written(folder, tokenizer, model)
        context = min(self._context, int(config.max_position_embeddings))
        head = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        settings = {
            "file": str(file),
            "max_batch": self._max_batch,
            "context": context,
            "prefill_tokens": PREFILL_TOKENS,
            "threads": self._threads,
            "bytes_per_token": 2 * 4 * head * int(config.num_key_value_heads) * int(config.num_hidden_layers),
        }
        began = time.monotonic()
        pipeline = Pipeline(name, settings, self._hand_over)
        loaded = Loaded(pipeline, tokenizer, end_ids(tokenizer, generation), context, int(config.vocab_size))
        with self._lock:
            before = self._loaded.get(name)
            self._loaded[name] = loaded
        if before is not None:  # its worker died, and this one is in its place
            before.pipeline.close(0)
        log.info("openvino: %s is loaded (%.1f s, process %d)", name, time.monotonic() - began, pipeline.pid)

    def _written(self, folder: Path | None, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel | None) -> Path:
        """The GGUF of a version, written when it is first loaded.

        Here rather than at registration: that is done by flows, which know no torch; the file is twice
        derivable, so it belongs in no registry; and versions registered elsewhere or before get one, too.
        A version's own folder is held against its registered hash and must not grow.
        """
        from serving.engine.torch_engine import load_merged

        base = models.read_base(self.base).sha256[:16]
        own = "base" if folder is None else models.read_manifest(folder).adapter_sha256[:16]
        file = self._files / f"{base}-{own}" / "model.gguf"
        if file.exists():
            file.touch()
            return file
        if model is None:
            model = models.load_model(self.base) if folder is None else load_merged(self.base, folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        gguf.write(model, tokenizer, file)
        written = sorted(self._files.glob("*/model.gguf"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in written[KEPT_VERSIONS:]:
            shutil.rmtree(old.parent, ignore_errors=True)
        return file

    def unload(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        """Take no new request; when the last answer is whole, end the worker and call `then`."""
        with self._lock:
            loaded = self._loaded.pop(name, None)
        if loaded is None:
            then()
            return
        pipeline = loaded.pipeline

        def finish() -> None:
            pipeline.close(LONGEST_DRAIN)
            then()

        threading.Thread(target=finish, name=f"unload-{name}", daemon=True).start()

    def serves(self, name: str) -> bool:
        """Whether `submit` would take a request for this version now."""
        loaded = self._loaded.get(name)
        return loaded is not None and loaded.pipeline.problem is None

    def submit(self, request: Request) -> None:
        if (refusal := unsupported(request.sampling)) is not None:
            raise refusal
        loaded = self._of(request.model)
        request.submitted = time.monotonic()
        constraint = loaded.start(request.sampling.grammar) if request.sampling.grammar else None
        row = Row(request, loaded.tokenizer, loaded.ends, constraint, self._emit)
        waiting = loaded.pipeline.ask(row, self._max_batch, self._max_queue)
        if waiting is not None:
            raise QueueFull(waiting, self._pace.retry_after(self._max_queue, self._max_batch))

    def context(self, name: str) -> int:
        return self._of(name).context

    def vocabulary(self, name: str) -> int:
        return self._of(name).vocabulary

    def prove(self, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
        """Every golden prompt must be answered in the golden tokens."""
        return proof.by_tokens(self, name, prompts, timeout)

    def answers_by(self, name: str) -> str:
        return "openvino on cpu"

    def problem(self, name: str) -> str | None:
        """Why a loaded version answers nothing any more."""
        loaded = self._loaded.get(name)
        return loaded.pipeline.problem if loaded is not None else None

    def pipeline(self, name: str) -> Pipeline:
        """The worker behind a version."""
        return self._of(name).pipeline

    def state(self) -> EngineState:
        with self._lock:
            rows = {name: len(loaded.pipeline.rows) for name, loaded in self._loaded.items()}
        running = {name: min(count, self._max_batch) for name, count in rows.items()}
        return EngineState(sum(rows.values()) - sum(running.values()), sum(running.values()), running, 0, self._tokens)

    def close(self, drain_seconds: float) -> None:
        with self._lock:
            loaded, self._loaded = list(self._loaded.values()), {}
        closing = [threading.Thread(target=one.pipeline.close, args=(drain_seconds,)) for one in loaded]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _of(self, name: str) -> Loaded:
        loaded = self._loaded.get(name)
        if loaded is None:
            raise Unloaded(f"version {name} is not loaded")
        return loaded

    def _emit(self, request: Request, event: Delta | Finished) -> None:
        if isinstance(event, Finished):
            self._tokens += len(event.ids)
            self._pace.record(time.monotonic() - request.submitted)
        try:
            request.on_event(event)
        except Exception:
            log.exception("request %s: its listener failed; the answer goes nowhere", request.id)
            request.cancelled = True


def _configs(base: Path, folder: Path | None) -> tuple[Any, Any]:
    """Model and generation configuration of a version (a full one brings its own); the latter may be missing."""
    from transformers import AutoConfig, GenerationConfig

    where = folder if folder is not None and (folder / "config.json").exists() else models.weights_folder(base)
    config = AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
    has_generation = (where / "generation_config.json").exists()
    return config, GenerationConfig.from_pretrained(where, local_files_only=True) if has_generation else None
