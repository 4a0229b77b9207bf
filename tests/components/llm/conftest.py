"""A foreign OpenAI-compatible endpoint over real HTTP, whose habits a test chooses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Reply = Callable[[dict[str, Any]], "str | tuple[int, str]"]


class Endpoint:
    """`reply` says what each request is answered: a text, or a status and a body."""

    def __init__(self) -> None:
        self.reply: Reply = lambda request: "hello"
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.retry_after: str | None = None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append(request)
                endpoint.keys.append(self.headers.get("Authorization"))
                found = endpoint.reply(request) if self.path == "/v1/chat/completions" else (404, "no such path")
                status, body = found if isinstance(found, tuple) else (200, completion(found))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))
                if endpoint.retry_after is not None:
                    self.send_header("Retry-After", endpoint.retry_after)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def completion(text: str, finish: str = "stop", refusal: str | None = None) -> str:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"object": "chat.completion", "choices": [choice]})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()
