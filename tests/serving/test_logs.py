"""Log lines: JSON with the request's id; no message text unless asked for; never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.feedback import keys
from serving.logs import Lines, without_secrets
from tests.serving.live import Live, source

SECRET_TEXT = "My left elbow hurts since Whitsun."
ASK: dict[str, Any] = {"model": "intake", "messages": [{"role": "user", "content": SECRET_TEXT}], "max_tokens": 4}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the service's own handler would write."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(Lines())
    logger = logging.getLogger("saqia")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield out
    logger.removeHandler(handler)
    logger.setLevel(before)


def serve(base: Path, version: Path, folder: Path, **serving: object) -> Live:
    return Live(f"sqlite:///{folder / 'saqia.db'}", source("1", version, base), **serving)


def test_a_request_is_one_line_with_its_id_version_and_key_and_nothing_said(
    base: Path, version_1: Path, tmp_path: Path, lines: io.StringIO
) -> None:
    live = serve(base, version_1, tmp_path, api_keys="always")
    try:
        known, secret = keys.create(live.runtime.store.engine, "ana", ["use"])
        headers = {"Authorization": f"Bearer {secret}", "x-request-id": "req-from-the-client"}
        answer = httpx.post(f"{live.url}/v1/chat/completions", json=ASK, headers=headers, timeout=60)
        odd = httpx.get(f"{live.url}/v1/models", headers={**headers, "x-request-id": "no good\u00e9".encode("latin-1")})
    finally:
        live.close()
    assert answer.headers["x-request-id"] == "req-from-the-client"
    assert odd.headers["x-request-id"].startswith("req-")
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    line = next(one for one in logged if one.get("path") == "/v1/chat/completions")
    expected = {"request": "req-from-the-client", "status": 200, "version": "1", "key": known.id, "level": "INFO"}
    assert expected.items() <= line.items()
    assert set(line) == {*expected, "time", "logger", "message", "method", "path", "ms"}
    assert SECRET_TEXT not in lines.getvalue()
    assert secret[12:] not in lines.getvalue()


def test_messages_are_logged_where_that_is_asked_for(
    base: Path, version_1: Path, tmp_path: Path, lines: io.StringIO
) -> None:
    live = serve(base, version_1, tmp_path, log_messages=True)
    try:
        answer = httpx.post(f"{live.url}/v1/chat/completions", json=ASK, timeout=60)
    finally:
        live.close()
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    said = next(one for one in logged if one["message"] == "interaction")
    assert said["messages"][-1]["content"] == SECRET_TEXT
    assert said["completion"] == answer.json()["id"]
    assert said["request"] == answer.headers["x-request-id"]


def test_keys_and_passwords_are_blotted_out_whoever_logs_them(lines: io.StringIO) -> None:
    secret = keys.PREFIX + "Ab1_" + "x-Y_z9" * 7
    try:
        raise RuntimeError(f"refused: {secret} at postgresql://saqia:hunter2@db/saqia")
    except RuntimeError:
        logging.getLogger("saqia.test").exception("Authorization: Bearer %s", "eyJhbGciOi.J9")
    written = lines.getvalue()
    assert "saqia-Ab1_…" in written
    assert "postgresql://saqia:…@db/saqia" in written
    for part in (secret[10:], "hunter2", "eyJ"):
        assert part not in written
    assert json.loads(written)["level"] == "ERROR"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "https://example.org/a:b saqia-service bearer of news Basic rules"
    assert without_secrets(text) == text
