"""A damaged SQLite file is told from a whole one, by its name and with what to do."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from components.config import Places
from flows import databases, doctor, stack
from flows.stack import Program, StackError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    for name in ("SAQIA_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAQIA_HOME", str(tmp_path / "home"))
    places = Places(home=tmp_path / "home").absolute(tmp_path)
    for database in databases.of(places):
        database.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database.file)) as made:
            made.execute("CREATE TABLE rows (text TEXT)")
            made.executemany("INSERT INTO rows VALUES (?)", [("x" * 500,)] * 200)
            made.commit()
    return places


def half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def torn(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[8192:12288] = bytes(4096)[:4095] + b"\xff"
    file.write_bytes(content)


def rubbish(file: Path) -> None:
    file.write_bytes(b"no database" * 500)


@pytest.mark.parametrize("damage", [half, torn, rubbish])
@pytest.mark.parametrize("name", ["prefect.db", "mlflow.db", "saqia.db"])
def test_a_damaged_file_is_named_with_what_to_do(name: str, damage: object, here: Places) -> None:
    assert databases.damaged(databases.of(here)) is None
    file = next(database.file for database in databases.of(here) if database.file.name == name)
    assert callable(damage)
    damage(file)
    before = file.read_bytes()
    said = databases.damaged(databases.of(here))
    assert said is not None
    assert said.startswith(f"its database {file} is damaged (")
    assert "restore it from a copy, or " in said
    assert "\n" not in said
    assert file.read_bytes() == before


def test_a_file_that_is_not_there_yet_is_not_damaged(tmp_path: Path) -> None:
    places = Places(home=tmp_path / "new").absolute(tmp_path)
    assert databases.damaged(databases.of(places)) is None
    assert not places.home.exists()


def test_a_program_that_ends_for_its_damaged_database_is_told_by_that(here: Places, tmp_path: Path) -> None:
    """Its own last line speaks of a web page about SQLAlchemy's errors."""
    half(tmp_path / "mlruns" / "mlflow.db")
    failing = Program("mlflow", "MLflow server", (sys.executable, "-c", "raise SystemExit('see a web page')"), port=1)
    with pytest.raises(StackError, match=r"MLflow server ended at once: its database .*/mlflow.db is damaged \("):
        stack.start(tmp_path, here, [failing])
    other = Program("prefect", "Prefect server", failing.command, port=1)
    with pytest.raises(StackError, match="Prefect server ended at once: see a web page"):
        stack.start(tmp_path, here, [other])


def test_the_doctor_finds_it(here: Places, tmp_path: Path) -> None:
    assert doctor.state(tmp_path).state == "good"
    half(here.home / "saqia.db")
    found = doctor.state(tmp_path)
    assert (found.state, found.found.startswith(str(here.home / "saqia.db"))) == ("bad", True)
    assert "SAQIA_DATABASE_URL" in found.remedy
