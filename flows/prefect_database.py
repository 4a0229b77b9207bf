"""The Prefect server's database, made once per installation instead of once per project.

Prefect makes its SQLite database by a hundred migrations: 8 s of processor time, half of what a first start takes. So
`python -m flows.prefect_database` has it made once, empty, when the environment is installed (Makefile), and a
server's first start takes a copy. Without it, or with another version of Prefect, the server makes its own as ever.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from components import files

NAME = "prefect.db"
ELSEWHERE = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
"""Where one is set, the server uses another database."""


def template() -> Path:
    """Where this environment keeps the empty database of its version of Prefect."""
    return Path(sys.prefix) / "share" / "saqia" / f"prefect-{version('prefect')}.db"


def elsewhere() -> bool:
    """Whether the server keeps its runs in a database that the environment names."""
    return any(name in os.environ for name in ELSEWHERE)


def provide(home: Path) -> None:
    """Give a PREFECT_HOME that has no database yet a copy of the empty one, if there is one."""
    kept, wanted = template(), home / NAME
    if elsewhere() or wanted.exists() or not kept.exists():
        return
    with files.replacing(wanted) as copied:
        shutil.copyfile(kept, copied)


def main() -> None:
    """Make the empty database, where it is not there already."""
    if template().exists():
        return
    with tempfile.TemporaryDirectory() as home:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
            env={**environment, "PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with files.replacing(template()) as copied, closing(sqlite3.connect(Path(home) / NAME)) as made:
            made.execute("VACUUM INTO ?", [str(copied)])


if __name__ == "__main__":
    main()
