"""Connections to the store's database: durable, one writer at a time, errors in plain words.

Events are numbered by the database. A turn is a range of those numbers, so a number must
never become visible after a higher one did: writers take turns (SQLite: BEGIN IMMEDIATE;
PostgreSQL: an advisory lock held until commit).
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from components.stage import StageError

BUSY_SECONDS = 30.0
"""How long a writer waits for another before it gives up."""
WRITERS_LOCK = 0x5A41_5149_41
"""PostgreSQL advisory lock that writers of this store hold ("SAQIA")."""


class StoreError(StageError):
    """The feedback store cannot do what was asked; nothing was half-written."""


class StoreFull(StoreError):
    """There is no room for another event."""


class StoreBusy(StoreError):
    """Another writer held the store for too long."""


def connect(url: str, busy_seconds: float = BUSY_SECONDS) -> sa.Engine:
    """An engine whose commits are on disk when they return.

    Raises:
        StoreError: the URL is none, or its driver is not installed.
    """
    try:
        address = sa.make_url(url)
        options: dict[str, Any] = {}
        if address.get_backend_name() == "sqlite":
            if not address.database or address.database == ":memory:":
                raise StoreError(f"SAQIA_DATABASE_URL = {url!r}: a feedback store in memory would be lost; name a file")
            options["connect_args"] = {"timeout": busy_seconds}
        elif address.get_backend_name() == "postgresql":
            if address.drivername == "postgresql":
                address = address.set(drivername="postgresql+psycopg")
            options["pool_pre_ping"] = True
        else:
            raise StoreError(f"SAQIA_DATABASE_URL = {_shown(url)}: use sqlite:///file or postgresql://…")
        known = {"busy_seconds": busy_seconds}
        engine = sa.create_engine(address, json_serializer=_json, execution_options=known, **options)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError(f"SAQIA_DATABASE_URL = {_shown(url)} is no database URL: {error}") from None
    except ModuleNotFoundError as error:
        raise StoreError(
            f"SAQIA_DATABASE_URL = {_shown(url)} "
            f"needs {error.name}, which is not installed: pip install 'psycopg[binary]'"
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda raw, _: _prepare_sqlite(raw, busy_seconds))
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return repr(sa.make_url(url).render_as_string(hide_password=True))
    except ArgumentError:
        return repr(url)


def _prepare_sqlite(raw: Any, busy_seconds: float) -> None:
    """Write-ahead log, every commit synced to disk, foreign keys enforced, transactions begun by us."""
    raw.isolation_level = None
    cursor = raw.cursor()
    give_up = time.monotonic() + busy_seconds
    # SQLite does not wait for others when a database changes to WAL; every process that opens a new one tries.
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A consistent view of the store."""
    with plain_errors(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """The only writer until the block ends; committed and on disk when it ends well, undone otherwise."""
    with plain_errors(engine), _in_turn(engine), engine.connect() as connection:
        connection = connection.execution_options(writes=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_LOCK})
            yield connection


_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""SQLite file → held by the thread of this process that writes to it."""


@contextmanager
def _in_turn(engine: sa.Engine) -> Iterator[None]:
    """Threads of one process queue up for SQLite: left to itself it has each sleep and ask again, mostly in vain.

    Raises:
        StoreBusy
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    turn = _turns[str(engine.url.database)]
    if not turn.acquire(timeout=engine.get_execution_options()["busy_seconds"]):
        raise StoreBusy(f"feedback store {engine.url} is held by another writer; nothing was written. Try again")
    try:
        yield
    finally:
        turn.release()


@contextmanager
def plain_errors(engine: sa.Engine) -> Iterator[None]:
    """Database errors as one line that says what to do.

    Raises:
        StoreFull, StoreBusy, StoreError
    """
    where = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except DatabaseError as error:
        reason = " ".join(str(error.orig).split())
        if "disk is full" in reason or "No space left" in reason:
            raise StoreFull(
                f"feedback store {where}: the disk is full; nothing was written. Free some space"
            ) from error
        if "database is locked" in reason or "lock timeout" in reason:
            raise StoreBusy(
                f"feedback store {where} is held by another process; nothing was written. Try again"
            ) from error
        if "unable to open" in reason:
            raise StoreError(
                f"feedback store {where} cannot be opened: {reason}; check the folder and its rights"
            ) from error
        damaged = "malformed" in reason or "not a database" in reason
        remedy = "; it is left as it is: restore it from a copy, or name another with SAQIA_DATABASE_URL"
        raise StoreError(f"feedback store {where}: {reason}{remedy if damaged else ''}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"feedback store {where}: {' '.join(str(error).split())}") from error
