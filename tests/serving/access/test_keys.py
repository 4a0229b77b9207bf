"""Keys over real HTTP: who is let in, with which scope, how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from components.feedback import keys
from serving.access.binding import Exposed, check, is_loopback
from tests.serving.live import Live, source

ASK: dict[str, Any] = {"model": "intake", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 4}
Make = Callable[..., Live]


@pytest.fixture
def make(base: Path, version_1: Path, tmp_path: Path) -> Iterator[Make]:
    running: list[Live] = []

    def start(**serving: object) -> Live:
        running.append(Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base), **serving))
        return running[-1]

    yield start
    for live in running:
        live.close()


def key(live: Live, *scopes: str) -> str:
    """A new key, which the service knows at once."""
    _, secret = keys.create(live.runtime.store.engine, f"test {scopes}", scopes or ("use",))
    live.runtime.keys.forget()
    return secret


def ask(live: Live, secret: str | None = None, path: str = "/v1/chat/completions", **changes: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return httpx.post(f"{live.url}{path}", json={**ASK, **changes}, headers=headers, timeout=60)


def test_on_this_machine_no_key_is_needed_and_any_word_in_its_place_is_taken(make: Make) -> None:
    live = make()
    assert ask(live).status_code == 200
    assert ask(live, "none").status_code == 200
    assert "x-ratelimit-limit-requests" not in ask(live).headers


def test_without_a_key_or_with_a_wrong_one_401_in_openais_shape(make: Make) -> None:
    live = make(api_keys="always")
    missing, wrong = ask(live), ask(live, "saqia-" + "x" * 43)
    assert (missing.status_code, wrong.status_code) == (401, 401)
    assert missing.headers["www-authenticate"] == "Bearer"
    assert "saqia keys create" in missing.json()["error"]["message"]
    assert wrong.json()["error"] == {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    assert "x-request-id" in missing.headers
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{live.url}/v1", api_key="wrong", max_retries=0).models.list()
    assert httpx.get(f"{live.url}/readyz").status_code == 200
    right = openai.OpenAI(base_url=f"{live.url}/v1", api_key=key(live), max_retries=0)
    assert right.models.retrieve("intake").id == "intake"


def test_each_path_wants_its_scope(make: Make) -> None:
    live = make(api_keys="always")
    use, review, admin = key(live, "use"), key(live, "review"), key(live, "admin")
    answered = ask(live, use)
    assert answered.status_code == 200
    refused = ask(live, review)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "missing_scope"
    assert "scope use" in refused.json()["error"]["message"]
    for secret in (use, review, admin):
        said = httpx.post(
            f"{live.url}/v1/feedback",
            json={"completion_id": answered.json()["id"], "thumb": "up"},
            headers={"Authorization": f"Bearer {secret}"},
        )
        assert said.status_code == 200
    raters = [event.rater for event in live.runtime.store.feedback_for(answered.json()["id"])]
    assert raters == ["test ('use',)", "test ('review',)", "test ('admin',)"]
    assert [ask(live, s, "/v1/admin/anything").status_code for s in (use, review, admin)] == [403, 403, 404]


def test_only_a_reviewers_key_marks_a_case_critical(make: Make) -> None:
    live = make(api_keys="always")
    use, review, admin = key(live, "use"), key(live, "review"), key(live, "admin")
    id = ask(live, use).json()["id"]

    def mark(secret: str, **said: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.post(f"{live.url}/v1/feedback", json={"completion_id": id, **said}, headers=headers)

    for said in (
        {"critical": True, "thumb": "up"},
        {"critical": False},
        {"kind": "critical"},
        {"kind": "not_critical"},
    ):
        refused = mark(use, **said)
        assert refused.status_code == 403
        error = refused.json()["error"]
        assert (error["code"], error["param"]) == ("missing_scope", "critical")
        assert "scope review" in error["message"]
    assert live.runtime.store.feedback_for(id) == []
    assert [mark(secret, critical=True).status_code for secret in (review, admin)] == [200, 200]
    assert [case.rater for case in live.runtime.store.critical("intake")] == ["test ('review',)"]


def test_a_revoked_key_is_refused_and_a_browsers_password_is_a_key(make: Make) -> None:
    live = make(api_keys="always")
    secret = key(live)
    by_password = httpx.get(f"{live.url}/v1/models", auth=("ana", secret))
    assert by_password.status_code == 200
    keys.revoke(live.runtime.store.engine, "test ()")
    live.runtime.keys.forget()
    assert ask(live, secret).status_code == 401


def test_requests_a_minute_are_limited_per_key_with_openais_headers(make: Make) -> None:
    live = make(api_keys="always", requests_per_minute=2, tokens_per_minute=0)
    first, other = key(live, "use"), key(live, "admin")
    left = [ask(live, first).headers["x-ratelimit-remaining-requests"] for _ in range(2)]
    assert left == ["1", "0"]
    refused = ask(live, first)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.json()["error"]["type"] == "requests"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert ask(live, other).status_code == 200
    with pytest.raises(openai.RateLimitError):
        openai.OpenAI(base_url=f"{live.url}/v1", api_key=first, max_retries=0).models.list()


def test_tokens_a_minute_count_prompt_and_answer(make: Make) -> None:
    live = make(api_keys="always", requests_per_minute=0, tokens_per_minute=200)
    secret = key(live)
    answered = ask(live, secret)
    used = answered.json()["usage"]["total_tokens"]
    Live.until(lambda: live.runtime.limits.window("tokens", only_id(live)).remaining == 200 - used)
    refused = ask(live, secret, messages=[{"role": "user", "content": "zq" * 85}])
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert int(refused.headers["x-ratelimit-remaining-tokens"]) == 200 - used
    for _ in range(40):
        if (last := ask(live, secret)).status_code == 429:
            break
    assert last.json()["error"]["type"] == "tokens"


def test_a_stream_is_counted_too(make: Make) -> None:
    live = make(api_keys="always", requests_per_minute=0, tokens_per_minute=5000)
    secret = key(live)
    whole = ask(live, secret, stream=True)
    assert whole.text.endswith("data: [DONE]\n\n")
    assert whole.headers["x-ratelimit-limit-tokens"] == "5000"
    prompt = ask(live).status_code  # not counted: no key
    assert prompt == 401
    Live.until(lambda: live.runtime.limits.window("tokens", only_id(live)).remaining < 5000 - 4)


def only_id(live: Live) -> str:
    return keys.every(live.runtime.store.engine)[-1].id


def test_what_others_reach_needs_a_key_to_exist(tmp_path: Path) -> None:
    from components.feedback.store import Store

    check("127.0.0.1", 3000)
    with pytest.raises(Exposed, match=r"0\.0\.0\.0:3000 can be reached from other machines.*saqia keys create"):
        check("0.0.0.0", 3000)
    with Store() as store:
        keys.create(store.engine, "ana", ["use"])
        check("0.0.0.0", 3000)
        keys.revoke(store.engine, "ana")
    with pytest.raises(Exposed):
        check("::", 3000)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("::ffff:192.168.1.4", False),
        ("", False),
        (None, False),
        ("my-laptop", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str | None, loopback: bool) -> None:
    assert is_loopback(host) is loopback
