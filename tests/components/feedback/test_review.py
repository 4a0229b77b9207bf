"""The queue over a real store: what comes first, who sees what, and what became of a look."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from components import config
from components.feedback import tables
from components.feedback.database import writing
from components.feedback.progress import progress
from components.feedback.review import Item, LeaseLost, ReviewQueue, WrongLook
from components.feedback.statistics import wilson
from components.feedback.store import Store
from components.schema import Feedback, Message
from components.task import Task
from tests.components.feedback.conftest import NOW, Said, Served

MAIL = Task(name="mail", title="Mail", answer="label", labels=("ham", "spam"))
Make = Callable[..., ReviewQueue]


@pytest.fixture
def queue(store: Store) -> Make:
    """The store's queue of task `mail`, without draws unless a test wants them."""

    def make(**review: Any) -> ReviewQueue:
        without = {"sample": 0, "two_reviewers": 0, "gold": 0, "low_confidence": 0}
        settings = {"task": "mail", "review": without | review, "curate": {"trusted_raters": ["ann"]}}
        return ReviewQueue(store, MAIL, config.parse(settings))

    return make


@pytest.fixture
def answered(store: Store, served: Served) -> Callable[..., None]:
    """Store an answer of task `mail`, `minute` after the first."""

    def add(id: str, minute: int = 0, **changes: Any) -> None:
        values = {"task": "mail", "answer": "ham", "created_at": NOW + timedelta(minutes=minute)}
        store.add_interaction(served(id, **(values | changes)))

    return add


def taken(queue: ReviewQueue, reviewer: str) -> Item:
    item = queue.take(reviewer)
    assert item is not None
    return item


