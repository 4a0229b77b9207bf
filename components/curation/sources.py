"""Whose answers are taught: people's, or a model's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components.schema import Example


def taught_by(rows: Sequence[Example]) -> dict[str, Any]:
    """Rows by their source, and a teacher's by its name, for curation.json."""
    teachers = Counter(row.rater or "unknown" for row in rows if row.source == "teacher")
    return {
        "sources": dict(sorted(Counter(row.source for row in rows).items())),
        "teachers": dict(sorted(teachers.items())),
    }


def share_of_teachers(report: Mapping[str, Any]) -> str | None:
    """What curation.json says of answers that no person gave, in words; None where there are none."""
    found = report.get("taught") or {}
    teachers, rows = found.get("teachers") or {}, sum((found.get("sources") or {}).values())
    if not teachers or not rows:
        return None
    by = sum(teachers.values())
    names = ", ".join(teachers)
    return f"{by} of {rows} taught rows ({by / rows:.0%}) were answered by a teacher ({names}); none of them is a test"
