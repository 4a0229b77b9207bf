"""Several requests at a time, their results in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


def side_by_side(ask: Callable[[Asked], Told], items: Iterable[Asked], parallel: int) -> Iterator[Told]:
    """`ask` of every item by so many threads; what has not begun is dropped when one fails or nobody listens any more.

    Raises:
        whatever `ask` raises, where its item's result would stand.
    """
    with ThreadPoolExecutor(parallel) as pool:
        try:
            yield from pool.map(ask, items)
        finally:
            pool.shutdown(cancel_futures=True)
