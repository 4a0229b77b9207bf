"""One request while it is being answered: what was generated, what may be shown, when it ends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from serving.engine.detokenize import Detokenizer
from serving.engine.interface import UNKNOWN, Delta, EngineError, Finished, FinishReason, Request, TokenLogprob
from serving.engine.stop import StopMatcher

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from serving.engine.grammar import Constraint

Emit = Callable[[Request, Delta | Finished], None]


class Row:
    """The state that a request carries through the steps."""

    def __init__(
        self,
        request: Request,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: frozenset[int],
        constraint: Constraint | None,
        emit: Emit,
    ) -> None:
        sampling = request.sampling
        self.request = request
        self.sampling = sampling
        self.constraint = constraint
        self.ids: list[int] = []
        self.counts: torch.Tensor | None = None
        """How often each token was generated; kept only where a penalty needs it."""
        self.done = False
        self.random = random.Random(sampling.seed) if sampling.temperature > 0 else None
        self._detokenizer = Detokenizer(tokenizer)
        self._stop = StopMatcher(sampling.stop) if sampling.stop else None
        self._incremental = request.stream or bool(sampling.stop)
        self._tokenizer = tokenizer
        self.end_ids = end_ids
        self._emit = emit
        self._shown: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._unsent: list[TokenLogprob] = []
        self.prompt_logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def last(self) -> int:
        """The token that the next step continues from."""
        return self.ids[-1]

    @property
    def tokens(self) -> tuple[int, ...]:
        """Prompt and answer so far."""
        return (*self.request.prompt, *self.ids) if self.ids else self.request.prompt

    def move(self, emit: Emit) -> None:
        """Go on in another engine, which hears of the row's events from now on."""
        self._emit = emit

    def accept(self, token: int, logprob: TokenLogprob | None) -> None:
        """Take the next token; may end the row."""
        if self.request.first_token is None:
            self.request.first_token = time.monotonic()
        self.ids.append(token)
        if token in self.end_ids:
            self._finish("stop")
            return
        if logprob is not None:
            self._logprobs.append(logprob)
            self._unsent.append(logprob)
        if self._incremental:
            text = self._detokenizer.push(token)
            self._show(self._stop.feed(text) if self._stop else text)
            if self._stop and self._stop.stopped:
                self._finish("stop")
                return
        if self.constraint is not None and self.constraint.accept(token):
            self._finish("stop")
        elif len(self.ids) >= self.sampling.max_tokens:
            self._finish("length")

    def answer(self, text: str, logprob: TokenLogprob) -> None:
        """End the row with an answer that is there at once."""
        self.request.first_token = time.monotonic()
        self.done = True
        tokens = () if self.sampling.top_logprobs is None else (logprob,)
        if self.request.stream:
            self._emit(self.request, Delta(text, tokens))
        self._emit(self.request, Finished(text, "stop", (UNKNOWN,), tokens))

    def end_early(self) -> bool:
        """End the row if its client has gone or its time is up."""
        if self.done:
            return True
        if self.request.cancelled:
            self._finish("cancelled")
        elif self.request.deadline is not None and time.monotonic() > self.request.deadline:
            from serving.engine.interface import DeadlineExceeded

            self.fail(DeadlineExceeded("the answer was not whole when the request's time was up"))
        return self.done

    def fail(self, error: EngineError) -> None:
        """End the row with an error."""
        self.done = True
        self._emit(self.request, Finished("".join(self._shown), "error", tuple(self.ids), error=error))

    def score_only(self) -> None:
        """End a row that asked for nothing but its prompt's log-probabilities."""
        self._finish("length")

    def _show(self, text: str) -> None:
        if not text:
            return
        self._shown.append(text)
        if self.request.stream:
            self._emit(self.request, Delta(text, tuple(self._unsent)))
            self._unsent = []

    def _finish(self, reason: FinishReason) -> None:
        self.done = True
        if self._incremental:
            if not (self._stop and self._stop.stopped):
                rest = self._detokenizer.flush()
                if self._stop:
                    rest = self._stop.feed(rest) + self._stop.flush()
                    reason = "stop" if self._stop.stopped else reason
                self._show(rest)
            text = "".join(self._shown)
        else:
            ids = [token for token in self.ids if token not in self.end_ids]
            text = str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        self._emit(self.request, Finished(text, reason, tuple(self.ids), tuple(self._logprobs), self.prompt_logprobs))
