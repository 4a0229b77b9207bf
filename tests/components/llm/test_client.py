"""The one client: what it sends, when it asks again, and what it says when it can't."""

from __future__ import annotations

import time

import pytest

from components.llm.client import TRIES, Choice, Client
from components.schema import Message
from components.stage import StageError
from tests.components.llm.conftest import Endpoint, completion

HELLO = [Message(role="user", content="hello")]


def test_it_sends_what_was_asked_and_the_key_that_the_environment_holds(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    with Client(endpoint.url + "/", "judge-7b", "A_KEY") as client:
        assert client.chat(HELLO, temperature=0, seed=3) == ["hello"]
    assert endpoint.requests == [
        {"model": "judge-7b", "messages": [{"role": "user", "content": "hello"}], "temperature": 0, "seed": 3}
    ]
    assert endpoint.keys == ["Bearer secret"]


def test_without_a_key_none_is_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAQIA_LLM_KEY", raising=False)
    Client(endpoint.url, "m").chat(HELLO)
    assert endpoint.keys == [None]


def test_a_busy_server_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: "now" if len(endpoint.requests) == 3 else (429, '{"error":{"message":"slow down"}}')
    assert Client(endpoint.url, "m", pause=0).chat(HELLO) == ["now"]


def test_a_busy_server_s_own_pause_is_kept_and_a_date_is_no_reason_to_fail(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: "now" if len(endpoint.requests) == 2 else (429, "slow down")
    endpoint.retry_after = "0.3"
    begun = time.monotonic()
    assert Client(endpoint.url, "m", pause=0).chat(HELLO) == ["now"]
    assert time.monotonic() - begun >= 0.3
    endpoint.requests.clear()
    endpoint.retry_after = "Fri, 31 Dec 2100 23:59:59 GMT"
    assert Client(endpoint.url, "m", pause=0).chat(HELLO) == ["now"]


def test_it_says_why_an_answer_ended_and_in_what_words_a_model_declined(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: (200, completion("", "stop", refusal="I won't."))
    assert Client(endpoint.url, "m").choices(HELLO) == [Choice("", "stop", "I won't.")]
    endpoint.reply = lambda _: (200, completion("so f", "length"))
    assert Client(endpoint.url, "m").choices(HELLO) == [Choice("so f", "length")]


def test_a_server_that_stays_busy_is_given_up(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: (503, "overloaded")
    with pytest.raises(StageError, match=r"chat/completions \(model m\) refused with 503: overloaded"):
        Client(endpoint.url, "m", pause=0).chat(HELLO)
    assert len(endpoint.requests) == TRIES


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((401, '{"error":{"message":"no such key"}}'), r"refused with 401: no such key; its key is read from A_KEY"),
        ((400, '{"error":{"message":"model m does not exist"}}'), r"refused with 400: model m does not exist"),
        ((200, "<html>"), r"answered no JSON: is that an OpenAI-compatible server\?"),
        ((200, '{"object":"list"}'), r"answered no chat completion"),
    ],
)
def test_what_asking_again_cannot_cure_is_said_at_once(reply: tuple[int, str], said: str, endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: reply
    with pytest.raises(StageError, match=said):
        Client(endpoint.url, "m", "A_KEY", pause=0).chat(HELLO)
    assert len(endpoint.requests) == 1


def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(StageError, match=r"^http://127\.0\.0\.1:9/v1/chat/completions \(model m\) cannot be reached"):
        Client("http://127.0.0.1:9/v1", "m", pause=0).chat(HELLO)
