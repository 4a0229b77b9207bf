"""A server's first start takes the database that was made at installation, and never another's place."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from flows import prefect_database


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "share" / "prefect-0.db"
    monkeypatch.setattr(prefect_database, "template", lambda: file)
    for name in prefect_database.ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    file.parent.mkdir()
    file.write_bytes(b"empty")
    return file


def test_a_new_home_gets_a_copy_and_one_with_a_database_keeps_its_own(kept: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    prefect_database.provide(home)
    made = home / prefect_database.NAME
    assert made.read_bytes() == b"empty"
    made.write_bytes(b"used")
    prefect_database.provide(home)
    assert made.read_bytes() == b"used"


@pytest.mark.parametrize("reason", ["nothing kept", "another database"])
def test_else_the_server_makes_its_own(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if reason == "nothing kept":
        kept.unlink()
    else:
        monkeypatch.setenv(prefect_database.ELSEWHERE[0], "postgresql+asyncpg://elsewhere/prefect")
    prefect_database.provide(tmp_path / "home")
    assert not (tmp_path / "home" / prefect_database.NAME).exists()


def test_what_installation_makes_is_prefects_own_schema_without_a_row_of_anybodys() -> None:
    """`make` has made it; it is made here where somebody installed otherwise."""
    prefect_database.main()
    with sqlite3.connect(prefect_database.template()) as made:
        tables = {name for (name,) in made.execute("select name from sqlite_master where type = 'table'")}
        assert {"flow_run", "task_run", "deployment"} <= tables
        assert made.execute("select count(*) from alembic_version").fetchone() == (1,)
        assert made.execute("select count(*) from configuration").fetchone() == (0,)
        assert made.execute("select count(*) from flow_run").fetchone() == (0,)
