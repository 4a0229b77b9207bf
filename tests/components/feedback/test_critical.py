"""Marks of critical cases: the latest word counts, their number is bounded, and old turns stay what they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from components import config
from components.feedback import migrate, tables, waiting
from components.feedback.critical import mark
from components.feedback.database import connect, writing
from components.feedback.exchange.transfer import Format, export_file, import_file
from components.feedback.review import ReviewQueue, WrongLook
from components.feedback.store import Store, TooManyCritical
from components.task import Task
from tests.components.feedback.conftest import Said, Served

TEXT = Task(name="intake", title="Intake", answer="text")
OLD_DIGEST = "d59e383c6f3ae725b1509ef0b1dbc2cf1fef103ba99b3dcf6b7aac9fa892c599"
"""Of `OLD`, as the version before marks of critical cases computed it."""
OLD = (("thumb_up", None), ("thumb_down", "why"), ("correction", None), ("comment", "hm"))


def critical(store: Store, task: str = "intake") -> list[str]:
    return [case.interaction_id for case in store.critical(task)]


def test_the_latest_word_on_a_case_counts_whoever_says_it(store: Store, served: Served) -> None:
    for id in ("c1", "c2"):
        store.add_interaction(served(id))
    store.add_all([mark("c1", "ann", comment="an emergency")])
    store.add_all([mark("c2", "bob")])
    (first, second) = store.critical("intake")
    assert (first.interaction_id, first.rater, first.comment) == ("c1", "ann", "an emergency")
    assert "what is c1?" in first.question
    assert second.interaction_id == "c2"
    store.add_all([mark("c1", "bob", critical=False)])
    assert critical(store) == ["c2"]
    store.add_all([mark("c1", "ann")])
    assert critical(store) == ["c2", "c1"]
    assert [row.kind for row in store.rows("intake", 0, 9)] == ["critical", "critical", "not_critical", "critical"]


def test_a_mark_is_append_only_like_all_feedback(store: Store, served: Served) -> None:
    store.add_interaction(served("c1"))
    store.add_all([mark("c1", "ann")])
    for statement in ("UPDATE feedback SET kind = 'not_critical'", "DELETE FROM feedback"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_a_mark_beyond_the_bound_is_refused_with_all_that_was_said_and_taking_one_back_makes_room(
    url: str, served: Served, said: Said
) -> None:
    with Store(url, critical_most=2) as store:
        for number in range(4):
            store.add_interaction(served(f"c{number}"))
        store.add_interaction(served("d1", task="clinic"))
        store.add_all([mark("c0", "ann")])
        store.add_all([mark("c1", "ann")])
        store.add_all([mark("c1", "ann")])  # again: no further case
        with pytest.raises(TooManyCritical, match=r"^2 cases of this task are critical.*curate\.critical_most"):
            store.add_all([said("c2"), mark("c2", "ann")])
        assert store.feedback_for("c2") == []
        store.add_all([mark("d1", "ann")])  # another task has its own
        store.add_all([mark("c0", "ann", critical=False)])
        store.add_all([mark("c2", "ann")])
        assert critical(store) == ["c1", "c2"]
        outcomes = store.add_said([[mark("c2", "bob", critical=False)], [mark("c0", "bob")], [mark("c3", "bob")]])
        assert [isinstance(outcome, TooManyCritical) for outcome in outcomes] == [False, False, True]
        assert critical(store) == ["c1", "c0"]


def test_a_lower_bound_takes_no_mark_away_but_lets_none_come(url: str, served: Served) -> None:
    with Store(url) as store:
        for number in range(3):
            store.add_interaction(served(f"c{number}"))
        store.add_all([mark("c0", "ann"), mark("c1", "ann")])
    with Store(url, critical_most=1) as store:
        assert critical(store) == ["c0", "c1"]
        with pytest.raises(TooManyCritical):
            store.add_all([mark("c2", "ann")])
        store.add_all([mark("c0", "ann")])
        store.add_all([mark("c0", "ann", critical=False)])
        assert critical(store) == ["c1"]


def test_people_who_mark_at_the_same_time_stay_within_the_bound(url: str, served: Served) -> None:
    with Store(url, critical_most=3) as store:
        for number in range(12):
            store.add_interaction(served(f"c{number}"))
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda n: store.add_said([[mark(f"c{n}", "ann")]])[0], range(12)))
        assert sum(isinstance(outcome, TooManyCritical) for outcome in outcomes) == 9
        assert len(critical(store)) == 3


def test_events_of_before_keep_their_digest(store: Store, served: Served, said: Said) -> None:
    store.add_interaction(served("c1"))
    for kind, comment in OLD:
        store.add_feedback(said("c1", kind, comment=comment))
    assert store.digest("intake", 0, 4) == OLD_DIGEST
    store.add_all([mark("c1", "ann")])
    assert store.digest("intake", 0, 4) == OLD_DIGEST
    assert store.digest("intake", 0, 5) != OLD_DIGEST


def test_a_store_of_before_is_migrated_with_its_digest_and_its_triggers(
    url: str, served: Served, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_0004(url, monkeypatch)
    interaction, engine = served("c1"), connect(url)
    with writing(engine) as connection:
        row = interaction.model_dump(mode="json") | {"created_at": interaction.created_at}
        connection.execute(sa.insert(tables.interactions), row)
        for kind, comment in OLD:
            event = said("c1", kind, comment=comment)
            row = event.model_dump(mode="json") | {"created_at": event.created_at, "task": "intake"}
            connection.execute(sa.insert(tables.feedback), row)
    engine.dispose()
    with Store(url) as store:
        assert store.digest("intake", 0, 4) == OLD_DIGEST
        assert "ix_feedback_marks" in {index["name"] for index in sa.inspect(store.engine).get_indexes("feedback")}
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM feedback"))
        store.add_all([mark("c1", "ann")])
        assert critical(store) == ["c1"]


def at_0004(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store as it was made before marks of critical cases."""
    from alembic import command

    upgrade = command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", lambda config, _: upgrade(config, "0004"))
        engine = connect(url)
        if engine.dialect.name == "sqlite":
            Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        migrate.migrate(engine)
        assert "ix_feedback_marks" not in {index["name"] for index in sa.inspect(engine).get_indexes("feedback")}
        engine.dispose()


