"""Many answers and many people's words in one transaction: each has its own outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.feedback.store import Answered, KeyReused, Noted, Store, StoreError, UnknownInteraction
from components.schema import Feedback, Interaction

Served = Callable[..., Interaction]
Said = Callable[..., Feedback]


def test_each_answer_is_kept_or_refused_by_itself(store: Store, served: Served) -> None:
    store.add_interaction(served("c1"))
    again, other, new, twice = served("c1"), served("c1", answer="other"), served("c2"), served("c2", answer="no")
    outcomes = store.add_answers([Answered(one) for one in (again, other, new, new, twice)])
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreError, type(None), type(None), StoreError]
    assert store.interaction("c1") == again
    assert store.interaction("c2") == new


def test_each_group_of_events_is_appended_wholly_or_not_at_all(store: Store, served: Served, said: Said) -> None:
    for id in ("c1", "c2"):
        store.add_interaction(served(id))
    thumb = {"kind": "thumb_down", "correction": None}
    first = [said("c1", idempotency_key="a", **thumb), said("c1", idempotency_key="b")]
    retry = [said("c1", idempotency_key="a", **thumb), said("c1", idempotency_key="b")]
    half = [said("c2", idempotency_key="x"), said("c1", idempotency_key="b", correction="another")]
    unknown = [said("nope")]
    after = [said("c2", idempotency_key="x", correction="what half of a refused group did not take")]
    outcomes = store.add_said([first, retry, half, unknown, after])
    assert [type(outcome) for outcome in outcomes] == [Noted, Noted, KeyReused, UnknownInteraction, Noted]
    noted, repeated = outcomes[0], outcomes[1]
    assert isinstance(noted, Noted)
    assert isinstance(repeated, Noted)
    assert (noted.new, repeated.new) == ((True, True), (False, False))
    assert repeated.events == noted.events == tuple(first)
    assert noted.version == served("c1").model_version
    assert [row.event_id for row in store.rows("intake", 0, 99)] == [event.id for event in (*first, *after)]


def test_what_the_database_refuses_of_one_hinders_nobody_else(store: Store, served: Served) -> None:
    lone: Any = "\ud800"  # half a character, which no database encodes
    bad = served("c2").model_copy(update={"answer": lone})
    outcomes = store.add_answers([Answered(one) for one in (served("c1"), bad, served("c3"))])
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert [store.interaction(id) is not None for id in ("c1", "c2", "c3")] == [True, False, True]


def test_a_full_or_busy_store_is_told_to_everybody_at_once(
    store: Store, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.feedback import store as module

    tries = []

    def busy(*_: object) -> object:
        tries.append(1)
        raise module.StoreBusy("held by another writer")

    monkeypatch.setattr(module, "writing", busy)
    outcomes = store.add_answers([Answered(served(f"c{n}")) for n in range(5)])
    assert [type(outcome) for outcome in outcomes] == [module.StoreBusy] * 5
    assert len(tries) == 1, "thirty seconds of waiting each would be minutes"
