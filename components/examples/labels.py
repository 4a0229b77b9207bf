"""When a list of answers is a list of labels: few, short, and coming again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MOST = 50
LONGEST = 40
"""Characters."""


def labels_of(answers: Sequence[str]) -> tuple[str, ...] | None:
    """The labels, most frequent first, or None where the answers are no labels.

    Labels are at least two and at most 50 distinct one-line values of up to 40 characters
    that make up at most a fifth of the answers (three are allowed in any six or more).
    """
    counts = Counter(answer.strip() for answer in answers)
    if not 2 <= len(counts) <= min(MOST, max(3, len(answers) // 5), len(answers) // 2):
        return None
    if any(not label or len(label) > LONGEST or "\n" in label for label in counts):
        return None
    return tuple(label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
