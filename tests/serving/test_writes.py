"""Requests that write at the same time write together, and each hears of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serving.writes import MOST, Together


def test_who_comes_while_one_writes_is_written_together() -> None:
    batches: list[list[int]] = []
    go_on = threading.Event()

    def work(items: Sequence[int]) -> list[int | Exception]:
        batches.append(list(items))
        go_on.wait(10)
        return [ValueError(f"not {item}") if item == 3 else item * 10 for item in items]

    async def main() -> list[int | BaseException]:
        together = Together(work)
        first = asyncio.create_task(together(0))
        while not batches:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(together(number)) for number in range(1, MOST + 3)]
        await asyncio.sleep(0)
        others[0].cancel()
        go_on.set()
        found = await asyncio.gather(first, *others[1:], return_exceptions=True)
        again = await together(7)
        return [*found, again]

    found = asyncio.run(main())
    assert batches == [[0], list(range(1, MOST + 1)), [MOST + 1, MOST + 2], [7]], "one who went away is written too"
    assert str(found[2]) == "not 3"
    assert [found[0], found[1], found[3], found[-1]] == [0, 20, 40, 70]


def test_what_breaks_for_all_is_told_to_all_and_the_next_one_goes_on() -> None:
    broken = [True]

    def work(items: Sequence[int]) -> list[int | Exception]:
        if broken.pop() if broken else False:
            raise OSError("no disk")
        return list(items)

    async def main() -> None:
        together = Together(work)
        outcomes = await asyncio.gather(together(1), together(2), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["no disk", "no disk"]
        assert await together(3) == 3

    asyncio.run(main())


def test_an_error_is_raised_where_it_is_awaited() -> None:
    async def main() -> None:
        together: Together[int, int] = Together(lambda items: [KeyError(item) for item in items])
        with pytest.raises(KeyError):
            await together(1)

    asyncio.run(main())
