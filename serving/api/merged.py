"""Several answers streamed at once, their events in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from serving.api.answering import Asked
from serving.engine.interface import Event


async def merged(asked: Sequence[Asked]) -> AsyncIterator[tuple[int, Event]]:
    """Events of all answers with the index of theirs; an error of one ends all."""
    arrived: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue()

    async def pump(index: int, one: Asked) -> None:
        try:
            async for event in one.events():
                arrived.put_nowait((index, event))
            arrived.put_nowait((index, None))
        except Exception as error:
            arrived.put_nowait((index, error))

    tasks = [asyncio.create_task(pump(index, one)) for index, one in enumerate(asked)]
    open_ones = len(tasks)
    try:
        while open_ones:
            index, event = await arrived.get()
            if event is None:
                open_ones -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield index, event
    finally:
        for task in tasks:
            task.cancel()
        for one in asked:
            one.cancel()
