from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
import sqlalchemy as sa

from components.feedback.store import KeyReused, Store, StoreError, UnknownInteraction, canonical_line
from components.schema import Message
from tests.components.feedback.conftest import NOW, Said, Served


def test_an_answer_comes_back_as_it_was_stored(store: Store, served: Served) -> None:
    interaction = served("c1", answer="ü \U0001f642 \n", parameters={"temperature": 0.5, "stop": ["x"]})
    store.add_interaction(interaction)
    assert store.interaction("c1") == interaction
    assert store.interaction("c2") is None


def test_storing_the_same_answer_twice_changes_nothing_but_another_one_under_its_id_is_refused(
    store: Store, served: Served
) -> None:
    store.add_interaction(served("c1"))
    store.add_interaction(served("c1"))
    with pytest.raises(StoreError, match="'c1' is already stored"):
        store.add_interaction(served("c1", answer="other"))
    assert len(store.interactions("intake")) == 1


def test_interactions_come_newest_first_and_page(store: Store, served: Served) -> None:
    for minute in range(5):
        store.add_interaction(
            served(f"c{minute}", created_at=NOW + timedelta(minutes=minute), model_version=str(minute % 2))
        )
    first = store.interactions("intake", limit=2)
    assert [i.id for i in first] == ["c4", "c3"]
    assert [i.id for i in store.interactions("intake", before=first[-1].created_at)] == ["c2", "c1", "c0"]
    assert [i.id for i in store.interactions("intake", version="1")] == ["c3", "c1"]
    assert store.interactions("clinic") == []


def test_outcomes_of_a_trial_count_an_answer_that_somebody_found_wrong_once(
    store: Store, served: Served, said: Said
) -> None:
    for number in range(8):
        version, trial = str(number % 2), {"trial": "t1"} if number < 6 else {}
        store.add_interaction(served(f"c{number}", model_version=version, answer="right", parameters=trial))
    for id, kind, correction in (
        ("c0", "thumb_down", None),
        ("c0", "correction", "better"),
        ("c1", "correction", "right"),
        ("c2", "thumb_up", None),
        ("c3", "correction", "better"),
        ("c4", "comment", None),
        ("c6", "thumb_down", None),
    ):
        comment = "hm" if kind == "comment" else None
        store.add_feedback(said(id, kind=kind, correction=correction, comment=comment))
    assert store.outcomes("intake", "t1") == {"0": (3, 1), "1": (3, 1)}
    assert store.outcomes("intake", "t2") == {}
    assert store.outcomes("clinic", "t1") == {}


def test_feedback_for_an_answer_never_served_is_refused_with_what_to_do(store: Store, said: Said) -> None:
    with pytest.raises(UnknownInteraction, match=r"'nope'.*send the `id` of the completion"):
        store.add_feedback(said("nope"))
    assert store.latest_seq("intake") == 0


