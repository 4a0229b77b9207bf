"""Several answers streamed at once, their events in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from serving.api.answering import Asked
from serving.engine.interface import Delta, Event


async def merged(asked: Sequence[Asked]) -> AsyncIterator[tuple[int, Event]]:
    """Events of all answers with the index of theirs; an error of one ends all.

    Text that came while the one before was being sent comes in one piece: a token may take a millisecond, sending
    one takes longer, and nobody is served by a queue of chunks.
    """
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
    held: list[tuple[int, Event | BaseException | None]] = []
    try:
        while open_ones:
            index, event = held.pop() if held else await arrived.get()
            while isinstance(event, Delta) and not held and not arrived.empty():
                other, more = arrived.get_nowait()
                if other == index and isinstance(more, Delta):
                    event = Delta(event.text + more.text, event.tokens + more.tokens)
                else:
                    held.append((other, more))
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
