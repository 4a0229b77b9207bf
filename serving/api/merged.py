"""Several answers streamed at once, their events in the order in which they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from serving.api.answering import Asked
from serving.engine.interface import Event


async def merged(asked: Sequence[Asked]) -> AsyncIterator[tuple[int, Event]]:
    """Events of all answers with the index of theirs; an error of one ends all."""
    if len(asked) == 1:
        async with contextlib.aclosing(asked[0].events()) as only:
            async for one_event in only:
                yield 0, one_event
        return
    # Short: what is not sent yet shall wait with its answer, which puts pieces of text together.
    arrived: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue(len(asked))

    async def pump(index: int, one: Asked) -> None:
        try:
            async for event in one.events():
                await arrived.put((index, event))
            await arrived.put((index, None))
        except Exception as error:
            await arrived.put((index, error))

    tasks = [asyncio.create_task(pump(index, one)) for index, one in enumerate(asked)]
    open_ones = len(tasks)
    try:
        while open_ones:
            index, came = await arrived.get()
            if came is None:
                open_ones -= 1
            elif isinstance(came, BaseException):
                raise came
            else:
                yield index, came
    finally:
        for task in tasks:
            task.cancel()
        for one in asked:
            one.cancel()
