"""Which questions are taught and which are locked away as tests, once and for all.

Near-duplicates must stand on one side, else a paraphrase of a test question is taught. And
what is locked stays locked, what is taught stays taught, however the clusters grow. So
questions are assigned in the order in which they were first spoken of:

- one without a near-duplicate founds a cluster; a seeded hash of its words picks the side;
- one near rows of a single side joins that side (a row of an evaluation set counts as locked);
- one near rows of both sides would join what must be kept apart: it is used for neither.

No later question can change an earlier one's side, since each looks only back. Another seed,
limit or share is another assignment: then what was locked may be taught.
"""

from __future__ import annotations

from typing import Literal

from components.curation.near import NearIndex, question_key
from components.feedback.draw import fraction

Side = Literal["taught", "locked", "torn"]


class Sides:
    """The side of every question seen so far."""

    def __init__(self, near: float, share: float, seed: int) -> None:
        """`share` of the clusters is locked."""
        self._near = NearIndex(near)
        self._share = share
        self._seed = seed
        self._side_of: dict[str, Side] = {}

    def lock(self, text: str) -> None:
        """An evaluation set's question: what is near it may not be taught."""
        key = question_key(text)
        if key not in self._side_of:
            self._side_of[key] = "locked"
            self._near.add(key, text)

    def teach(self, text: str) -> None:
        """A question that is taught already: what is near it may be taught, and tests nothing."""
        key = question_key(text)
        if key not in self._side_of:
            self._side_of[key] = "taught"
            self._near.add(key, text)

    def assign(self, text: str) -> Side:
        """The question's side, decided when it is first seen."""
        key = question_key(text)
        known = self._side_of.get(key)
        if known is not None:
            return known
        around = {self._side_of[name] for name, _ in self._near.matches(text)}
        side: Side = "torn" if len(around) > 1 else around.pop() if around else self._drawn(key)
        self._side_of[key] = side
        if side != "torn":
            self._near.add(key, text)
        return side

    def _drawn(self, key: str) -> Side:
        return "locked" if fraction(self._seed, "side", key) < self._share else "taught"
