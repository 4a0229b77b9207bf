"""One turn of the wheel, as the feedback store keeps it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from components.config import SnapshotReference, VotesReference
from components.feedback.refusals import Refusal
from components.schema import Record


class Turn(Record):
    """One turn of the wheel: the feedback events it covers, and how it ended."""

    id: int
    task: str
    number: int
    """1 for the first; an abandoned turn's number is given to the next."""
    after: int
    through: int
    """The turn holds the task's events with after < seq <= through."""
    sha256: str
    """Digest of those events: see `Store.digest`."""
    votes_through: int = 0
    """It has the votes of battles up to this one, from those of the turn before on."""
    votes_sha256: str | None = None
    """Digest of those votes; None where there are none."""
    state: Literal["open", "closed", "abandoned"]
    opened_at: datetime
    closed_at: datetime | None = None
    version: str | None = None
    decision: str | None = None
    """Of a turn that is open again: how it ended before."""
    refusal: Refusal | None = None
    """Where it was refused: what would change that."""

    @property
    def outcome(self) -> str:
        """How it ended, or that it has not."""
        return self.decision if self.state == "closed" and self.decision else self.state

    @property
    def again(self) -> bool:
        """Was it refused once, and runs again?"""
        return self.state == "open" and self.refusal is not None

    @property
    def snapshot(self) -> SnapshotReference:
        """How params.yaml names this turn's feedback."""
        votes = None
        if self.votes_sha256 is not None:
            votes = VotesReference(through=self.votes_through, sha256=self.votes_sha256)
        return SnapshotReference(through=self.through, sha256=self.sha256, votes=votes)
