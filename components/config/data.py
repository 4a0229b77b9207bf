"""What is taught and tested on: rows, text, feedback, and the gate that they pass."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from components.config.section import Section


class ExamplesSettings(Section):
    """Sizes of the sets that a task's generator writes; `held_out_share` splits tasks that bring rows."""

    train: int = Field(4000, ge=1)
    test: int = Field(600, ge=1)
    unseen: int = Field(600, ge=0)
    new: int = Field(600, ge=0)
    new_unseen: int = Field(600, ge=0)
    traffic: int = Field(260, ge=0)
    held_out_share: float = Field(0.15, gt=0, lt=0.9)


class CorpusSettings(Section):
    task: str = "intake"
    documents: int = Field(24_000, ge=10)
    instructions: int = Field(12_000, ge=1)
    """Rows of instruction tuning: many distinct ones seen once teach more than few seen often."""


class VotesReference(Section):
    """The votes of battles that a turn has: everything up to vote `through`, with the digest of its content."""

    through: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SnapshotReference(Section):
    """One past turn's feedback: everything up to event `through`, with the digest of its content."""

    through: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    votes: VotesReference | None = None
    """None where nobody voted since the turn before."""


class ChampionReference(Section):
    version: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TurnSettings(Section):
    snapshots: tuple[SnapshotReference, ...] = ()
    champion: ChampionReference | None = None
    best: ChampionReference | None = None
    """The best version that ever served, where that is not the champion: small losses must not add up."""
    unserved: int = Field(1, ge=1)
    """So many of the last snapshots were not taught to the champion: their locked rows are the target."""

    @model_validator(mode="after")
    def _unserved_are_snapshots(self) -> TurnSettings:
        if self.unserved > max(1, len(self.snapshots)):
            raise ValueError(f"unserved is {self.unserved}, but there are only {len(self.snapshots)} snapshots")
        return self


class TrustSettings(Section):
    """What keeps feedback from training until a person has looked at it (components/feedback/suspicion.py)."""

    burst_events: int = Field(120, ge=1)
    """More right answers of one rater within `burst_seconds` than a person can have thought about."""
    burst_seconds: float = Field(60, gt=0)
    same_answer: int = Field(10, ge=1)
    """More different questions than one rater's same correction can be right for; label tasks have no bound."""
    min_reputation: float = Field(0.5, ge=0, le=1)
    """Least agreement with trusted people or others; below counts only what is surely below. 0 asks for none."""


class CurateSettings(Section):
    near_duplicate: float = Field(0.8, gt=0, le=1)
    regression_share: float = Field(0.25, ge=0, lt=1)
    regression_rows: int = Field(1000, ge=1)
    """Most locked rows of earlier turns that a turn asks again: a sample that represents every turn alike
    (components/curation/strata.py)."""
    heldout_rows: int = Field(500, ge=1)
    """Most held-out pairs, and most held-out judged answers: a sample likewise. They only show what was learned."""
    tuning_share: float = Field(0.2, ge=0, lt=1)
    """Share of the locked clusters that chooses among candidates (stage `select`) and is no part of the verdict."""
    rater_share: float = Field(0.5, gt=0, le=1)
    rater_free: int = Field(20, ge=0)
    """Rows of a turn that anybody may give before `rater_share` bounds them."""
    trusted_raters: tuple[str, ...] = ()
    """The team's own: `rater_share` does not bound them, their word stands, and they may set gold questions."""
    trust: TrustSettings = TrustSettings()
    critical_most: int = Field(50, ge=0)
    """So many cases of a task may be marked critical at a time; a mark beyond is refused when it is made."""
    replay_rows: int = Field(300, ge=0)
    """Rows of the task's own that are never taught: what replay must preserve."""
    tuning_rows: int = Field(400, ge=0)
    """Further own rows that are never taught: they choose among candidates. With `replay_rows` at most a fifth of the
    rows, and by themselves at most a third of that fifth."""
    scrub: tuple[Literal["email", "phone", "id_number", "url", "ip", "credit_card"], ...] = (
        "email",
        "phone",
        "id_number",
    )
    phone_regions: tuple[str, ...] = ("US", "GB")
    """Countries (ISO 3166) whose national phone notation is recognised; numbers with + always are."""


class QualitySettings(Section):
    min_rows: int = Field(50, ge=1)
    max_feedback_share: float = Field(0.5, ge=0, le=1)
    max_label_share: float = Field(0.9, gt=0, le=1)
    languages: tuple[str, ...] = ("en",)
    """ISO 639-1 codes of the languages that questions (and answers in free text) are in; [] checks none."""
    max_other_language: float = Field(0.05, ge=0, le=1)
    """Share of the rows that may surely be in another language."""
