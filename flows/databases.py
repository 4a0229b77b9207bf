"""The SQLite files that this installation's programs keep their state in, and whether they are whole."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components.config import Places
from flows import prefect_database

SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Database:
    """One file, the programs of the stack that cannot start without it, and what to do where it is damaged."""

    file: Path
    programs: frozenset[str]
    remedy: str


def of(places: Places) -> list[Database]:
    """Those that are SQLite files; a server's database looks after itself."""
    found = []
    if not prefect_database.elsewhere():
        file = places.home / "prefect" / prefect_database.NAME
        remedy = "restore it from a copy, or remove it: Prefect begins a new one, without its history of runs"
        found.append(Database(file, frozenset({"prefect"}), remedy))
    for url, programs, variable in (
        (str(places.tracking_uri), {"mlflow", "service", "worker"}, "MLFLOW_TRACKING_URI"),
        (str(places.database_url), {"service", "worker"}, "SAQIA_DATABASE_URL"),
    ):
        if url.startswith(SQLITE):
            remedy = f"restore it from a copy, or name another store with {variable}"
            found.append(Database(Path(url.removeprefix(SQLITE)), frozenset(programs), remedy))
    return found


def damaged(databases: Iterable[Database]) -> str | None:
    """One line on the first of them that is damaged: which file, how, and what to do. Reads each file once."""
    for database in databases:
        reason = _damage(database.file)
        if reason is not None:
            return f"its database {database.file} is damaged ({reason}); it is left as it is: {database.remedy}"
    return None


def _damage(file: Path) -> str | None:
    """SQLite's own word on a file, or None where it is whole or not there."""
    if not file.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            said = str(opened.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return None if isinstance(error, sqlite3.OperationalError) else str(error)
    return None if said == "ok" else " ".join(said.split())
