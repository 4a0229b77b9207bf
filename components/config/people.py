"""What people are asked to look at, and when a judge's votes count beside theirs."""

from __future__ import annotations

from pydantic import Field

from components.config.section import Section


class ReviewSettings(Section):
    """The review queue: what waits for a look, who sees it, and how often two people see the same."""

    recent: int = Field(5000, ge=1)
    """So many of a task's newest answers (and answers with the newest feedback) are considered."""
    lease_minutes: float = Field(10, gt=0)
    """How long an item that somebody has open is kept from the others."""
    low_confidence: float = Field(0.05, ge=0, le=1)
    """Share of a version's answers, those it was least sure of, that wait for a look."""
    sample: float = Field(0.05, ge=0, le=1)
    """Share of all answers, drawn at random, that wait for a look whatever else is known of them."""
    sample_every: int = Field(5, ge=1)
    """Every so-many-th look goes to the random sample, so that thumbs down never starve it."""
    two_reviewers: float = Field(0.1, ge=0, le=1)
    """Share of the items that two people look at, for their agreement."""
    gold: float = Field(0.05, ge=0, le=0.5)
    """Share of a reviewer's looks that go to questions whose answer is known, where there are any."""


class ArenaSettings(Section):
    """When a judge's votes count in the leaderboard and as preferences."""

    min_kappa: float = Field(0.4, ge=-1, le=1)
    """Least Cohen's kappa with people's votes on the same battles."""
    min_overlap: int = Field(30, ge=2)
    """Least number of battles on which both voted."""
    min_consistency: float = Field(0.8, ge=0, le=1)
    """Least share of battles on which the judge votes the same in both orders."""
