"""One client for any OpenAI-compatible endpoint: a teacher, a judge, our own service.

It speaks the one request that all of them know, POST /chat/completions without streaming
(https://platform.openai.com/docs/api-reference/chat/create), and asks again where asking again may help.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from components.models import first_line
from components.schema import Message
from components.stage import StageError

TRIES = 4
PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
"""HTTP statuses that another try may cure."""
LONGEST_PAUSE = 60.0
"""Seconds that a server may have us wait before the next try (Retry-After, RFC 9110, 10.2.3)."""


class Refused(StageError):
    """The server was reached and refused; `status` is HTTP's."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True)
class Choice:
    """One answer to a request."""

    text: str
    """Empty where the model said nothing."""
    finish: str | None
    """Why it ended: `stop`, `length`, `content_filter`, …; None where the server does not say."""
    refusal: str | None = None
    """In what words the model declined, where the server tells that apart."""


class Client:
    """A model behind an endpoint; may be used by several threads, and as a context that closes its connections."""

    def __init__(
        self, base_url: str, model: str, key_env: str = "SAQIA_LLM_KEY", timeout: float = 60, pause: float = 1.0
    ) -> None:
        """Args: base_url: up to and with `/v1`; key_env: the variable with its key; pause: seconds before the second
        try, doubled before each further one."""
        self.base_url, self.model, self.key_env, self.pause = base_url.rstrip("/"), model, key_env, pause
        key = os.environ.get(key_env)
        self._http = httpx.Client(timeout=timeout, headers={"Authorization": f"Bearer {key}"} if key else {})

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def chat(self, messages: Sequence[Message], **parameters: Any) -> list[str]:
        """What the model answers: one text a choice, empty where it said nothing. See `choices`."""
        return [choice.text for choice in self.choices(messages, **parameters)]

    def choices(self, messages: Sequence[Message], **parameters: Any) -> list[Choice]:
        """What the model answers, and why each answer ended.

        Args:
            parameters: further keys of the request (n, temperature, max_tokens, seed, response_format).

        Raises:
            Refused: the server refuses; with its reason and what to do.
            StageError: it cannot be reached, or answers something else.
        """
        request = {"model": self.model, "messages": [message.model_dump() for message in messages], **parameters}
        answer = self._post(request)
        try:
            return [
                Choice(
                    text=str(choice["message"]["content"] or ""),
                    finish=choice.get("finish_reason"),
                    refusal=choice["message"].get("refusal"),
                )
                for choice in answer["choices"]
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise StageError(f"{self.base_url} answered no chat completion ({type(error).__name__}: {error})") from None

    def _post(self, request: dict[str, Any]) -> Any:
        url = f"{self.base_url}/chat/completions"
        said, status, wanted = "", 0, 0.0
        for attempt in range(TRIES):
            if attempt:
                time.sleep(max(self.pause * 2 ** (attempt - 1), wanted))
            try:
                response = self._http.post(url, json=request)
            except httpx.HTTPError as error:
                said, status, wanted = f"cannot be reached ({first_line(error) or type(error).__name__})", 0, 0.0
                continue
            if response.status_code == 200:
                try:
                    return response.json()
                except json.JSONDecodeError:
                    raise StageError(f"{url} answered no JSON: is that an OpenAI-compatible server?") from None
            status, wanted = response.status_code, _wait_wanted(response)
            said = f"refused with {status}: {_reason(response)}"
            if status not in PASSING:
                break
        hint = f"; its key is read from {self.key_env}" if status in (401, 403) else ""
        line = f"{url} (model {self.model}) {said}{hint}"
        raise Refused(line, status) if status else StageError(line)


def _wait_wanted(response: httpx.Response) -> float:
    """Seconds that the server asks for before the next try; 0 where it names none, or only a date."""
    try:
        return min(max(float(response.headers.get("Retry-After", 0)), 0.0), LONGEST_PAUSE)
    except ValueError:
        return 0.0


def _reason(response: httpx.Response) -> str:
    """The error's own message where it has OpenAI's shape."""
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(response.text.split())[:200] or "no reason given"
