"""What a turn leaves in Prefect's UI: the verdict in words, the figures as a table, the progress."""

from __future__ import annotations

from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from components.registry import Version
from components.schema import Verdict
from flows.results import Result


def verdict(version: Version, said: Verdict, reports: str, outcome: str) -> None:
    """The verdict in Markdown and its comparisons as a table, on the current flow run."""
    from components.evaluation.report import markdown

    rows = comparisons(said)
    text = f"# {version.task} version {version.version}\n\n**{outcome}**\n\n{markdown(said)}\nReport: `{reports}`\n"
    key = version.task.replace("_", "-")
    create_markdown_artifact(text, key=f"verdict-{key}", description=f"verdict on version {version.version}")
    if rows:
        create_table_artifact(rows, key=f"metrics-{key}", description=f"before and after, version {version.version}")


def comparisons(said: Verdict) -> list[dict[str, str]]:
    """One row a test set: before, after, and the paired interval of the gain."""
    return [
        {
            "set": c.set,
            "decides": c.role,
            "examples": str(c.examples),
            "metric": c.metric,
            "before": f"{c.champion:.3f}",
            "after": f"{c.candidate:.3f}",
            "gain": f"{c.gain:+.3f}",
            f"{said.confidence:.0%} interval": f"[{c.lower:+.3f}, {c.upper:+.3f}]",
        }
        for c in said.table
    ]


class Progress:
    """A progress bar in the UI: how many of the graph's stages have ended."""

    def __init__(self, key: str) -> None:
        self._id: UUID = create_progress_artifact(progress=0.0, key=f"progress-{key.replace('_', '-')}")  # type: ignore[assignment]

    def show(self, ended: list[Result], total: int) -> None:
        """Update the bar."""
        update_progress_artifact(self._id, progress=100.0 * len(ended) / max(total, 1))
