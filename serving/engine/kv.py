"""The key/value cache of a batch whose rows come and go.

Every row ends at the same column, the one that the next token is written to, so one
forward pass extends all of them; a shorter row simply begins further right (left padding).
A row that joins is copied into the next free line, one that leaves is replaced by the
last: neither touches the others. Only when the buffer is too narrow is everything copied.

    columns   0 ......... start ............ end ...... capacity
    line 0              [#####################]
    line 1                     [##############]
    line 2                                [###]
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer

SLACK = 128
"""Columns kept free on either side when the buffer is laid out anew."""


class SlotLayer(DynamicLayer):
    """One layer's keys and values, [lines, heads, columns, dimension]."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: tuple[torch.Tensor, torch.Tensor] | None = None
        self.lines = self.start = self.end = 0

    @property
    def filled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The buffers, once there are any."""
        assert self.buffers is not None, "rows join before they step"
        return self.buffers

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns and return the window of all rows (transformers' cache contract)."""
        new = key_states.shape[-2]
        for buffer, states in zip(self.filled, (key_states, value_states), strict=True):
            buffer[: self.lines, :, self.end : self.end + new] = states
        keys, values = (buffer[: self.lines, :, self.start : self.end + new] for buffer in self.filled)
        return keys, values

    def get_seq_length(self) -> int:
        """Columns in the window: what the next token has behind it."""
        return self.end - self.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys that the mask must cover."""
        return self.end - self.start + query_length, 0


class Rows(Cache):
    """The cache of a running batch; `lengths[i]` tokens stand in line i."""

    def __init__(self, layers: int) -> None:
        self.slots = [SlotLayer() for _ in range(layers)]
        super().__init__(layers=list(self.slots))
        self.lengths: list[int] = []
        self.end = 0
        self._columns = 0
        self._lines = 0

    @property
    def start(self) -> int:
        """First column of the longest row."""
        return self.end - max(self.lengths, default=0)

    def join(self, layers: list[tuple[torch.Tensor, torch.Tensor]], lengths: list[int]) -> None:
        """Add rows whose prompts were run elsewhere.

        Args:
            layers: per layer keys and values [new rows, heads, padded length, dimension], left-padded.
            lengths: tokens of each new row.
        """
        first = len(self.lengths)
        self.lengths += lengths
        self._make_room(layers)
        for layer, states in zip(self.slots, layers, strict=True):
            for buffer, new in zip(layer.filled, states, strict=True):
                width = new.shape[-2]
                for line, length in enumerate(lengths):
                    buffer[first + line, :, self.end - length : self.end] = new[line, :, width - length :]
        self._publish()

    def leave(self, line: int) -> None:
        """Remove a row; the last one takes its line."""
        last = len(self.lengths) - 1
        if line != last:
            columns = slice(self.end - self.lengths[last], self.end)
            for layer in self.slots:
                for buffer in layer.filled:
                    buffer[line, :, columns] = buffer[last, :, columns]
            self.lengths[line] = self.lengths[last]
        self.lengths.pop()
        self._publish()

    def before_step(self) -> None:
        """Make sure that one more column fits."""
        if self.end + 1 > self._columns:
            self._lay_out_anew(max(self.lengths) + SLACK)

    def after_step(self) -> None:
        """Every row is one token longer."""
        self.lengths = [length + 1 for length in self.lengths]
        self.end += 1
        self._publish()

    def mask(self, device: torch.device) -> torch.Tensor | None:
        """Attention mask [rows, window + 1] for the next step, or None where no row is padded."""
        longest = max(self.lengths)
        if min(self.lengths) == longest:
            return None
        lengths = torch.tensor(self.lengths, device=device)
        return torch.arange(longest + 1, device=device)[None, :] >= (longest - lengths)[:, None]

    def _publish(self) -> None:
        start = self.start
        for layer in self.slots:
            layer.lines, layer.start, layer.end = len(self.lengths), start, self.end

    def _make_room(self, like: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        longest, rows = max(self.lengths), len(self.lengths)
        if self.slots[0].buffers is None or rows > self._lines:
            self._lines = max(rows, 2 * self._lines)
            self._allocate(like, longest + SLACK)
        elif longest > self.end or self.end >= self._columns:
            self._lay_out_anew(longest + SLACK)

    def _allocate(self, like: list[tuple[torch.Tensor, torch.Tensor]], end: int) -> None:
        """New buffers for `_lines` rows that end at column `end`; what is there already moves over."""
        columns = end + SLACK
        for layer, states in zip(self.slots, like, strict=True):
            shapes = [(self._lines, new.shape[1], columns, new.shape[3]) for new in states]
            fresh = (states[0].new_zeros(shapes[0]), states[1].new_zeros(shapes[1]))
            if layer.buffers is not None and layer.lines:
                width = layer.end - layer.start
                for old, buffer in zip(layer.buffers, fresh, strict=True):
                    buffer[: layer.lines, :, end - width : end] = old[: layer.lines, :, layer.start : layer.end]
            layer.buffers = fresh
            layer.is_initialized = True
        self.end, self._columns = end, columns

    def _lay_out_anew(self, end: int) -> None:
        self._allocate([layer.filled for layer in self.slots], end)
        self._publish()
