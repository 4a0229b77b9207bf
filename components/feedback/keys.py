"""API keys: who may ask, review or administer. Kept beside what they are used for, and only as hashes.

A key is 256 random bits, so one SHA-256 of it is as good as any slow password hash: there is
nothing to guess. The key itself is shown once, when it is made, and is nowhere afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, get_args

import sqlalchemy as sa

from components.feedback import tables
from components.feedback.database import StoreError, reading, writing
from components.schema import Record

Scope = Literal["use", "review", "admin"]
"""use: ask models and say what is right about their answers. review: what reviewers do. admin: everything."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "saqia-"
"""What every key begins with, so that logs and secret scanners know one when they see one."""


class UnusableKey(StoreError):
    """No key can be made or found under this name."""


class ApiKey(Record):
    """What is known of a key; not the key."""

    id: str
    name: str
    hint: str
    """Its first characters: enough to recognise it, too few to use it."""
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Does the key open what needs this scope?"""
        return scope in self.scopes or "admin" in self.scopes


def digest(key: str) -> str:
    """What is stored of a key: its SHA-256 in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def create(engine: sa.Engine, name: str, scopes: Sequence[str]) -> tuple[ApiKey, str]:
    """Make a key; returns what is known of it, and the key itself for the only time.

    Raises:
        UnusableKey: there is no such scope, or a live key of this name exists.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        wrong = f"{unknown[0]!r} is no scope" if unknown else "a key needs a scope"
        raise UnusableKey(f"{wrong}; scopes: {', '.join(SCOPES)}")
    if not name.strip():
        raise UnusableKey("a key needs a name: the person or the program that uses it")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=f"key-{secrets.token_hex(4)}",
        name=name.strip(),
        hint=secret[: len(PREFIX) + 4],
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        created_at=datetime.now(UTC),
    )
    table = tables.api_keys
    with writing(engine) as connection:
        same = sa.and_(table.c.name == key.name, table.c.revoked_at.is_(None))
        if connection.execute(sa.select(table.c.id).where(same)).first():
            raise UnusableKey(f"there is a key named {key.name!r} already: revoke it first, or choose another name")
        values = key.model_dump() | {"sha256": digest(secret), "scopes": list(key.scopes)}
        connection.execute(sa.insert(table), values)
    return key, secret


def every(engine: sa.Engine) -> list[ApiKey]:
    """All keys that were ever made, oldest first."""
    return [key for _, key in _read(engine, sa.true())]


def live(engine: sa.Engine) -> dict[str, ApiKey]:
    """Keys that open something now, by their SHA-256."""
    return dict(_read(engine, tables.api_keys.c.revoked_at.is_(None)))


def revoke(engine: sa.Engine, which: str) -> ApiKey:
    """Make a live key worthless, by id or name; a running service notices within seconds.

    Raises:
        UnusableKey: no live key is called so; those that are, are named.
    """
    table = tables.api_keys
    with writing(engine) as connection:
        is_live = table.c.revoked_at.is_(None)
        named = sa.or_(table.c.id == which, table.c.name == which)
        found = connection.execute(sa.select(table).where(is_live, named)).mappings().first()
        if found is None:
            names = connection.execute(sa.select(table.c.name).where(is_live).order_by(table.c.name)).scalars().all()
            raise UnusableKey(f"no live key is called {which!r}; live keys: {', '.join(names) or 'none'}")
        values = {"revoked_at": datetime.now(UTC)}
        connection.execute(sa.update(table).where(table.c.id == found["id"]).values(values))
        return _key(dict(found) | values)


def _read(engine: sa.Engine, which: sa.ColumnElement[bool]) -> list[tuple[str, ApiKey]]:
    query = sa.select(tables.api_keys).where(which).order_by(tables.api_keys.c.created_at, tables.api_keys.c.id)
    with reading(engine) as connection:
        return [(row["sha256"], _key(dict(row))) for row in connection.execute(query).mappings()]


def _key(row: dict[str, object]) -> ApiKey:
    return ApiKey.model_validate({name: row[name] for name in ApiKey.model_fields})