def test_a_retried_event_is_stored_once(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    first, created = store.add_feedback(said("c1", idempotency_key="k"))
    again, created_again = store.add_feedback(said("c1", idempotency_key="k"))
    assert (created, created_again) == (True, False)
    assert again == first
    assert store.feedback_for("c1") == [first]


def test_the_same_event_id_is_a_retry_too(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    event, _ = store.add_feedback(said("c1"))
    assert store.add_feedback(event) == (event, False)


def test_a_key_that_comes_with_other_content_is_refused_and_not_swallowed(
    store: Store, served: Served, said: Said
) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1", idempotency_key="k"))
    with pytest.raises(KeyReused, match="send a new key"):
        store.add_feedback(said("c1", idempotency_key="k", correction="another"))


def test_one_key_may_be_used_for_different_answers(store: Store, served: Served, said: Said) -> None:
    for id in ("c1", "c2"):
        store.add_interaction(served(id))
        assert store.add_feedback(said(id, idempotency_key="1"))[1]


def test_events_cannot_be_changed_or_removed(store: Store, url: str, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1"))
    engine = store._engine
    for statement in ("UPDATE feedback SET correction = 'x'", "DELETE FROM feedback", "DELETE FROM interactions"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_a_nul_in_a_text_is_kept_as_the_replacement_character(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1", answer="a\x00b", messages=(Message(role="user", content="q\x00"),)))
    event, _ = store.add_feedback(said("c1", correction="x\x00y"))
    assert event.correction == "x�y"
    assert store.feedback_for("c1") == [event]
    assert [row.answer for row in store.rows("intake", 0, 9)] == ["a�b"]


def test_rows_are_a_range_of_one_task_in_order_and_the_digest_is_of_their_lines(
    store: Store, served: Served, said: Said
) -> None:
    store.add_interaction(served("c1"))
    store.add_interaction(served("d1", task="clinic"))
    for interaction in ("c1", "d1", "c1", "c1"):
        store.add_feedback(said(interaction))
    rows = store.rows("intake", 1, 4)
    assert [row.seq for row in rows] == [3, 4]
    assert store.digest("intake", 1, 4) == hashlib.sha256(b"".join(map(canonical_line, rows))).hexdigest()
    assert store.latest_seq("intake") == 4
    assert store.latest_seq("clinic") == 2
    assert store.latest_seq("nobody's") == 0


def test_waiting_counts_what_no_closed_turn_has_seen(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    for kind in ("correction", "correction", "thumb_up", "thumb_down", "comment"):
        store.add_feedback(said("c1", kind))
    assert store.waiting("intake") == {"thumb_up": 1, "thumb_down": 1, "correction": 2, "comment": 1}
    turn = store.open_turn("intake")
    assert turn is not None
    assert store.waiting("intake")["correction"] == 2
    store.close_turn(turn, "2", "promote")
    assert sum(store.waiting("intake").values()) == 0
    store.add_feedback(said("c1"))
    assert store.waiting("intake")["correction"] == 1


def test_there_is_no_turn_without_anything_new(store: Store, served: Served, said: Said) -> None:
    assert store.open_turn("intake") is None
    store.add_interaction(served("c1"))
    assert store.open_turn("intake") is None
    store.add_feedback(said("c1"))
    turn = store.open_turn("intake")
    assert turn is not None
    store.close_turn(turn, "2", "promote")
    assert store.open_turn("intake") is None


def test_a_killed_turn_goes_on_with_the_very_same_rows(store: Store, url: str, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1"))
    turn = store.open_turn("intake")
    store.close()  # as if the process had been killed
    with Store(url) as reopened:
        reopened.add_feedback(said("c1"))
        assert reopened.open_turn("intake") == turn
        assert turn is not None
        assert reopened.digest("intake", turn.after, turn.through) == turn.sha256


def test_turns_follow_one_another_and_snapshots_name_them_all(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1"))
    first = store.open_turn("intake")
    assert first is not None
    store.close_turn(first, "2", "refuse")  # its feedback stays taught in later turns
    store.add_feedback(said("c1"))
    second = store.open_turn("intake")
    assert second is not None
    assert (second.number, second.after, second.through) == (2, 1, 2)
    assert store.snapshots("intake") == [first.snapshot, second.snapshot]
    assert [(t.version, t.decision, t.state) for t in store.turns("intake")] == [
        ("2", "refuse", "closed"),
        (None, None, "open"),
    ]


def test_an_abandoned_turns_rows_join_the_next(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1"))
    first = store.open_turn("intake")
    assert first is not None
    store.abandon_turn(first)
    store.abandon_turn(first)
    assert store.snapshots("intake") == []
    store.add_feedback(said("c1"))
    second = store.open_turn("intake")
    assert second is not None
    assert (second.number, second.after, second.through) == (1, 0, 2)
    with pytest.raises(StoreError, match="already abandoned"):
        store.close_turn(first, "2", "promote")


def test_closing_a_turn_again_is_safe_but_not_with_another_result(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1"))
    turn = store.open_turn("intake")
    assert turn is not None
    assert store.close_turn(turn, "2", "promote") == store.close_turn(turn, "2", "promote")
    with pytest.raises(StoreError, match=r"already closed \(version 2, promote\)"):
        store.close_turn(turn, "3", "promote")
    with pytest.raises(StoreError, match="already closed"):
        store.abandon_turn(turn)


def test_turns_of_two_tasks_are_apart(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    store.add_interaction(served("d1", task="clinic"))
    store.add_feedback(said("c1"))
    store.add_feedback(said("d1"))
    one, other = store.open_turn("intake"), store.open_turn("clinic")
    assert one is not None
    assert other is not None
    assert [row.interaction_id for row in store.rows("clinic", other.after, other.through)] == ["d1"]
    assert one.sha256 != other.sha256
