"""A refused turn's feedback waits, says for what, and runs again over the same rows where more rows have come."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from components import config
from components.feedback import unserved
from components.feedback.refusals import OwnRows, Refusal, own_rows
from components.feedback.store import Store, StoreError, Turn
from components.schema import Need
from tests.components.feedback.conftest import Said, Served

CORRECTIONS = Need(kind="corrections", count=2)
GUARDS = Need(kind="guard_rows", count=300)
LOOK = Need(kind="look", ids=("event-0", "c2", "a row of the task's own"))
ROWS = OwnRows(sha256="before", rows=1000)


class People:
    """Corrections of task `intake`, one answer each."""

    def __init__(self, store: Store, served: Served, said: Said) -> None:
        self.store, self._served, self._said, self._number = store, served, said, 0

    def correct(self, count: int) -> None:
        for _ in range(count):
            self._number += 1
            self.store.add_interaction(self._served(f"c{self._number}"))
            self.say(f"c{self._number}", "correction")

    def say(self, interaction: str, kind: str) -> None:
        self.store.add_feedback(self._said(interaction, kind))

    def turn(self, decision: str, *needs: Need, corrections: int = 3) -> Turn:
        """A whole turn."""
        self.correct(corrections)
        opened = self.store.open_turn("intake")
        assert opened is not None
        refusal = Refusal(needs=needs, own_rows=ROWS) if decision == "refused" else None
        return self.store.close_turn(opened, str(opened.number + 1), decision, refusal)


@pytest.fixture
def people(store: Store, served: Served, said: Said) -> People:
    return People(store, served, said)


def fulfilled(store: Store, turn: Turn, rows: OwnRows = ROWS, limit: int = 120) -> tuple[Need, ...]:
    return unserved.fulfilled(store, turn, lambda: rows, store.waiting("intake")["correction"], limit)


def test_what_the_champion_has_learned_is_told_by_its_own_lineage_whatever_became_of_turns(people: People) -> None:
    first, second = people.turn("promoted"), people.turn("refused", CORRECTIONS)
    people.correct(1)
    third = people.store.open_turn("intake")
    assert third is not None
    snapshots = people.store.snapshots("intake")
    assert unserved.count(snapshots, [first.snapshot]) == 2, "the refused turn's and its own"
    assert unserved.count(snapshots, []) == 3, "rolled back to version 1, nothing has been learned"
    assert unserved.count(snapshots, [first.snapshot, second.snapshot]) == 1, "the refused version was promoted by hand"
    assert unserved.count(snapshots, snapshots) == 1


def test_turns_of_which_nothing_serves_wait_and_say_what_became_of_them(people: People) -> None:
    store = people.store
    first = people.turn("promoted")
    assert unserved.unserved(store, "intake", [first.snapshot]) == []
    people.turn("canary", corrections=4)
    people.turn("refused", CORRECTIONS, corrections=5)
    people.correct(2)
    waiting = unserved.unserved(store, "intake", [])
    assert [(w.turn.number, w.corrections, w.outcome) for w in waiting] == [
        (1, 3, "rolled back"), (2, 4, "withdrawn"), (3, 5, "refused"),
    ]  # fmt: skip
    on_trial = unserved.unserved(store, "intake", [first.snapshot], store.snapshots("intake")[:2])
    assert [w.turn.number for w in on_trial] == [3], "what is on trial does not wait"
    assert store.waiting("intake")["correction"] == 2, "new ones are counted by themselves"
    assert unserved.in_words(waiting[1:]) == (
        "9 corrections that no served version has learned wait: 4 of turn 2, withdrawn, 5 of turn 3, refused; "
        "2 more corrections of the same kind would let it decide"
    )
    assert unserved.in_words([]) == ""


def test_a_refusal_says_in_one_sentence_what_would_change_it() -> None:
    assert unserved.would_change([CORRECTIONS, GUARDS]) == (
        "2 more corrections of the same kind, or 300 more held-out rows of the task's own, would let it decide"
    )
    look = Need(kind="look", ids=("a", "b", "c", "d"))
    assert unserved.would_change([look]) == "a person's look at a, b, c (+ 1) would let it decide"
    assert unserved.would_change([Need(kind="none")]) == unserved.would_change([])


def test_corrections_have_come_when_that_many_were_written_or_as_many_as_start_any_turn(people: People) -> None:
    turn = people.turn("refused", CORRECTIONS)
    waiting = unserved.unserved(people.store, "intake")
    assert unserved.starts_at(waiting, 120) == 2
    assert unserved.starts_at(waiting, 1) == 1
    assert fulfilled(people.store, turn) == ()
    people.correct(1)
    assert fulfilled(people.store, turn) == ()
    assert fulfilled(people.store, turn, limit=1) == (CORRECTIONS,)
    people.correct(1)
    assert fulfilled(people.store, turn) == (CORRECTIONS,)


def test_a_look_has_come_when_every_case_that_people_can_see_was_judged_since(people: People) -> None:
    turn = people.turn("refused", LOOK)  # event-0 speaks of c1
    assert fulfilled(people.store, turn) == (), "the corrections of the turn itself are no new look"
    people.say("c1", "thumb_up")
    people.say("c2", "comment")
    assert fulfilled(people.store, turn) == (), "a comment judges nothing"
    people.say("c2", "correction")
    assert fulfilled(people.store, turn) == (LOOK,)


def test_a_look_at_what_nobody_can_see_never_comes(people: People) -> None:
    turn = people.turn("refused", Need(kind="look", ids=("a row of the task's own",)))
    people.correct(1)
    assert fulfilled(people.store, turn) == ()


def test_rows_have_come_when_there_are_that_many_more_and_a_generators_when_they_are_others(people: People) -> None:
    turn = people.turn("refused", GUARDS)
    assert fulfilled(people.store, turn) == ()
    assert fulfilled(people.store, turn, OwnRows(sha256="after", rows=1299)) == ()
    assert fulfilled(people.store, turn, OwnRows(sha256="after", rows=1300)) == (GUARDS,)
    assert fulfilled(people.store, turn, OwnRows(sha256="after")) == (GUARDS,)


def test_a_refused_turn_runs_again_as_itself_survives_a_kill_and_is_not_begun_twice(people: People, url: str) -> None:
    turn = people.turn("refused", GUARDS)
    before = people.store.snapshots("intake")
    code = (
        "import os, signal, sys\nfrom components.feedback.refusals import OwnRows\n"
        "from components.feedback.store import Store\nstore = Store(sys.argv[1])\n"
        "store.reopen_turn(store.turns('intake')[-1], OwnRows(sha256='after', rows=1300))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    again = people.store.open_turn("intake")
    assert again is not None
    assert (again.id, again.number, again.state, again.sha256) == (turn.id, turn.number, "open", turn.sha256)
    assert people.store.reopen_turn(turn, ROWS) == again, "begun once"
    assert people.store.snapshots("intake") == before
    assert people.store.waiting("intake")["correction"] == 0, "nothing of it is new"
    assert unserved.refused(people.store, "intake") is None, "and it is not started while it runs"
    waiting = unserved.unserved(people.store, "intake")
    assert [w.turn.id for w in waiting] == [turn.id]
    assert unserved.in_words(waiting).endswith(" wait: 3 of turn 1, which runs again")
    closed = people.store.close_turn(again, "7", "promoted")
    assert (closed.outcome, closed.version, closed.refusal) == ("promoted", "7", None)
    assert people.store.close_turn(again, "7", "promoted") == closed


def test_a_turn_that_was_given_up_when_it_ran_again_is_refused_as_before_and_not_for_the_same_rows(
    people: People,
) -> None:
    turn = people.turn("refused", GUARDS)
    now = OwnRows(sha256="after", rows=1300)
    people.store.abandon_turn(people.store.reopen_turn(turn, now))
    refused = unserved.refused(people.store, "intake")
    assert refused is not None
    assert (refused.id, refused.version, refused.outcome) == (turn.id, turn.version, "refused")
    assert fulfilled(people.store, refused, now) == ()
    assert fulfilled(people.store, refused, OwnRows(sha256="later", rows=1600)) == (GUARDS,)


def test_only_the_last_turn_and_only_a_refused_one_runs_again(people: People) -> None:
    first = people.turn("refused", GUARDS)
    second = people.turn("promoted")
    for turn in (first, second):
        with pytest.raises(StoreError, match="is not the last one, or was not refused"):
            people.store.reopen_turn(turn, ROWS)


def test_a_store_of_before_is_brought_up_to_date_and_its_refused_turn_waits(people: People, url: str) -> None:
    people.turn("refused", CORRECTIONS)
    with people.store.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX ix_feedback_marks"))
        connection.execute(sa.text("ALTER TABLE turns DROP COLUMN refusal"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0004'"))
    people.store.close()
    with Store(url) as store:
        [waiting] = unserved.unserved(store, "intake")
        assert (waiting.corrections, waiting.outcome, waiting.turn.refusal) == (3, "refused", None)
        assert unserved.refused(store, "intake") is None, "what would change it is not known"
        assert unserved.in_words([waiting]).endswith("; the next turn learns them again beside what is new")


def test_own_rows_are_counted_lines_of_a_file_or_a_generators_code_and_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "mail"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text("name: mail\ntitle: Mail\nanswer: text\n")
    examples = folder / "examples.jsonl"
    examples.write_text("{}\n{}\n\n")
    settings = config.parse({"task": "mail"})
    first = own_rows(tmp_path, "mail", settings)
    assert first.rows == 2
    (folder / "README.md").write_text("nothing that rows depend on")
    assert own_rows(tmp_path, "mail", settings) == first
    examples.write_text("{}\n{}\n{}\n")
    second = own_rows(tmp_path, "mail", settings)
    assert (second.rows, second.sha256 == first.sha256) == (3, False)
    (folder / "generator.py").write_text("ROWS = 1\n")
    generated = own_rows(tmp_path, "mail", settings)
    assert generated.rows is None
    larger = config.parse({"task": "mail", "examples": {"test": 900}})
    assert own_rows(tmp_path, "mail", larger).sha256 != generated.sha256
