"""What a person at a terminal sees while flows run, and the tables they end with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from components.schema import Verdict
from components.sentences import say
from flows.results import Result

MARKS = {"ran": "[green]✓[/]", "cached": "[cyan]=[/]", "failed": "[red]✗[/]", "skipped": "[dim]-[/]"}


class Terminal:
    """Follows a flow: one line per stage as it ends, and the newest line of the one that runs."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._status: Status | None = None
        self._titles: dict[str, str] = {}
        self._said = 0.0
        self.results: list[Result] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step that is not a stage: shown while it runs, timed when it ends."""
        started = time.time()
        self._show(title)
        try:
            yield
        except BaseException:
            self.finished(Result(title, "failed", time.time() - started, started=started))
            raise
        self.finished(Result(title, "ran", time.time() - started, started=started))

    @contextmanager
    def running(self, title: str) -> Iterator[None]:
        """A heading, with a live line below it on a terminal."""
        self.console.print(f"[bold]{escape(title)}[/]")
        live = self.console.status(escape(title)) if self.console.is_terminal else nullcontext()
        with live as status:
            self._status = status if isinstance(status, Status) else None
            try:
                yield
            finally:
                self._status = None

    def line(self, stage: str, text: str) -> None:
        """The newest line of a running stage; without a terminal one every five seconds."""
        if self._status is not None:
            self._show(f"{stage}: {text}")
        elif time.monotonic() - self._said > 5:
            self._said = time.monotonic()
            self.console.print(f"    {stage}: {text}", style="dim", markup=False)

    def note(self, text: str) -> None:
        """A line that stays in sight."""
        self.console.print(f"    {text}", markup=False)

    def finished(self, result: Result) -> None:
        """One line for what ended."""
        self.results.append(result)
        took = "" if result.outcome in ("cached", "skipped") else f"{result.seconds:6.1f} s"
        note = {"cached": "unchanged, from the cache", "skipped": "not reached"}.get(result.outcome, "")
        error = f"  [red]{escape(result.error)}[/]" if result.outcome == "failed" and result.error else ""
        self.console.print(f"  {MARKS[result.outcome]} {escape(result.name):<34} {took:>9}  [dim]{note}[/]{error}")

    def _show(self, text: str) -> None:
        if self._status is not None:
            width = max(20, self.console.width - 6)
            self._status.update(escape(text[:width]))


DECIDES = {
    "target": "must gain",
    "guard": "must hold",
    "regression": "must hold",
    "critical": "none may break",
    "shown": "shown",
}


def verdict_table(
    verdict: Verdict, titles: dict[str, str] | None = None, title: str = "Before and after this turn"
) -> Table:
    """Before and after, per test set, with the paired interval of the gain."""
    titles = {name: say(f"set_{name}") for name in ("together", "best")} | (titles or {})
    table = Table(title=title, title_justify="left")
    table.add_column("test set")
    table.add_column("decides")
    for column in ("examples", "before", "after", "gain", f"{verdict.confidence:.0%} interval"):
        table.add_column(column, justify="right")
    for c in verdict.table:
        colour = "green" if c.lower > 0 else "red" if c.upper < 0 else "default"
        table.add_row(
            titles.get(c.set, c.set),
            DECIDES[c.role],
            f"{c.examples} of {c.available}" if c.available and c.available > c.examples else str(c.examples),
            f"{c.champion:.3f}",
            f"{c.candidate:.3f}",
            f"[{colour}]{c.gain:+.3f}[/]",
            f"{c.lower:+.3f} … {c.upper:+.3f}",
        )
    return table


def time_line(results: list[Result]) -> Table:
    """Where the time went, step by step."""
    table = Table(title="Where the time went", title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for result in results:
        if result.outcome == "ran":
            table.add_row(escape(result.name), f"{result.seconds:.1f}")
    return table


def print_all(console: Console, *things: Any) -> None:
    """Print several things with a line between them."""
    for thing in things:
        console.print(thing)
        console.print()