def test_thumbs_down_come_first_then_unsure_invalid_disputed_and_drawn_answers(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    for number in range(20):
        answered(f"sure{number}", logprob=-0.01)
    answered("unsure", 1, logprob=-2.0)
    answered("broken", 2, valid=False, answer="hm")
    question = (Message(role="user", content="the same question"),)
    answered("old", 3, messages=question)
    answered("new", 4, messages=(Message(role="system", content="Label it."), *question), model_version="2")
    answered("other", 5, messages=question, model_version="3", answer="spam")
    answered("down", 6)
    store.add_feedback(said("down", "thumb_down"))
    answered("praised", 7, valid=False)
    store.add_feedback(said("praised", "thumb_up"))
    one = queue(low_confidence=0.05)
    assert one.waiting() == {
        "thumb_down": 1, "quarantined": 0, "low_confidence": 1, "schema_failure": 1, "disagreement": 1, "sample": 0
    }  # fmt: skip
    seen = []
    while (item := one.take("bob")) is not None:
        seen.append((item.interaction.id, item.reason))
        one.look("bob", item.interaction.id, "accept")
    assert seen == [
        ("down", "thumb_down"), ("unsure", "low_confidence"), ("broken", "schema_failure"), ("other", "disagreement")
    ]  # fmt: skip


def test_every_so_many_looks_go_to_the_sample_and_the_estimate_counts_only_its_finished_beginning(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    for number in range(6):
        answered(f"c{number}", number)
    for number in (1, 3, 5):
        store.add_feedback(said(f"c{number}", "thumb_down"))
    one = queue(sample=1, sample_every=2)
    order = []
    for _ in range(4):
        item = taken(one, "bob")
        order.append(item.interaction.id)
        one.look("bob", item.interaction.id, "reject" if item.reason == "thumb_down" else "accept")
    assert order == ["c1", "c0", "c3", "c2"]
    estimate = one.estimate()
    assert (estimate.looked_at, estimate.wrong, estimate.waiting, estimate.rate) == (4, 2, 2, 0.5)
    assert estimate.lower < 0.5 < estimate.upper


def test_people_at_the_same_time_never_see_the_same_item(
    store: Store, url: str, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    for number in range(24):
        answered(f"c{number}", number)
        store.add_feedback(said(f"c{number}", "thumb_down"))
    one = queue()
    people = [f"person {number}" for number in range(6)]

    def work(person: str) -> list[str]:
        with Store(url) as own:  # each as a process of its own would
            mine = ReviewQueue(own, MAIL, config.parse({"task": "mail", "review": {"two_reviewers": 0, "sample": 0}}))
            seen = []
            while len(seen) < 4:
                item = taken(mine, person)
                seen.append(item.interaction.id)
                mine.look(person, item.interaction.id, "fix", correction="spam")
            return seen

    with ThreadPoolExecutor(6) as pool:
        seen = [id for ids in pool.map(work, people) for id in ids]
    assert sorted(seen) == sorted(f"c{number}" for number in range(24))
    assert one.take("late") is None


def test_an_open_item_is_kept_from_others_until_its_lease_is_over(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    answered("c1")
    store.add_feedback(said("c1", "thumb_down"))
    one = queue()
    item = taken(one, "bob")
    assert one.take("bob") is not None, "a reloaded page shows the same again"
    assert one.take("eve") is None
    assert one.open_items() == {"c1": "bob"}
    with pytest.raises(LeaseLost, match="bob has this answer open"):
        one.look("eve", "c1", "accept")
    with writing(store.engine) as connection:
        past = NOW - timedelta(hours=1)
        connection.execute(sa.update(tables.review_leases).values(expires_at=past))
    one.look("bob", "c1", "skip")  # it is over, but nobody came meanwhile
    assert taken(one, "eve").interaction == item.interaction
    with pytest.raises(LeaseLost, match="eve has this answer open"):
        one.look("bob", "c1", "accept")
    one.release("eve", "c1")
    assert taken(one, "zoe").interaction.id == "c1"


def test_a_look_is_feedback_like_any_other_once_however_often_it_is_sent(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    answered("c1")
    store.add_feedback(said("c1", "thumb_down"))
    one = queue()
    taken(one, "bob")
    with pytest.raises(WrongLook, match="no valid answer of task 'mail'"):
        one.look("bob", "c1", "fix", correction="eggs")
    with pytest.raises(WrongLook, match="needs the right answer"):
        one.look("bob", "c1", "fix")
    look = one.look("bob", "c1", "fix", correction=" spam ")
    assert one.look("bob", "c1", "fix", correction="spam") == look
    events = store.feedback_for("c1")
    assert [(e.rater, e.kind, e.correction) for e in events] == [
        ("ann", "thumb_down", None), ("bob", "correction", "spam")
    ]  # fmt: skip
    edited = one.look("bob", "c1", "accept")
    assert edited.id != look.id
    assert [e.kind for e in store.feedback_for("c1")] == ["thumb_down", "correction", "thumb_up"]
    assert [one.id for one in one.looks()] == [edited.id, look.id]
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM looks"))


def test_what_a_look_became_is_told_once_when_it_is_on_disk_and_a_skip_became_nothing(
    store: Store, answered: Callable[..., None]
) -> None:
    told: list[tuple[Feedback, list[Feedback]]] = []
    settings = config.parse({"task": "mail", "review": {"sample": 1, "two_reviewers": 0, "gold": 0}})
    one = ReviewQueue(store, MAIL, settings, lambda event: told.append((event, store.feedback_for("c1"))))
    answered("c1")
    taken(one, "ann")
    one.look("ann", "c1", "skip")
    taken(one, "bob")
    one.look("bob", "c1", "fix", correction="spam", comment="it sells")
    one.look("bob", "c1", "fix", correction="spam", comment="it sells")
    with pytest.raises(WrongLook):
        one.look("bob", "c1", "fix", correction="eggs")
    ((event, stored),) = told
    assert (event.rater, event.kind, event.correction, event.comment) == ("bob", "correction", "spam", "it sells")
    assert [one.id for one in stored] == [event.id]


def test_what_one_skips_another_sees_and_nobody_judges_what_they_said(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    answered("c1")
    store.add_feedback(said("c1", "thumb_down", rater="ann"))
    one = queue()
    assert one.take("ann") is None
    taken(one, "bob")
    one.look("bob", "c1", "skip")
    assert one.take("bob") is None
    assert taken(one, "eve").interaction.id == "c1"
    one.look("eve", "c1", "reject")
    assert one.waiting()["thumb_down"] == 0


def test_an_answer_that_somebody_complains_of_after_a_look_comes_back(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    answered("c1", valid=False)
    one = queue()
    taken(one, "bob")
    look = one.look("bob", "c1", "accept")
    assert one.take("eve") is None
    store.add_feedback(said("c1", "thumb_down", created_at=look.created_at + timedelta(seconds=1)))
    assert taken(one, "bob").reason == "thumb_down"
    one.look("bob", "c1", "reject")
    assert store.feedback_for("c1")[-1].kind == "thumb_down"


def test_two_people_look_at_a_share_and_their_agreement_is_kappa(queue: Make, answered: Callable[..., None]) -> None:
    for number in range(10):
        answered(f"c{number}", number, valid=False)
    one = queue(two_reviewers=1)
    for reviewer, wrong in (("bob", {"c0", "c1", "c2", "c3", "c4"}), ("eve", {"c1", "c2", "c3", "c4", "c5"})):
        while (item := one.take(reviewer)) is not None:
            assert item.said == (), "what the first found is not told"
            one.look(reviewer, item.interaction.id, "reject" if item.interaction.id in wrong else "accept")
    assert one.take("zoe") is None
    agreement = one.agreement()
    assert (agreement.pairs, agreement.observed) == (10, 0.8)
    assert agreement.kappa == pytest.approx(0.6)  # (0.8 - 0.5) / (1 - 0.5)


def test_gold_questions_look_like_the_sample_teach_nothing_and_show_who_judges_rightly(
    store: Store, queue: Make, answered: Callable[..., None]
) -> None:
    answered("g1")
    answered("g2", answer="spam")
    one = queue(gold=0.5)
    one.add_gold("g1", "spam", "ann")
    one.add_gold("g2", "spam", "ann")
    with pytest.raises(WrongLook, match="another answer"):
        one.add_gold("g1", "ham", "ann")
    with pytest.raises(WrongLook, match=r"add 'mallory' to curate\.trusted_raters"):
        one.add_gold("g1", "ham", "mallory")
    for number in range(30):
        answered(f"c{number}", number, valid=False)
    golden = 0
    while (item := one.take("bob")) is not None:
        if item.interaction.id in ("g1", "g2"):
            golden += 1
            assert (item.reason, item.detail) == ("sample", "drawn at random")
        assert one.look("bob", item.interaction.id, "accept").gold == (item.interaction.id in ("g1", "g2"))
    assert golden == 2
    assert [(e.rater, e.correction) for e in store.feedback_for("g1")] == [("ann", "spam"), ("bob", None)]
    bob = next(of for of in progress(store, "mail", one.canonical) if of.reviewer == "bob")
    assert (bob.accepted, bob.gold_seen, bob.gold_right) == (30, 2, 1)


def test_progress_says_in_which_version_corrections_went_and_whether_it_now_answers_as_written(
    store: Store, queue: Make, answered: Callable[..., None], said: Said
) -> None:
    for number in range(3):
        answered(f"c{number}", number, valid=False)
    one = queue()
    while (item := one.take("bob")) is not None:
        one.look("bob", item.interaction.id, "fix", correction="spam")
    turn = store.open_turn("mail")
    assert turn is not None
    store.close_turn(turn, "5", "promote")
    for number, answer in ((0, "spam"), (1, "ham")):
        question = (Message(role="user", content=f"what is c{number}?"),)
        answered(f"again{number}", 9, model_version="5", messages=question, answer=answer)
    (bob,) = progress(store, "mail", one.canonical)
    assert (bob.fixed, bob.corrections, bob.in_version) == (3, 3, {"5": 3})
    assert (bob.asked_again, bob.now_right) == (2, 1)


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I: 81 of 263 is 0.2553 to 0.3662."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
