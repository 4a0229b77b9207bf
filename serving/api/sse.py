"""Server-sent events as OpenAI frames them: `data: {json}`, a blank line, and `data: [DONE]` at the end."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

from serving.api.errors import ApiError, of_engine
from serving.engine.interface import EngineError

log = logging.getLogger("saqia.api")

DONE = b"data: [DONE]\n\n"
ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""One encoder for all: `json.dumps` makes one for every chunk."""


def frame(value: Mapping[str, Any]) -> bytes:
    """One event."""
    return b"data: " + ENCODE(value).encode() + b"\n\n"


class EventStream(StreamingResponse):
    """A streamed answer. An error on the way becomes an event, since the status has been sent."""

    def __init__(self, events: AsyncIterator[Mapping[str, Any]], headers: Mapping[str, str]) -> None:
        super().__init__(
            _framed(events),
            media_type="text/event-stream",
            headers={**headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )


async def _framed(events: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield frame(event)
    except ApiError as error:
        yield frame(error.body)
        return
    except EngineError as error:
        yield frame(of_engine(error).body)
        return
    except Exception:
        log.exception("a stream broke off")
        body = {"message": "The server failed in the middle of the answer.", "type": "server_error"}
        yield frame({"error": {**body, "param": None, "code": "internal_error"}})
        return
    yield DONE
