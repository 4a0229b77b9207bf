"""The HTTP API: what it answers, and how it refuses."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from serving.api.errors import ALLOWED
from serving.api.requests import ChatRequest, CompletionRequest
from tests.serving.live import Live

ASK: dict[str, Any] = {"model": "intake", "messages": [{"role": "user", "content": "My head hurts."}], "max_tokens": 8}


def chat(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    response = http.post("/v1/chat/completions", json={**ASK, **changes})
    assert response.status_code == 200, response.text
    return dict(response.json())


def text(answer: dict[str, Any], choice: int = 0) -> str:
    return str(answer["choices"][choice]["message"]["content"])


def events(http: httpx.Client, path: str = "/v1/chat/completions", **changes: Any) -> list[str]:
    body = {**(ASK if "chat" in path else {}), "stream": True, **changes}
    with http.stream("POST", path, json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        return response.read().decode().split("\n\n")


def test_an_answer_has_openais_shape_and_says_which_version_gave_it(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json=ASK)
    answer = response.json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "intake@1"
    assert response.headers["x-saqia-version"] == "1"
    assert answer["system_fingerprint"].startswith("fp_")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert answer["choices"][0]["finish_reason"] == "length"
    assert usage["completion_tokens"] == 8


def test_every_answer_is_in_the_store_before_the_client_has_it(http: httpx.Client, live: Live) -> None:
    answer = chat(http, temperature=0.5, seed=3, user="nurse")
    stored = live.runtime.store.interaction(answer["id"])
    assert stored is not None
    assert stored.answer == text(answer)
    assert stored.model_version == "1"
    assert [message.role for message in stored.messages] == ["system", "user"]
    assert stored.parameters == {"max_tokens": 8, "temperature": 0.5, "seed": 3, "user": "nurse"}


def test_the_tasks_system_message_is_applied_only_where_the_client_sends_none(http: httpx.Client, live: Live) -> None:
    messages = [{"role": "system", "content": "Other."}, *ASK["messages"]]
    stored = live.runtime.store.interaction(chat(http, messages=messages)["id"])
    assert stored is not None
    assert [message.content for message in stored.messages] == ["Other.", "My head hurts."]
    bare = live.runtime.store.interaction(chat(http, model="base")["id"])
    assert bare is not None
    assert (bare.model_version, len(bare.messages)) == ("base", 1)


def test_a_stream_is_framed_to_the_letter_and_equals_the_whole_answer(http: httpx.Client) -> None:
    whole = chat(http, temperature=0, max_tokens=20)
    frames = events(http, temperature=0, max_tokens=20, stream_options={"include_usage": True})
    assert frames[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert all(frame.startswith("data: {") for frame in frames[:-2])
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    deltas = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(deltas) == text(whole)
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_without_include_usage_no_chunk_speaks_of_usage(http: httpx.Client) -> None:
    assert not any('"usage"' in frame for frame in events(http))


def test_n_answers_come_each_with_its_index_and_are_stored_each(http: httpx.Client, live: Live) -> None:
    answer = chat(http, n=3, temperature=1, seed=5)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({text(answer, k) for k in range(3)}) > 1
    for k in (1, 2):
        stored = live.runtime.store.interaction(f"{answer['id']}:{k}")
        assert stored is not None
        assert stored.answer == text(answer, k)
    streamed = [json.loads(f.removeprefix("data: ")) for f in events(http, n=3, temperature=1, seed=5)[:-2]]
    for k in range(3):
        parts = [c["delta"].get("content", "") for chunk in streamed for c in chunk["choices"] if c["index"] == k]
        assert "".join(parts) == text(answer, k)


def test_the_same_seed_gives_the_same_text_beside_other_requests(http: httpx.Client) -> None:
    first = text(chat(http, temperature=1, seed=11, max_tokens=30))
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: text(chat(http, temperature=1, seed=11, max_tokens=30)), range(8)))
    assert set(again) == {first}


def test_stop_strings_are_no_part_of_the_text_streamed_or_not(http: httpx.Client) -> None:
    whole = text(chat(http, temperature=0, max_tokens=30))
    stop = whole[5:8]
    answer = chat(http, temperature=0, max_tokens=30, stop=[stop, "never here"])
    assert text(answer) == whole[: whole.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"
    frames = [json.loads(f.removeprefix("data: ")) for f in events(http, temperature=0, max_tokens=30, stop=stop)[:-2]]
    assert "".join(c["delta"].get("content", "") for f in frames for c in f["choices"]) == whole[: whole.index(stop)]


def test_logprobs_have_a_token_its_bytes_and_the_best_alternatives(http: httpx.Client) -> None:
    answer = chat(http, temperature=0, logprobs=True, top_logprobs=3)
    content = answer["choices"][0]["logprobs"]["content"]
    assert len(content) == 8
    for entry in content:
        assert len(entry["top_logprobs"]) == 3
        assert entry["token"] == entry["top_logprobs"][0]["token"]
        assert entry["logprob"] <= 0
    whole = b"".join(bytes(entry["bytes"]) for entry in content).decode(errors="replace")
    assert whole == text(answer)


def test_json_schema_is_always_satisfied(http: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "level": {"enum": ["low", "high"]}},
        "required": ["ok", "level"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    for seed in range(4):
        answer = chat(http, response_format=wanted, temperature=2, seed=seed, max_tokens=60)
        assert set(json.loads(text(answer))) == {"ok", "level"}
        assert answer["choices"][0]["finish_reason"] == "stop"


def test_models_are_the_base_the_versions_and_the_names_that_move(http: httpx.Client) -> None:
    names = {model["id"]: model["version"] for model in http.get("/v1/models").json()["data"]}
    assert names == {"base": "base", "intake@1": "1", "intake": "1", "intake@champion": "1"}
    assert http.get("/v1/models/intake@champion").json()["version"] == "1"
    assert http.get("/v1/models/nothing").status_code == 404


def test_echo_with_logprobs_scores_the_prompt(http: httpx.Client) -> None:
    body = {
        "model": "base",
        "prompt": "the quick brown",
        "echo": True,
        "logprobs": 1,
        "max_tokens": 1,
        "temperature": 0,
    }
    choice = http.post("/v1/completions", json=body).json()["choices"][0]
    scores = choice["logprobs"]
    assert choice["text"].startswith("the quick brown")
    assert "".join(scores["tokens"]) == choice["text"]
    assert scores["token_logprobs"][0] is None
    assert all(score < 0 for score in scores["token_logprobs"][1:])
    assert [choice["text"][at:].startswith(t) for at, t in zip(scores["text_offset"], scores["tokens"], strict=True)]
    zero = http.post("/v1/completions", json={**body, "max_tokens": 0}).json()["choices"][0]["logprobs"]
    assert zero["token_logprobs"] == pytest.approx(scores["token_logprobs"][:-1], abs=1e-4)


def test_prompts_may_be_texts_or_token_ids(http: httpx.Client) -> None:
    body = {"model": "base", "max_tokens": 4, "temperature": 0}
    many = http.post("/v1/completions", json={**body, "prompt": ["hello", "the fox"]}).json()["choices"]
    assert [choice["index"] for choice in many] == [0, 1]
    ids = http.post("/v1/completions", json={**body, "prompt": [[80, 90], [100, 120, 130]]}).json()
    assert len(ids["choices"]) == 2
    assert ids["usage"]["prompt_tokens"] == 5
    streamed = events(http, "/v1/completions", **body, prompt="hello")
    parts = [json.loads(f.removeprefix("data: "))["choices"][0]["text"] for f in streamed[:-2]]
    assert "".join(parts) == many[0]["text"]


HALF = "\ud800"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_completion_tokens": -3}, "max_completion_tokens"),
    ({"frequency_penalty": 2.01}, "frequency_penalty"),
    ({"presence_penalty": -2.01}, "presence_penalty"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": ""}, "stop"),
    ({"stop": 5}, "stop"),
    ({"logit_bias": {"5": 101}}, "logit_bias"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"99999": 1}}, "logit_bias"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": HALF}]}, "messages"),
    ({"response_format": {"type": "yaml"}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"wizardry": 1}, "wizardry"),
    ({"model": None}, "model"),
    ({"seed": "x"}, "seed"),
]


@pytest.mark.parametrize(("change", "param"), REFUSED, ids=lambda v: json.dumps(v)[:40])
def test_an_impossible_value_is_refused_by_name(http: httpx.Client, change: dict[str, Any], param: str) -> None:
    body = json.dumps({**ASK, **change})
    response = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param, error
    assert param.split(".")[0].split("[")[0] in error["message"]
    if param in ALLOWED and "logit_bias" not in param and param not in ("top_logprobs", "messages"):
        assert ALLOWED[param] in error["message"]


def test_the_ranges_in_the_messages_are_those_that_are_checked() -> None:
    for name in ("temperature", "top_p", "n", "frequency_penalty", "presence_penalty", "top_logprobs"):
        limits = {
            type(m).__name__: getattr(m, type(m).__name__.lower()) for m in ChatRequest.model_fields[name].metadata
        }
        assert f"from {limits['Ge']:g} to {limits['Le']:g}" in ALLOWED[name]
    assert set(ALLOWED) <= set(ChatRequest.model_fields) | set(CompletionRequest.model_fields)


def test_what_is_no_json_object_is_refused(http: httpx.Client) -> None:
    for body in (b"{bad", b"[]", b"", b"\xff\xfe", b'"text"', b"null", b'{"model":"intake","messages":NaN}'):
        response = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400, (body, response.text)
        assert response.json()["error"]["type"] == "invalid_request_error"
    nan = json.dumps({**ASK, "temperature": float("nan")})
    response = http.post("/v1/chat/completions", content=nan, headers={"content-type": "application/json"})
    assert response.json()["error"]["param"] == "temperature"


def test_a_prompt_that_is_too_long_is_refused_with_the_counts(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={**ASK, "messages": [{"role": "user", "content": "word " * 400}]})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "256 tokens" in error["message"]
    assert "resulted in" in error["message"]


def test_unknown_models_paths_and_methods_are_refused_in_openais_shape(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={**ASK, "model": "gpt-9"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "intake@champion" in response.json()["error"]["message"]
    assert http.get("/v1/nothing").json()["error"]["type"] == "invalid_request_error"
    wrong = http.put("/v1/chat/completions", json=ASK)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_a_huge_body_is_refused_without_being_read(http: httpx.Client) -> None:
    response = http.post(
        "/v1/chat/completions", content=b"x" * (5 * 2**20), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    assert "max_body_mb" in response.json()["error"]["message"]


def test_any_script_and_emoji_are_answered_and_kept(http: httpx.Client, live: Live) -> None:
    for said in ("رأسي يؤلمني منذ أمس", "👩‍⚕️🤕 ouch", "頭が痛い", "a\u0000b", "\u202eabc", " \n\t"):
        answer = chat(http, messages=[{"role": "user", "content": said}])
        stored = live.runtime.store.interaction(answer["id"])
        assert stored is not None
        assert stored.messages[-1].content == said


def test_every_response_has_a_request_id_and_the_clients_own_is_kept(http: httpx.Client) -> None:
    assert http.get("/v1/models").headers["x-request-id"].startswith("req-")
    assert http.get("/v1/models", headers={"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert http.get("/v1/models", headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req-")


def test_a_client_that_hangs_up_frees_its_place(http: httpx.Client, live: Live) -> None:
    with (
        httpx.Client(base_url=live.url, timeout=30) as leaving,
        leaving.stream(
            "POST", "/v1/chat/completions", json={**ASK, "max_tokens": 200, "stream": True, "n": 8}
        ) as response,
    ):
        next(response.iter_bytes())
    engine = live.runtime.rollout.engines[0]
    live.until(lambda: engine.state().running == 0 and engine.state().waiting == 0)
    chat(http)


def test_sixty_four_clients_at_once_are_all_answered_and_stored_once(live: Live) -> None:
    def ask(k: int) -> str:
        with httpx.Client(base_url=live.url, timeout=120) as one:
            return str(chat(one, messages=[{"role": "user", "content": f"client {k}"}])["id"])

    with ThreadPoolExecutor(64) as pool:
        ids = list(pool.map(ask, range(64)))
    assert len(set(ids)) == 64
    for k, id in enumerate(ids):
        stored = live.runtime.store.interaction(id)
        assert stored is not None
        assert stored.messages[-1].content == f"client {k}"


def test_a_full_queue_answers_429_with_retry_after(base: Any, version_1: Any, tmp_path: Any) -> None:
    from tests.serving.live import source

    small = Live(f"sqlite:///{tmp_path / 's.db'}", source("1", version_1, base), max_batch=1, max_queue=1)
    try:
        barrier = threading.Barrier(12)

        def ask(_: int) -> httpx.Response:
            barrier.wait()
            return httpx.post(f"{small.url}/v1/chat/completions", json={**ASK, "max_tokens": 150}, timeout=60)

        with ThreadPoolExecutor(12) as pool:
            responses = list(pool.map(ask, range(12)))
        refused = [r for r in responses if r.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        assert refused[0].json()["error"]["code"] == "queue_full"
        assert {r.status_code for r in responses} <= {200, 429}
    finally:
        small.close()


def test_embeddings_are_refused_in_openais_shape(http: httpx.Client) -> None:
    response = http.post("/v1/embeddings", json={"model": "intake", "input": "hello"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"
    assert "embedding" in error["message"]


def test_json_object_gives_one_whole_object(http: httpx.Client, live: Live) -> None:
    tokenizer = live.runtime.versions.resolve("intake").tokenizer
    closing = {str(tokenizer.convert_tokens_to_ids(character)): 12 for character in '}"]'}
    whole = 0
    for seed in range(12):
        answer = chat(
            http, response_format={"type": "json_object"}, seed=seed, temperature=1, max_tokens=120, logit_bias=closing
        )
        if answer["choices"][0]["finish_reason"] == "stop":
            assert isinstance(json.loads(text(answer)), dict)
            whole += 1
        assert text(answer).startswith("{")
    assert whole >= 8


def test_more_tokens_than_fit_are_refused_with_the_counts(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", json={**ASK, "max_tokens": 256})
    prompt = chat(http)["usage"]["prompt_tokens"]
    assert response.status_code == 400
    message = response.json()["error"]["message"]
    assert f"you requested {prompt + 256} tokens ({prompt} in the messages, 256 in the completion)" in message
    fits = chat(http, max_tokens=256 - prompt)
    assert fits["usage"]["total_tokens"] <= 256
    text_prompt = {"model": "base", "prompt": "hello", "max_tokens": 300}
    assert "in the prompt, 300 in the completion" in http.post("/v1/completions", json=text_prompt).text


def test_user_metadata_and_store_are_taken_and_kept(http: httpx.Client, live: Live) -> None:
    answer = chat(http, user="ana", metadata={"ward": "3"}, store=True)
    stored = live.runtime.store.interaction(answer["id"])
    assert stored is not None
    assert stored.parameters["user"] == "ana"
    assert stored.parameters["metadata"] == {"ward": "3"}
    too_long = http.post("/v1/chat/completions", json={**ASK, "metadata": {"a": "x" * 513}})
    assert too_long.json()["error"]["param"].startswith("metadata")
