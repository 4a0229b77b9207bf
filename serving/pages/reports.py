"""Where a version's report and Data Docs are to be seen: kept by the flows under <home>/reports, served under /ui."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from components import config

PATH = "/ui/reports"


def folder(task: str) -> Path:
    """What the flows have kept of a task's versions: `version-3/…`."""
    return config.places().home / "reports" / task


def report(task: str, version: str) -> str | None:
    """Address of a version's report; None where its page is no longer here."""
    return _address(task, version, "**/report.html")


def data_docs(task: str, version: str) -> str | None:
    """Address of the Data Docs of the data that a version was made from."""
    return _address(task, version, "**/docs/index.html")


def _address(task: str, version: str, pattern: str) -> str | None:
    kept = folder(task)
    found = sorted((kept / f"version-{version}").glob(pattern))
    return f"{PATH}/{quote(found[0].relative_to(kept).as_posix())}" if found else None
