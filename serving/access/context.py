"""The request that is being answered: its id and its key, wherever the code has got to.

A context variable follows a request through coroutines and `asyncio.to_thread`, so log lines
carry its id and tokens are counted on its key without handing both through every function.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from components.feedback.keys import ApiKey


@dataclass
class Context:
    """One HTTP request."""

    request: str
    """Its id, as the response's `x-request-id` says it."""
    key: ApiKey | None = None
    reserve: Callable[[int], None] = lambda tokens: None
    """Count a prompt's tokens on the key before they are read; raises ApiError 429 where they are too many."""
    spend: Callable[[int], None] = lambda tokens: None
    """Count generated tokens on the key."""


CURRENT: ContextVar[Context | None] = ContextVar("request", default=None)
NOBODY = Context("")


def current() -> Context:
    """The request at hand; outside of one, a context that counts nothing."""
    return CURRENT.get() or NOBODY
