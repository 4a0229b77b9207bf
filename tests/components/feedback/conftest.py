"""Stores to test: SQLite always, PostgreSQL too where SAQIA_TEST_POSTGRES names a server.

SAQIA_TEST_POSTGRES=postgresql://user@host/db pytest tests/components/feedback

Each process of the tests has a database of its own beside the named one, which is emptied before each test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa

from components.feedback.store import Store
from components.schema import Feedback, Interaction, Message

DATABASES = ["sqlite", *(["postgresql"] if os.environ.get("SAQIA_TEST_POSTGRES") else [])]


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    named = sa.make_url(os.environ["SAQIA_TEST_POSTGRES"])
    own = f"saqia_test_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    engine = sa.create_engine(named.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {own} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {own}"))
    engine.dispose()
    return named.set(database=own).render_as_string(hide_password=False)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


class Served(Protocol):
    def __call__(self, id: str, **changes: Any) -> Interaction: ...


class Said(Protocol):
    def __call__(self, interaction: str, kind: str = "correction", **changes: Any) -> Feedback: ...


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def served() -> Served:
    """Make an interaction."""

    def make(id: str, **changes: Any) -> Interaction:
        values: dict[str, Any] = {
            "id": id,
            "created_at": NOW,
            "task": "intake",
            "model_version": "1",
            "messages": (Message(role="user", content=f"what is {id}?"),),
            "answer": "something",
            "finish_reason": "stop",
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "latency_ms": 12.5,
        }
        return Interaction.model_validate(values | changes)

    return make


@pytest.fixture
def said() -> Said:
    """Make an event; its id counts up."""
    count = iter(range(10**6))

    def make(interaction: str, kind: str = "correction", **changes: Any) -> Feedback:
        values: dict[str, Any] = {
            "id": f"event-{next(count)}",
            "interaction_id": interaction,
            "created_at": NOW,
            "rater": "ann",
            "kind": kind,
            "correction": "the right answer" if kind == "correction" else None,
            "comment": "hm" if kind == "comment" else None,
        }
        return Feedback.model_validate(values | changes)

    return make