# The review queue ---------------------------------------------------------------------------


@pytest.fixture
def queue(store: Store) -> ReviewQueue:
    without = {"sample": 0, "two_reviewers": 0, "gold": 0, "low_confidence": 0}
    settings = config.parse({"task": "intake", "review": without, "curate": {"critical_most": 1}})
    return ReviewQueue(store, TEXT, settings)


def test_a_reviewer_marks_beside_a_look_and_takes_the_mark_back_beside_another(
    store: Store, queue: ReviewQueue, served: Served, said: Said
) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1", "thumb_down", rater="zoe"))
    item = queue.take("bob")
    assert item is not None
    assert not item.critical
    with pytest.raises(WrongLook, match="needs its right answer"):
        queue.look("bob", "c1", "reject", critical=True)
    look = queue.look("bob", "c1", "fix", "better", critical=True)
    assert queue.look("bob", "c1", "fix", "better", critical=True) == look  # a double click
    assert [event.kind for event in store.feedback_for("c1")] == ["thumb_down", "correction", "critical"]
    assert critical(store) == ["c1"]
    queue.look("bob", "c1", "fix", "better still")
    assert critical(store) == ["c1"]
    queue.look("bob", "c1", "fix", "better still", critical=False)
    assert critical(store) == []
    assert len(queue.looks()) == 2


def test_a_look_whose_mark_is_beyond_the_bound_is_not_written_and_the_item_stays_open(
    store: Store, queue: ReviewQueue, served: Served, said: Said
) -> None:
    for id in ("c1", "c2"):
        store.add_interaction(served(id))
        store.add_feedback(said(id, "thumb_down", rater="zoe"))
    assert queue.take("bob") is not None
    queue.look("bob", "c1", "accept", critical=True)
    item = queue.take("bob")
    assert item is not None
    with pytest.raises(TooManyCritical):
        queue.look("bob", "c2", "accept", critical=True)
    assert [event.kind for event in store.feedback_for("c2")] == ["thumb_down"]
    assert queue.open_items() == {"c2": "bob"}
    assert queue.look("bob", "c2", "accept").action == "accept"


def test_a_mark_neither_settles_what_waits_nor_hides_a_complaint(
    store: Store, queue: ReviewQueue, served: Served, said: Said
) -> None:
    store.add_interaction(served("c1"))
    store.add_feedback(said("c1", "thumb_down", rater="zoe"))
    store.add_interaction(served("c2", valid=False))
    before = queue.waiting()
    assert (before["thumb_down"], before["schema_failure"]) == (1, 1)
    store.add_all([mark("c1", "zoe")])
    store.add_all([mark("c2", "zoe", critical=False)])
    assert queue.waiting() == before
    with store.engine.connect() as connection:
        events = [event.kind for answer in waiting.read(connection, "intake", 10) for event in answer.said]
    assert events == ["thumb_down"]


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "events"), [("jsonl", 3), ("parquet", 3), ("argilla", 1), ("label-studio", 1)])
def test_our_own_formats_carry_marks_and_others_leave_them_out(
    form: Format, events: int, tmp_path: Path, served: Served, said: Said
) -> None:
    with Store(f"sqlite:///{tmp_path / 'one.db'}") as one, Store(f"sqlite:///{tmp_path / 'two.db'}") as two:
        one.add_interaction(served("c1"))
        one.add_interaction(served("c2"))
        one.add_feedback(said("c1"))
        one.add_all([mark("c1", "ann", comment="an emergency")])
        one.add_all([mark("c2", "ann")])
        file = tmp_path / "feedback.json"
        assert export_file(one, "intake", file, form) == events
        first, again = (import_file(two, TEXT, file, form) for _ in range(2))
        assert (first.stored, first.refused, again.stored, again.known) == (events, [], 0, events)
        assert critical(two) == (["c1", "c2"] if events == 3 else [])


def test_a_file_with_more_marks_than_may_be_names_the_rows_beyond(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    row = '{"kind": "critical", "rater": "ann", "messages": [{"role": "user", "content": "q%d"}], "answer": "a"}\n'
    file.write_text("".join(row % number for number in range(3)))
    with Store(f"sqlite:///{tmp_path / 's.db'}", critical_most=2) as store:
        done = import_file(store, TEXT, file, "jsonl")
        assert (done.stored, [place for place, _ in done.refused]) == (2, ["line 3"])
        assert "curate.critical_most" in done.refused[0][1]
        assert len(critical(store)) == 2
