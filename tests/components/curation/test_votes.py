"""Votes of the arena on their way from the store into a turn's pairs."""

from __future__ import annotations

from collections import Counter

import pytest

from components import config, files, layout, stage
from components.curation.__main__ import main
from components.feedback.__main__ import main as collect
from components.feedback.battles import cast, open_battle
from components.feedback.store import Store
from components.feedback.votes import Battle, Choice, Voted
from components.schema import Message
from tests.components.curation.conftest import Write, example, sentence
from tests.components.curation.test_pairs import read
from tests.components.curation.test_stage import dropped, report
from tests.components.feedback.conftest import Said, Served, said, served

__all__ = ["said", "served"]


def battle(store: Store, number: int, task: str = "mail") -> Battle:
    asked = (Message(role="user", content=sentence(number)),)
    return open_battle(store, task, asked, ("1", "ham"), ("2", "spam"))


def side(of: Battle, answer: str) -> Choice:
    return "a" if of.answer_a == answer else "b"


def turn(store: Store, served: Served, said: Said, number: int) -> config.SnapshotReference:
    """A turn over what was said so far: votes come with the feedback that begins it."""
    store.add_interaction(served(f"c{number}", task="mail"))
    store.add_feedback(said(f"c{number}", "thumb_up"))
    opened = store.open_turn("mail")
    assert opened is not None
    store.close_turn(opened, str(number), "promote")
    return opened.snapshot


def curated(settings: config.Settings, *snapshots: config.SnapshotReference) -> None:
    settings = settings.model_copy(update={"turn": config.TurnSettings(snapshots=snapshots)})
    collect(settings)
    main(settings)


def test_votes_become_the_pairs_of_their_turn_and_later_ones_change_nothing_in_it(
    project: Write, served: Served, said: Said
) -> None:
    settings = project([example("own", sentence(1))], replay=100, regression_share=0.0)
    with Store() as store:
        for number, vote in ((10, "spam"), (11, "ham")):
            fought = battle(store, number)
            cast(store, fought.id, "ann", "person", side(fought, vote), "a")
        cast(store, battle(store, 12).id, "ann", "person", "tie", "a")
        elsewhere = battle(store, 13, task="other")
        cast(store, elsewhere.id, "ann", "person", "a", "a")
        first = turn(store, served, said, 1)
        fought = battle(store, 14)
        cast(store, fought.id, "bob", "person", side(fought, "spam"), "b")
        second = turn(store, served, said, 2)
        quiet = turn(store, served, said, 3)
    assert quiet.votes is None
    curated(settings, first)
    assert [(p.chosen, p.rejected, p.source, p.rater) for p in read()] == [
        ("spam", "ham", "human", "ann"),
        ("ham", "spam", "human", "ann"),
    ]
    assert [(p.chosen_version, p.rejected_version) for p in read()] == [("2", "1"), ("1", "2")]
    before = files.sha256_of(layout.curated("mail"))
    curated(settings, first)
    assert files.sha256_of(layout.curated("mail")) == before
    curated(settings, first, second, quiet)
    assert [p.rater for p in read()] == ["ann", "ann", "bob"]
    folder = layout.snapshots("mail")
    assert sorted(path.name for path in folder.glob("votes-*")) == ["votes-0001.jsonl", "votes-0002.jsonl"]
    assert len(files.read_rows(folder / "votes-0002.jsonl", Voted)) == 1
    assert report()["pairs"]["arena"] == {"votes": 4, "pairs": 3, "judges": {}}


def test_a_judges_votes_teach_only_while_it_agrees_with_people(project: Write, served: Served, said: Said) -> None:
    settings = project([example("own", sentence(1))], regression_share=0.0)
    with Store() as store:
        for number in range(36):
            fought = battle(store, 100 + number)
            better = side(fought, "spam" if number % 2 else "ham")
            if number < 32:
                cast(store, fought.id, "ann", "person", better, "a")
            for first in ("a", "b"):
                cast(store, fought.id, "fair", "judge", better, first)
                cast(store, fought.id, "leans", "judge", first, first)
        reference = turn(store, served, said, 1)
    curated(settings, reference)
    by_judge = [pair for pair in read() if pair.source == "ai"]
    assert {pair.rater for pair in by_judge} == {"fair"}
    assert len(by_judge) == 4, "what people decided the same way is one pair, and theirs"
    told = report()["pairs"]["arena"]["judges"]
    assert told["fair"].startswith("kappa 1.00")
    assert told["leans"].startswith("not trusted")


def test_votes_that_are_not_what_the_turn_saw_are_refused(project: Write, served: Served, said: Said) -> None:
    settings = project([example("own", sentence(1))])
    with Store() as store:
        cast(store, battle(store, 10).id, "ann", "person", "a", "a")
        reference = turn(store, served, said, 1)
    assert reference.votes is not None
    other = reference.votes.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(stage.StageError, match=r"turn.snapshots\[0\].votes: .* holds 1 votes.*that turn saw 0000"):
        curated(settings, reference.model_copy(update={"votes": other}))


def test_one_voter_gives_at_most_the_share_of_the_pairs_and_the_counts_add_up(
    project: Write, served: Served, said: Said
) -> None:
    settings = project([example("own", sentence(1))], regression_share=0.0, rater_free=5)
    with Store() as store:
        for number in range(60):
            fought = battle(store, 100 + number)
            voter = "ann" if number % 6 == 0 else "mallory"
            cast(store, fought.id, voter, "person", side(fought, "ham"), "a")
        reference = turn(store, served, said, 1)
    curated(settings, reference)
    assert Counter(pair.rater for pair in read()) == {"ann": 10, "mallory": 10}
    pairs = report()["pairs"]
    assert (pairs["in"], pairs["removed"], pairs["out"]["preferences"]) == (60, 40, 20)
    assert pairs["steps"]["rater cap"]["dropped"] == 40
    reasons = {row.reason for row in dropped().values() if row.step == "rater cap"}
    assert reasons == {"rater mallory gave 50 of 60 pairs; at most 10 may be taught"}
    trusting = settings.curate.model_copy(update={"trusted_raters": ("mallory",)})
    curated(settings.model_copy(update={"curate": trusting}), reference)
    assert Counter(pair.rater for pair in read()) == {"ann": 10, "mallory": 50}
