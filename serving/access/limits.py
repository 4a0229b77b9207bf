"""Requests and tokens a minute, per key: fixed windows of a minute, counted in this process.

The window begins with a key's first request. Prompts are counted before they are read and
answers when they are whole, so answers that are under way can overdraw a window by what they
generate; the overdraft is not carried over. Replicas of the service count each for itself.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter


@dataclass(frozen=True)
class Window:
    """One limit of one key now."""

    what: str
    """`requests` or `tokens`."""
    limit: int
    remaining: int
    resets_in: float
    """Seconds until it is whole again."""

    @property
    def headers(self) -> dict[str, str]:
        """OpenAI's x-ratelimit-* headers."""
        return {
            f"x-ratelimit-limit-{self.what}": str(self.limit),
            f"x-ratelimit-remaining-{self.what}": str(self.remaining),
            f"x-ratelimit-reset-{self.what}": duration(self.resets_in),
        }


class TooMany(Exception):
    """The key's window is used up."""

    def __init__(self, window: Window, asked: int) -> None:
        self.window = window
        self.retry_after = max(1, math.ceil(window.resets_in))
        if asked > window.limit:
            advice = "It is more than a whole minute allows; reduce the prompt."
        else:
            advice = f"Please try again in {duration(window.resets_in)}."
        super().__init__(
            f"Rate limit reached on {window.what} per minute: limit {window.limit}, "
            f"used {window.limit - window.remaining}, requested {asked}. {advice}"
        )


class Limits:
    """Counts per key; 0 means without limit."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int) -> None:
        self._strategy = FixedWindowRateLimiter(MemoryStorage())
        self._items = {
            "requests": RateLimitItemPerMinute(requests_per_minute, namespace="requests"),
            "tokens": RateLimitItemPerMinute(tokens_per_minute, namespace="tokens"),
        }

    def take(self, what: str, key: str, amount: int = 1) -> None:
        """Count, unless it is more than the window has left.

        Raises:
            TooMany: nothing is counted then.
        """
        item = self._items[what]
        if item.amount and amount and not self._strategy.test(item, key, cost=amount):
            raise TooMany(self.window(what, key), amount)
        self.add(what, key, amount)

    def check(self, what: str, key: str) -> None:
        """Is anything left? Counts nothing.

        Raises:
            TooMany: the window is used up.
        """
        if self._items[what].amount and not self._strategy.test(self._items[what], key):
            raise TooMany(self.window(what, key), 1)

    def add(self, what: str, key: str, amount: int) -> None:
        """Count what has happened already."""
        if self._items[what].amount and amount:
            self._strategy.hit(self._items[what], key, cost=amount)

    def window(self, what: str, key: str) -> Window:
        """What a key has left."""
        item = self._items[what]
        stats = self._strategy.get_window_stats(item, key)
        return Window(what, item.amount, max(0, stats.remaining), max(0.0, stats.reset_time - time.time()))

    def headers(self, key: str) -> dict[str, str]:
        """The headers of every limit that is set."""
        windows = [self.window(what, key) for what, item in self._items.items() if item.amount]
        return {name: value for window in windows for name, value in window.headers.items()}


def duration(seconds: float) -> str:
    """Seconds as OpenAI's headers write them: `120ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
