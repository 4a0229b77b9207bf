"""Any OpenAI-compatible server (vLLM, SGLang, a cloud provider, another Saqia) as the engine.

A chat goes there as messages, so that the server's own template applies; a text completion as
text, or as token ids where it was sent so. Streams are passed on as they come. What the server
refuses, the client is told in the server's words; what it breaks, in ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import models
from components.config import Settings
from components.models import ModelError
from serving.engine.interface import (
    UNKNOWN,
    BadGateway,
    DeadlineExceeded,
    Delta,
    EngineError,
    EngineState,
    Finished,
    FinishReason,
    Pace,
    Parity,
    QueueFull,
    Refused,
    Request,
    Sampling,
    Stopping,
    TokenLogprob,
    Unloaded,
)
from serving.engine.proof import ask
from serving.engine.stop import StopMatcher
from serving.engine.upstream_wire import Piece, body_of, keeps_to, of_response, pieces

if TYPE_CHECKING:
    import httpx

    from components.golden import GoldenPrompt

log = logging.getLogger("saqia.engine")

START_SECONDS = 120.0
"""How long a server may take that loads a model when it is first asked for."""
LOOK_SECONDS = 0.05
"""How often a hang-up of the client is looked for."""
UNBOUNDED = 1 << 30
"""Context and vocabulary of a model of which nothing is known here."""


class Busy(QueueFull):
    """The upstream server has too much to do, in its own words."""

    def __init__(self, message: str, retry_after: int) -> None:
        EngineError.__init__(self, message)
        self.retry_after = retry_after


class UpstreamEngine:
    """See `interface.Engine`. It loads nothing: `load` only sees that the server has the version."""

    def __init__(self, settings: Settings) -> None:
        import httpx

        serving = settings.serving
        self._task = settings.task
        self._upstream = serving.upstream
        self._max_batch = serving.max_batch
        self._max_queue = serving.max_queue
        self._context = settings.model.context
        self._vocabulary: dict[str, int | None] = {}
        """Loaded versions → size of their vocabulary; None: not known here."""
        self._pace = Pace()
        self._here: dict[int, Request] = {}
        self._running = 0
        self._tokens = 0
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Semaphore(self._max_batch)
        key = os.environ.get(self._upstream.key_env)
        self._client = httpx.AsyncClient(
            base_url=self._upstream.base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            # A request's own deadline bounds the whole; only an unreachable server is told sooner.
            timeout=httpx.Timeout(None, connect=self._upstream.connect_seconds),
            limits=httpx.Limits(max_connections=self._max_batch + 4, max_keepalive_connections=self._max_batch),
            trust_env=False,
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()

    @property
    def fixed(self) -> bool:
        """One model answers everything: the registry's versions mean nothing to it."""
        return "{version}" not in self._upstream.model

    def called(self, name: str) -> str:
        """What the server calls a version."""
        return self._upstream.models.get(name) or self._upstream.model.format(task=self._task, version=name)

    def load(self, name: str, folder: Path, *, merged: bool | None = None) -> None:
        self.require(name)
        self._vocabulary[name] = len(models.load_tokenizer(folder))

    def require(self, name: str) -> None:
        """See that the server answers and has the version; from then on requests for it are taken.

        Raises:
            ModelError: it has not; the message names what it has.
            BadGateway: it cannot be reached, or refuses the key.
        """
        self._wait(self._check(self.called(name)), START_SECONDS + 60)
        self._vocabulary.setdefault(name, None)

    def unload(self, name: str) -> None:
        self._vocabulary.pop(name, None)

    def submit(self, request: Request) -> None:
        if self._stopping:
            raise Stopping("the service is shutting down")
        if request.model != "base" and request.model not in self._vocabulary:
            raise Unloaded(f"version {request.model} is not loaded")
        waiting = len(self._here) - self._max_batch
        if waiting >= self._max_queue:
            raise QueueFull(waiting, self._pace.retry_after(self._max_queue, self._max_batch))
        body = body_of(request, self.called(request.model))
        request.submitted = time.monotonic()
        self._here[id(request)] = request
        asyncio.run_coroutine_threadsafe(self._answer(request, body), self._loop)

    def context(self, name: str) -> int:
        return UNBOUNDED if self.fixed else self._context

    def vocabulary(self, name: str) -> int:
        return self._vocabulary.get(name) or UNBOUNDED

    def state(self) -> EngineState:
        rows: dict[str, int] = dict.fromkeys(self._vocabulary, 0)
        for request in list(self._here.values()):
            rows[request.model] = rows.get(request.model, 0) + 1
        return EngineState(max(0, len(self._here) - self._running), self._running, rows, 0, self._tokens)

    def prove(self, name: str, prompts: Sequence[GoldenPrompt], timeout: float) -> Parity:
        """Every golden prompt asked as a chat, greedily: the text must be the golden one, and so template and weights.

        Log-probabilities of another server's precision are none of the proof.
        """
        for number, prompt in enumerate(prompts, 1):
            how = Sampling(max_tokens=len(prompt.answer_ids), temperature=0)
            answer = ask(self, name, prompt.prompt_ids, how, timeout, messages=prompt.messages).text
            if answer != prompt.answer:
                at = next((i for i, (a, b) in enumerate(zip(answer, prompt.answer, strict=False)) if a != b), None)
                at = min(len(answer), len(prompt.answer)) if at is None else at
                problem = (
                    f"golden prompt {number}: the upstream's answer differs from character {at} on: "
                    f"{answer[at : at + 20]!r} there and {prompt.answer[at : at + 20]!r} in training"
                )
                return Parity(False, number, 0.0, problem)
        return Parity(True, len(prompts), 0.0)

    def answers_by(self, name: str) -> str:
        return f"upstream: {self.called(name)} at {self._upstream.base_url}"

    def close(self, drain_seconds: float) -> None:
        if self._loop.is_closed():
            return
        self._stopping = True
        until = time.monotonic() + drain_seconds
        while self._here and time.monotonic() < until:
            time.sleep(0.02)
        for request in list(self._here.values()):
            request.cancelled = True
        while self._here and time.monotonic() < until + 5:
            time.sleep(0.02)
        with contextlib.suppress(Exception):
            self._wait(self._client.aclose(), 5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None], seconds: float = 60) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _check(self, model: str) -> None:
        async with self._named_errors():
            listed = await self._client.get("/models", timeout=30)
            if listed.status_code >= 500 or listed.status_code == 404:  # some cannot list: ask for a word instead
                body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 1}
                async with self._posted("/chat/completions", body) as answered:
                    await answered.aread()
                    if answered.status_code == 200:
                        return
                    await self._refusal(answered)
            if listed.status_code == 200:
                names = [str(entry.get("id")) for entry in listed.json().get("data", [])]
                if model in names:
                    return
                # Some list only what is in memory.
                if (await self._client.get(f"/models/{model}", timeout=30)).status_code == 200:
                    return
                has = ", ".join(names[:20]) or "none"
                raise ModelError(f"the upstream server has no model {model} (serving.upstream.model); it has: {has}")
            await self._refusal(listed)

    async def _answer(self, request: Request, body: dict[str, Any]) -> None:
        """One request from its place in the queue to its end; exactly one `Finished` comes of it."""
        shown: list[str] = []
        asking = asyncio.ensure_future(self._ask(request, body, shown))
        watching = asyncio.ensure_future(self._watch(request, asking))
        try:
            end = await asking
        except asyncio.CancelledError:
            end = Finished("".join(shown), "cancelled")
        except EngineError as error:
            end = Finished("".join(shown), "error", error=error)
        except Exception as error:
            log.exception("request %s: the upstream's answer cannot be used", request.id)
            message = f"the upstream server's answer cannot be used: {type(error).__name__}"
            end = Finished("".join(shown), "error", error=BadGateway(message))
        watching.cancel()
        self._tokens += len(end.ids)
        self._pace.record(time.monotonic() - request.submitted)
        del self._here[id(request)]
        self._tell(request, end)

    async def _watch(self, request: Request, asking: asyncio.Future[Finished]) -> None:
        while not asking.done():
            if request.cancelled:
                asking.cancel()
            await asyncio.sleep(LOOK_SECONDS)

    async def _ask(self, request: Request, body: dict[str, Any], shown: list[str]) -> Finished:
        left = None if request.deadline is None else request.deadline - time.monotonic()
        try:
            async with asyncio.timeout(left), self._room, self._named_errors():
                self._running += 1
                try:
                    return await self._exchange(request, body, shown)
                finally:
                    self._running -= 1
        except TimeoutError:
            raise DeadlineExceeded("the answer was not whole when the request's time was up") from None

    async def _exchange(self, request: Request, body: dict[str, Any], shown: list[str]) -> Finished:
        async with self._posted("/chat/completions" if request.messages else "/completions", body) as response:
            if response.status_code != 200:
                await response.aread()
                await self._refusal(response)
            if not request.stream:
                await response.aread()
                request.first_token = time.monotonic()
                return self._finished(request, of_response(request, response.json()), 1)
            whole = Piece("")
            stop = StopMatcher(request.sampling.stop)
            async for piece in pieces(request, response.aiter_lines()):
                if request.first_token is None and piece.text:
                    request.first_token = time.monotonic()
                whole = whole.then(piece)
                self._show(request, stop.feed(piece.text), piece.tokens, shown)
                if stop.stopped:  # the server did not see it itself
                    break
            if whole.reason is None and not stop.stopped:
                raise BadGateway("the upstream server's stream broke off")
            self._show(request, stop.flush(), (), shown)
            return self._finished(request, whole, len(shown))

    def _show(self, request: Request, text: str, tokens: tuple[TokenLogprob, ...], shown: list[str]) -> None:
        if text:
            shown.append(text)
            self._tell(request, Delta(text, tokens))

    @contextlib.asynccontextmanager
    async def _posted(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """The response's head. A kept connection may have been closed at the other end: then once more on a new one."""
        import httpx

        request = self._client.build_request("POST", path, json=body)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            response = await self._client.send(self._client.build_request("POST", path, json=body), stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def _finished(self, request: Request, whole: Piece, pieces_shown: int) -> Finished:
        """The end, with what a lax server left out seen to: stop strings are cut here, too, the rest is an error."""
        request.counted = whole.prompt_tokens
        stop = StopMatcher(request.sampling.stop)
        text = stop.feed(whole.text)
        text += stop.flush()
        reason: FinishReason = "length" if whole.reason == "length" and not stop.stopped else "stop"
        keeps_to(request, replace(whole, text=text), reason)
        uncounted = max(len(whole.tokens), pieces_shown)
        generated = uncounted if whole.completion_tokens is None else whole.completion_tokens
        return Finished(text, reason, (UNKNOWN,) * generated, whole.tokens, whole.of_prompt)

    def _tell(self, request: Request, event: Delta | Finished) -> None:
        try:
            request.on_event(event)
        except Exception:
            log.exception("request %s: its listener failed; the answer goes nowhere", request.id)
            request.cancelled = True

    @contextlib.asynccontextmanager
    async def _named_errors(self) -> AsyncIterator[None]:
        """What goes wrong on the wire, in one line."""
        import httpx

        where = self._upstream.base_url
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise BadGateway(f"the upstream server {where} cannot be reached ({models.first_line(error)})") from None
        except httpx.HTTPError as error:
            raise BadGateway(f"the connection to the upstream server broke off ({type(error).__name__})") from None
        except json.JSONDecodeError:
            raise BadGateway(f"the upstream server {where} answered with something that is no JSON") from None

    async def _refusal(self, response: httpx.Response) -> None:
        """Raise what a status other than 200 means."""
        try:
            told = response.json()["error"]
            message, param, code = str(told["message"]), told.get("param"), told.get("code")
        except (ValueError, KeyError, TypeError, AttributeError):
            message, param, code = response.text[:200].strip() or response.reason_phrase, None, None
        status = response.status_code
        if status == 429:
            after = response.headers.get("Retry-After", "")
            raise Busy(f"the upstream server is busy: {message}", int(after) if after.isdigit() else 5)
        if status in (401, 403):
            raise BadGateway(f"the upstream server refuses the key in {self._upstream.key_env} ({status})")
        if status in (400, 413, 422):
            raise Refused(message, param, None if code is None else str(code))
        raise BadGateway(f"the upstream server answered {status}: {message}")
