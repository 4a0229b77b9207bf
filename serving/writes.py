"""What requests write to the store, put together: while one transaction is at work, the next one gathers.

A lone request is written at once; many at a time share a thread, a transaction and a sync of
the disk. Each still waits until what it wrote is on disk, and hears of its own error only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from components.feedback.answers import AnswerTable
from components.feedback.store import Answered, Noted, Store
from components.schema import Feedback, Interaction

T = TypeVar("T")
R = TypeVar("R")
MOST = 200
"""So many in one transaction: others wait for it, and other processes too."""


class Writes:
    """The store as requests use it, all of them in one event loop."""

    def __init__(self, store: Store, told: Callable[[Feedback], None] = lambda _: None) -> None:
        """`told` hears of each event that is new, once it is on disk."""
        self._told = told
        self._answers: Together[Answered, None] = Together(store.add_answers)
        self._said: Together[Sequence[Feedback], Noted] = Together(store.add_said)

    async def answer(
        self, interaction: Interaction, structured: tuple[AnswerTable, Mapping[str, Any]] | None = None
    ) -> None:
        """`Store.add_interaction`."""
        await self._answers(Answered(interaction, structured))

    async def said(self, events: Sequence[Feedback]) -> Noted:
        """`Store.add_all`: what one person said of one answer."""
        noted = await self._said(events)
        for event, new in zip(noted.events, noted.new, strict=True):
            if new:
                self._told(event)
        return noted


class Together(Generic[T, R]):
    """A function of many items, called with one by many: it runs in a thread, over all that wait for it.

    Args:
        work: an outcome or an exception for each item, in their order.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        outcome: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await outcome

    async def _run(self) -> None:
        """Work until nobody waits. Whoever went away meanwhile is written too: it was served or said."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                try:
                    outcomes = await asyncio.to_thread(self._work, [item for item, _ in batch])
                except Exception as error:
                    outcomes = [error for _ in batch]
                for (_, outcome), found in zip(batch, outcomes, strict=True):
                    if outcome.done():
                        continue
                    if isinstance(found, Exception):
                        outcome.set_exception(found)
                    else:
                        outcome.set_result(found)
        finally:
            self._running = None
