"""Around every request: its id, the largest body that is read, and one line in the log."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.context import CURRENT, Context
from serving.api.metrics import REQUESTS

log = logging.getLogger("saqia.access")
SAFE_ID = re.compile(r"^[\x21-\x7e]{1,128}$")


class RequestId:
    """Gives every response `x-request-id` (the client's own where it sent a usable one) and logs one line.

    The line says who, what, how long and how it ended; never what the messages were.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        id = sent if SAFE_ID.match(sent) else f"req-{secrets.token_hex(12)}"
        began = time.monotonic()
        status, version = 500, ""
        context = Context(id)
        token = CURRENT.set(context)

        async def with_id(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status = message["status"]
                version = dict(message["headers"]).get(b"x-saqia-version", b"").decode()
                took = f"{1000 * (time.monotonic() - began):.0f}".encode()
                message["headers"] = [
                    *message["headers"], (b"x-request-id", id.encode()), (b"openai-processing-ms", took)
                ]  # fmt: skip
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            path = scope["path"]
            if path.startswith("/v1/"):
                endpoint = path if path in ENDPOINTS else "other"
                REQUESTS.labels(endpoint, version or "none", str(status)).inc()
                line = {
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "ms": round(1000 * (time.monotonic() - began), 1),
                    "version": version or None,
                    "key": context.key.id if context.key else None,
                }
                log.info("answered", extra=line)
            CURRENT.reset(token)


ENDPOINTS = {"/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/feedback"}
"""Paths with a metric of their own; a client must not be able to invent labels."""


class BodyLimit:
    """Refuses a body larger than `limit` bytes with 413, without reading the rest of it."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._limit:
            await self._refuse(send)
            return
        parts: list[Message] = []
        size = 0
        while True:
            message = await receive()
            parts.append(message)
            size += len(message.get("body", b""))
            if size > self._limit:
                await self._refuse(send)
                return
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                break

        async def replay() -> Message:
            return parts.pop(0) if parts else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, send: Send) -> None:
        message = f"The body is larger than {self._limit / 2**20:g} MiB (serving.max_body_mb)."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "request_too_large"}
        body = json.dumps({"error": error}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
