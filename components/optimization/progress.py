"""How far a training is: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import logging
import sys
import time

from components.optimization.memory import peak_megabytes

log = logging.getLogger(__name__)

LINE_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Counts steps and tokens of this process; resumed steps count as done but not as speed."""

    def __init__(self, name: str, steps: int, done: int = 0, shown: bool = True) -> None:
        from tqdm import tqdm

        self.name, self.steps, self.done = name, steps, done
        self._first, self._tokens, self._quiet = done, 0, not shown
        self._started = self._shown = time.monotonic()
        self._bar = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=done, desc=name, unit="step", dynamic_ncols=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        """At the pace so far."""
        return self.seconds / max(1, self.done - self._first) * (self.steps - self.done)

    @property
    def tokens_per_second(self) -> float:
        return self._tokens / max(1e-9, self.seconds)

    def step(self, loss: float, tokens: int) -> None:
        """Note one finished step."""
        self.done += 1
        self._tokens += tokens
        if self._bar is not None:
            said = f"loss {loss:.3f}, {self.tokens_per_second:,.0f} tokens/s, {peak_megabytes():,.0f} MB"
            self._bar.set_postfix_str(said, refresh=False)
            self._bar.update()
        elif not self._quiet and (time.monotonic() - self._shown > LINE_EVERY or self.done == self.steps):
            self._shown = time.monotonic()
            log.info(
                "%s: step %d of %d, loss %.3f, %s tokens/s, %s MB, %d:%02d left",
                self.name, self.done, self.steps, loss, f"{self.tokens_per_second:,.0f}", f"{peak_megabytes():,.0f}",
                *divmod(round(self.seconds_left), 60),
            )  # fmt: skip

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
