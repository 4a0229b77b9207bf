"""Section `train.distill`: learning from a teacher, a larger or longer trained model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.config.section import Section


class DistillSettings(Section):
    """Objective distill; steps, learning rate and all else are those of `train`."""

    teacher: str | None = Field(None, min_length=1)
    """A Hugging Face folder on this machine. Its probabilities can be learned from only if it has the base's tokens."""
    answers: Literal["rows", "teacher"] = "rows"
    """What is taught: the rows' own answers, or what the teacher answers to their prompts."""
    max_new_tokens: int = Field(96, ge=1)
    """Of the teacher's answers."""
    weight: float = Field(1.0, ge=0, le=1)
    """Of the divergence from the teacher's probabilities; the rest is the answers' likelihood, as in sft. 0: answers
    alone, by a teacher with any tokens."""
    beta: float = Field(0.0, ge=0, le=1)
    """Which divergence: 0 forward KL (covers all that the teacher would say), 1 reverse KL, between them generalised
    Jensen-Shannon."""
    temperature: float = Field(1.0, gt=0, le=10)
    """Of both distributions."""
