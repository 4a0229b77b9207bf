"""Which questions are taught, which are locked away as tests, and which choose, once and for all.

Near-duplicates must stand on one side, else a paraphrase of a test question is taught. And
what is locked stays locked, what is taught stays taught, however the clusters grow. So
questions are assigned in the order in which they were first spoken of:

- one without a near-duplicate founds a cluster; a seeded hash of its words picks the side; of the locked
  clusters another hash sets a share aside for `tuning`: they choose a candidate and never judge it;
- one near rows of a single side joins that side (a row of an evaluation set counts as locked);
- one near rows of two sides would join what must be kept apart: it is used for neither.

No later question can change an earlier one's side, since each looks only back. Another seed,
limit or share is another assignment: then what was locked may be taught.
"""

from __future__ import annotations

from typing import Literal

from components.curation.near import NearIndex, question_key
from components.feedback.draw import fraction

Side = Literal["taught", "locked", "tuning", "torn"]


class Sides:
    """The side of every question seen so far."""

    def __init__(self, near: float, share: float, seed: int, tuning: float = 0.0) -> None:
        """`share` of the clusters is locked, and `tuning` of those is set aside to choose with."""
        self._near = NearIndex(near)
        self._share = share
        self._tuning = tuning
        self._seed = seed
        self._side_of: dict[str, Side] = {}

    def lock(self, text: str) -> None:
        """An evaluation set's question: what is near it may not be taught."""
        self._place(text, "locked")

    def tune(self, text: str) -> None:
        """A question that chooses among candidates: what is near it is neither taught nor a test."""
        self._place(text, "tuning")

    def teach(self, text: str) -> None:
        """A question that is taught already: what is near it may be taught, and tests nothing."""
        self._place(text, "taught")

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

    def pair_side(self, text: str) -> Literal["taught", "locked", "torn"]:
        """The side of a pair or a judged answer to this question: such rows only show, so that there is no third."""
        side = self.assign(text)
        return "locked" if side == "tuning" else side

    def _place(self, text: str, side: Side) -> None:
        key = question_key(text)
        if key not in self._side_of:
            self._side_of[key] = side
            self._near.add(key, text)

    def _drawn(self, key: str) -> Side:
        if fraction(self._seed, "side", key) >= self._share:
            return "taught"
        return "tuning" if fraction(self._seed, "tuning", key) < self._tuning else "locked"
