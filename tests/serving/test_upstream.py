"""Another server behind the same API: a second instance of our own service, and servers that misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from components import config
from components.models import ModelError
from serving.elsewhere import upstream_champion
from serving.engine.interface import BadGateway
from serving.engine.upstream_engine import UpstreamEngine
from tests.serving import models
from tests.serving.live import Live, source

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "My head hurts."}], "max_tokens": 12, "temperature": 0}


def behind(url: str, tmp_path: Path, base: Path, version: Path, **upstream: Any) -> Live:
    """A second instance that asks the one at `url`."""
    settings = {"engine": "upstream", "upstream": {"base_url": f"{url}/v1", **upstream}}
    return Live(f"sqlite:///{tmp_path / 'front.db'}", source("1", version, base), **settings)


@pytest.fixture(scope="module")
def front(
    live: Live, base: Path, version_1: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Live, Live]]:
    running = behind(live.url, tmp_path_factory.mktemp("front"), base, version_1)
    yield running, live
    running.close()


def test_the_same_answers_stored_in_front_with_their_version(front: tuple[Live, Live]) -> None:
    here, there = front
    ready = httpx.get(f"{here.url}/readyz").json()
    assert ready["engine"]["intake@1"] == f"upstream: intake@1 at {there.url}/v1"
    assert ready["parity"]["1"]["prompts"] == 2
    for more in ({}, {"temperature": 1, "seed": 5}, {"stop": ["e"]}, {"logit_bias": {"77": 50}}, {"n": 2, "seed": 1}):
        body = {"model": "intake", **ASK, **more}
        answers = [httpx.post(f"{one.url}/v1/chat/completions", json=body, timeout=60).json() for one in front]
        for key in ("choices", "usage", "model"):
            assert answers[0][key] == answers[1][key], more
        stored = here.runtime.store.interaction(answers[0]["id"])
        assert stored is not None
        assert (stored.answer, stored.model_version) == (answers[0]["choices"][0]["message"]["content"], "1")
    said = httpx.post(f"{here.url}/v1/feedback", json={"completion_id": answers[0]["id"], "thumb": "down"})
    assert said.status_code == 200


def test_streams_logprobs_schemas_and_scored_prompts_pass_through(front: tuple[Live, Live]) -> None:
    def all_ways(live: Live) -> list[Any]:
        with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(
                model="intake@1", stream=True, logprobs=True, stream_options={"include_usage": True}, **ASK
            )
            chunks = list(stream)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            tokens = [
                (token.token, token.bytes, round(token.logprob, 3))
                for chunk in chunks
                if chunk.choices and chunk.choices[0].logprobs
                for token in chunk.choices[0].logprobs.content or []
            ]
            schema = {"name": "note", "schema": models.SCHEMA, "strict": True}
            form = {"type": "json_schema", "json_schema": schema}
            held = client.chat.completions.create(model="intake@1", response_format=form, **{**ASK, "max_tokens": 90})  # type: ignore[arg-type]
            scored = client.completions.create(
                model="intake@1", prompt="the quick brown fox", echo=True, logprobs=1, max_tokens=3, temperature=0
            ).choices[0]
            assert scored.logprobs is not None
            scores = [None if value is None else round(value, 3) for value in scored.logprobs.token_logprobs or []]
            usage = chunks[-1].usage
            return [text, tokens, usage, held.choices[0].message.content, scored.text, scored.logprobs.tokens, scores]

    here, there = (all_ways(one) for one in front)
    assert here == there
    assert len(here[1]) == 12


def test_a_client_that_hangs_up_here_frees_its_place_there(front: tuple[Live, Live]) -> None:
    here, there = front
    body = {"model": "intake@1", **ASK, "max_tokens": 180, "stream": True, "logit_bias": {"0": -100, "2": -100}}
    with httpx.stream("POST", f"{here.url}/v1/chat/completions", json=body, timeout=60) as response:
        next(response.iter_lines())
    for live in (here, there):
        live.until(lambda live=live: sum(engine.state().running for engine in live.runtime.rollout.engines) == 0)


def test_a_version_that_the_server_lacks_or_answers_otherwise_does_not_serve(
    live: Live, base: Path, version_2: Path, tmp_path: Path
) -> None:
    for name, upstream, why in (
        ("lacks", {"model": "{task}@7{version}"}, "the upstream server has no model intake@71"),
        ("other", {"models": {"1": "intake@1"}}, "golden prompt 1: the upstream's answer differs"),
    ):
        (tmp_path / name).mkdir()
        front = behind(live.url, tmp_path / name, base, version_2, **upstream)
        ready = httpx.get(f"{front.url}/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert why in ready.json()["reason"]
        front.close()


def test_one_fixed_model_answers_without_any_registry(live: Live, tmp_path: Path) -> None:
    upstream = {"base_url": f"{live.url}/v1", "model": "intake@1"}
    settings = config.parse({"serving": {"engine": "upstream", "upstream": upstream}})
    champion = upstream_champion(settings)
    front = Live(f"sqlite:///{tmp_path / 'front.db'}", champion, engine="upstream", upstream=upstream)
    own = {**ASK, "messages": [{"role": "system", "content": models.SYSTEM}, *ASK["messages"]]}
    answer = httpx.post(f"{front.url}/v1/chat/completions", json={"model": "intake", **own}, timeout=60)
    there = httpx.post(f"{live.url}/v1/chat/completions", json={"model": "intake@1", **own}, timeout=60).json()
    assert answer.json()["choices"][0]["message"]["content"] == there["choices"][0]["message"]["content"]
    assert answer.json()["usage"] == there["usage"]  # the server's own counts, not those of bytes
    stored = front.runtime.store.interaction(answer.json()["id"])
    assert stored is not None
    assert (answer.headers["x-saqia-version"], stored.model_version) == ("intake@1", "intake@1")
    helped = httpx.post(
        f"{front.url}/v1/chat/completions", json={"model": "intake", **ASK, "max_tokens": 150}, timeout=60
    )
    assert helped.json()["choices"][0]["message"]["content"].startswith('{"symptom":')  # the task's schema
    text = {"model": "intake", "prompt": "the quick", "max_tokens": 5, "temperature": 0}
    texts = [
        httpx.post(f"{url}/v1/completions", json={**text, "model": model}, timeout=60).json()["choices"][0]["text"]
        for url, model in ((front.url, "intake"), (live.url, "intake@1"))
    ]
    assert texts[0] == texts[1]
    front.close()


class Misbehaving:
    """A server whose next answer a test chooses."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.keys: list[str] = []
        routes = [
            Route("/v1/models", self.models),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]
        self.server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="warning"))
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        Live.until(lambda: self.server.started)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    async def models(self, request: HttpRequest) -> Response:
        self.keys.append(request.headers.get("authorization", ""))
        if self.keys[-1] == "Bearer wrong":
            return JSONResponse({"error": {"message": "no"}}, 401)
        return JSONResponse({"object": "list", "data": [{"id": "some-model"}]})

    async def chat(self, _: HttpRequest) -> Response:
        made: Response = self.answer()
        return made

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Misbehaving, Live]]:
    server = Misbehaving()
    upstream = {"base_url": f"{server.url}/v1", "model": "some-model", "key_env": "TEST_UPSTREAM_KEY"}
    settings = config.parse({"serving": {"engine": "upstream", "upstream": upstream}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_UPSTREAM_KEY", "secret-key-1")
        folder = tmp_path_factory.mktemp("bad")
        champion = upstream_champion(settings)
        front = Live(f"sqlite:///{folder / 'f.db'}", champion, engine="upstream", upstream=upstream, deadline_seconds=5)
    yield server, front
    front.close()
    server.close()


def said(status: int, message: str, **more: Any) -> Any:
    headers = more.pop("headers", None)
    return lambda: JSONResponse({"error": {"message": message, **more}}, status, headers=headers)


def streaming(*frames: str) -> Any:
    async def body() -> AsyncIterator[str]:
        for frame in frames:
            yield f"data: {frame}\n\n"

    return lambda: StreamingResponse(body(), media_type="text/event-stream")


def silent() -> Response:
    async def never() -> AsyncIterator[str]:
        import asyncio

        await asyncio.sleep(20)
        yield ""

    return StreamingResponse(never())


def test_what_the_server_refuses_or_breaks_is_told_in_openais_shape(bad: tuple[Misbehaving, Live]) -> None:
    server, front = bad
    assert server.keys[0] == "Bearer secret-key-1"
    for answer, status, code, words in (
        (said(400, "too hot", param="temperature", code="hot"), 400, "hot", "too hot"),
        (said(401, "who?"), 502, "bad_gateway", "refuses the key in TEST_UPSTREAM_KEY"),
        (said(429, "slow down", headers={"Retry-After": "17"}), 429, "queue_full", "busy: slow down"),
        (said(503, "melting"), 502, "bad_gateway", "answered 503: melting"),
        (lambda: Response("<html>", 200), 502, "bad_gateway", "no JSON"),
        (lambda: JSONResponse({"choices": []}), 502, "bad_gateway", "no choices"),
        (silent, 504, "deadline_exceeded", "time was up"),
    ):
        server.answer = answer
        response = httpx.post(f"{front.url}/v1/chat/completions", json={"model": "intake", **ASK}, timeout=60)
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (status, code), error
        assert words in error["message"]
        assert "secret-key-1" not in response.text
        if status == 429:
            assert response.headers["Retry-After"] == "17"


def test_a_stream_that_breaks_off_ends_in_an_error_and_not_in_done(bad: tuple[Misbehaving, Live]) -> None:
    server, front = bad
    piece = json.dumps({"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]})
    for frames, words in (
        ([piece], "broke off"),
        ([piece, json.dumps({"error": {"message": "oh"}})], "in the middle of the answer: oh"),
    ):
        server.answer = streaming(*frames)
        body = {"model": "intake", **ASK, "stream": True}
        with httpx.stream("POST", f"{front.url}/v1/chat/completions", json=body, timeout=60) as response:
            lines = [line for line in response.read().decode().split("\n\n") if line]
        assert '"content":"half"' in lines[1]
        assert words in json.loads(lines[-1].removeprefix("data: "))["error"]["message"]
        assert "data: [DONE]" not in lines


def test_a_server_that_is_not_there_or_refuses_the_key_is_named(
    bad: tuple[Misbehaving, Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = bad

    def engine(**upstream: Any) -> UpstreamEngine:
        values = {"connect_seconds": 2, "model": "some-model", **upstream}
        return UpstreamEngine(config.parse({"serving": {"engine": "upstream", "upstream": values}}))

    nowhere = engine(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(BadGateway, match=r"http://127.0.0.1:9/v1 cannot be reached"):
        nowhere.require("some-model")
    monkeypatch.setenv("WRONG_KEY", "wrong")
    refused = engine(base_url=f"{server.url}/v1", key_env="WRONG_KEY")
    with pytest.raises(BadGateway, match="refuses the key in WRONG_KEY"):
        refused.require("some-model")
    other = engine(base_url=f"{server.url}/v1", model="other-model")
    with pytest.raises(ModelError, match=r"has no model other-model .*; it has: some-model"):
        other.require("other")
    for one in (nowhere, refused, other):
        one.close(0)
