"""API keys at rest: only hashes, revoked at once, and nothing that a reader of the database could use."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from components.feedback import keys, tables
from components.feedback.database import reading
from components.feedback.store import Store


def test_a_key_is_found_by_its_hash_and_kept_nowhere(store: Store) -> None:
    key, secret = keys.create(store.engine, "ward app", ["review", "use"])
    assert keys.live(store.engine) == {keys.digest(secret): key}
    assert key.scopes == ("use", "review")
    with reading(store.engine) as connection:
        kept = repr(list(connection.execute(sa.select(tables.api_keys))))
    assert secret not in kept
    assert secret[len(keys.PREFIX) + 4 :] not in kept


def test_a_revoked_key_opens_nothing_and_its_name_is_free_again(store: Store) -> None:
    _, first = keys.create(store.engine, "ana", ["use"])
    with pytest.raises(keys.UnusableKey, match="'ana' already"):
        keys.create(store.engine, "ana", ["use"])
    revoked = keys.revoke(store.engine, "ana")
    assert revoked.revoked_at is not None
    assert keys.digest(first) not in keys.live(store.engine)
    again, second = keys.create(store.engine, "ana", ["admin"])
    assert keys.revoke(store.engine, again.id).name == "ana"
    assert keys.live(store.engine) == {}
    assert [key.name for key in keys.every(store.engine)] == ["ana", "ana"]
    assert first != second


def test_unknown_scopes_and_names_are_refused_with_those_that_exist(store: Store) -> None:
    with pytest.raises(keys.UnusableKey, match="'root' is no scope; scopes: use, review, admin"):
        keys.create(store.engine, "ana", ["root"])
    with pytest.raises(keys.UnusableKey, match="needs a scope"):
        keys.create(store.engine, "ana", [])
    keys.create(store.engine, "ben", ["use"])
    with pytest.raises(keys.UnusableKey, match="'carl'; live keys: ben"):
        keys.revoke(store.engine, "carl")


def test_admin_may_everything_and_use_only_use(store: Store) -> None:
    admin, _ = keys.create(store.engine, "root", ["admin"])
    user, _ = keys.create(store.engine, "user", ["use"])
    assert all(admin.may(scope) for scope in keys.SCOPES)
    assert [scope for scope in keys.SCOPES if user.may(scope)] == ["use"]
