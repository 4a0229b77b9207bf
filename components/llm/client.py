"""One client for any OpenAI-compatible endpoint: a teacher, a judge, our own service.

It speaks the one request that all of them know, POST /chat/completions without streaming
(https://platform.openai.com/docs/api-reference/chat/create), and asks again where asking again may help.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

import httpx

from components.models import first_line
from components.schema import Message
from components.stage import StageError

TRIES = 4
PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
"""HTTP statuses that another try may cure."""


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
        """What the model answers: one text a choice, empty where it said nothing.

        Args:
            parameters: further keys of the request (n, temperature, max_tokens, seed, response_format).

        Raises:
            StageError: the server cannot be reached, refuses, or answers something else; with what to do.
        """
        request = {"model": self.model, "messages": [message.model_dump() for message in messages], **parameters}
        answer = self._post(request)
        try:
            return [str(choice["message"]["content"] or "") for choice in answer["choices"]]
        except (KeyError, TypeError) as error:
            raise StageError(f"{self.base_url} answered no chat completion ({type(error).__name__}: {error})") from None

    def _post(self, request: dict[str, Any]) -> Any:
        url = f"{self.base_url}/chat/completions"
        said = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                response = self._http.post(url, json=request)
            except httpx.HTTPError as error:
                said = f"cannot be reached ({first_line(error) or type(error).__name__})"
                continue
            if response.status_code == 200:
                try:
                    return response.json()
                except json.JSONDecodeError:
                    raise StageError(f"{url} answered no JSON: is that an OpenAI-compatible server?") from None
            said = f"refused with {response.status_code}: {_reason(response)}"
            if response.status_code not in PASSING:
                break
        hint = f"; its key is read from {self.key_env}" if " 401" in said or " 403" in said else ""
        raise StageError(f"{url} (model {self.model}) {said}{hint}")


def _reason(response: httpx.Response) -> str:
    """The error's own message where it has OpenAI's shape."""
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(response.text.split())[:200] or "no reason given"
