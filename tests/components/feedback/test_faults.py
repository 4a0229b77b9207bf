"""The store when something is wrong with the machine: full, locked, shared, broken, newer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from components.feedback.database import writing
from components.feedback.store import KeyReused, Store, StoreBusy, StoreError, StoreFull
from tests.components.feedback.conftest import Said, Served


def test_a_full_disk_is_said_plainly_and_leaves_nothing_half_written(
    tmp_path: Path, served: Served, said: Said
) -> None:
    with Store(f"sqlite:///{tmp_path / 's.db'}") as store:
        store.add_interaction(served("c1"))

        def no_room(raw: sqlite3.Connection, *_: object) -> None:
            pages = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count = {pages}")

        store.close()
        sa.event.listen(store._engine, "connect", no_room)
        with pytest.raises(StoreFull, match="disk is full; nothing was written"):
            for number in range(100):
                store.add_feedback(said("c1", correction="x" * 10_000, idempotency_key=str(number)))
        acknowledged = len(store.feedback_for("c1"))
        assert number == acknowledged
    with Store(f"sqlite:///{tmp_path / 's.db'}") as again:
        assert len(again.feedback_for("c1")) == acknowledged
        assert again.add_feedback(said("c1"))[1]


def test_a_store_held_by_another_for_too_long_says_so(tmp_path: Path, served: Served) -> None:
    file = tmp_path / "s.db"
    with Store(f"sqlite:///{file}", busy_seconds=0.05) as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="held by another process"):
            store.add_interaction(served("c1"))
        other.execute("ROLLBACK")
        other.close()
        store.add_interaction(served("c1"))


def test_many_threads_write_and_every_event_is_numbered_once(store: Store, served: Served, said: Said) -> None:
    for number in range(8):
        store.add_interaction(served(f"c{number}"))
    events = [said(f"c{number % 8}", idempotency_key=str(number // 2)) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        created = [made for _, made in pool.map(store.add_feedback, events)]
    rows = store.rows("intake", 0, store.latest_seq("intake"))
    assert len(rows) == sum(created) == len({row.seq for row in rows})
    assert {row.event_id for row in rows} <= {event.id for event in events}


def test_a_thread_that_holds_the_store_for_too_long_says_so_to_the_others(tmp_path: Path, served: Served) -> None:
    with Store(f"sqlite:///{tmp_path / 's.db'}", busy_seconds=0.05) as store, ThreadPoolExecutor(1) as other:
        with writing(store.engine), pytest.raises(StoreBusy, match="another writer; nothing was written"):
            other.submit(store.add_interaction, served("c1")).result()
        other.submit(store.add_interaction, served("c1")).result()


def test_what_is_said_in_one_go_is_stored_whole_or_not_at_all(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1", idempotency_key="used"))
    with pytest.raises(KeyReused):
        store.add_all([said("c1", idempotency_key="new"), said("c1", correction="other", idempotency_key="used")])
    assert [event.idempotency_key for event in store.feedback_for("c1")] == ["used"]


def test_processes_that_open_a_new_store_at_once_all_succeed(url: str) -> None:
    code = "import sys; from components.feedback.store import Store; Store(sys.argv[1]).turns('intake')"
    openers = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE) for _ in range(4)]
    problems = [opener.communicate(timeout=120)[1].decode() for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, problems


def test_an_event_is_on_disk_when_it_is_acknowledged(tmp_path: Path, served: Served) -> None:
    """A process is killed right after the acknowledgement; what it was told is stored is there."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    with Store(url) as store:
        store.add_interaction(served("c1"))
    code = (
        "import os, sys, datetime, signal\n"
        "from components.feedback.store import Store\n"
        "from components.schema import Feedback\n"
        "store = Store(sys.argv[1])\n"
        "for n in range(20):\n"
        "    store.add_feedback(Feedback(id=f'e{n}', interaction_id='c1', rater='r', kind='thumb_up',\n"
        "                                created_at=datetime.datetime.now(datetime.UTC)))\n"
        "    print(n, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9
    with Store(url) as store:
        assert [event.id for event in store.feedback_for("c1")] == [f"e{n}" for n in range(20)]
        engine = store._engine
        with engine.connect() as connection:
            assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2  # FULL
            assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_store_of_a_newer_saqia_is_not_touched(url: str) -> None:
    with Store(url) as store, store._engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"revision 9999, which this Saqia .* does not know: update Saqia"):
        Store(url)


def test_the_migrations_make_the_tables_that_the_code_speaks_of(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from components.feedback.tables import metadata

    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    file.write_text("this is not a database, whatever its name says" * 50)
    with pytest.raises(StoreError, match=r"s\.db.*not a database"):
        Store(f"sqlite:///{file}")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://", "in memory would be lost"),
        ("mysql://u:secret@h/db", r"use sqlite:///file or postgresql://"),
        ("nonsense", "no database URL"),
    ],
)
def test_a_url_that_cannot_be_a_store_is_refused_without_showing_a_password(url: str, why: str) -> None:
    with pytest.raises(StoreError, match=why) as refused:
        Store(url)
    assert "secret" not in str(refused.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.* cannot be made"):
        Store(f"sqlite:///{tmp_path / 'file' / 's.db'}")
