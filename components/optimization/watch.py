"""What stops a training that has gone astray: a loss that is no number, or one that jumps and stays there."""

from __future__ import annotations

import math

from components.stage import StageError

SPIKE_FACTOR, SPIKE_MARGIN, SPIKE_STEPS = 2.0, 2.0, 10
"""A loss this many times (and nats) above its running mean, for so many steps on end, is no learning."""


class Watch:
    """Stops a training that has gone astray."""

    def __init__(self, section: str, warmup_steps: float) -> None:
        self.section, self.warmup_steps = section, warmup_steps
        self.mean, self.high = math.nan, 0

    def look(self, step: int, loss: float, norm: float) -> None:
        """Take one step's loss and gradient norm.

        Raises:
            StageError: one is no number, or the loss has jumped and stays there.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise StageError(
                f"step {step + 1}: the loss is {loss} (gradient norm {norm}); lower {self.section}.lr in params.yaml"
            )
        jumped = step > self.warmup_steps and loss > max(SPIKE_FACTOR * self.mean, self.mean + SPIKE_MARGIN)
        self.high = self.high + 1 if jumped else 0
        if self.high >= SPIKE_STEPS:
            raise StageError(
                f"step {step + 1}: the loss rose from {self.mean:.2f} to {loss:.2f} and stays there; "
                f"lower {self.section}.lr in params.yaml"
            )
        if not jumped:
            self.mean = loss if math.isnan(self.mean) else 0.95 * self.mean + 0.05 * loss
