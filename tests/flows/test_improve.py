"""What a turn begins with, what a refusal leaves waiting, and that neither a kill nor a second start does it twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import config
from components.feedback import unserved
from components.feedback.refusals import Refusal, own_rows
from components.feedback.store import Store, Turn
from components.schema import Feedback, Need, Verdict
from components.stage import StageError
from flows import doctor, overview
from flows.improve import _decide, _open, _stopped, _turn
from flows.results import Result
from flows.workspace import Workspace
from tests.flows.test_entry import correct

CORRECTIONS = Need(kind="corrections", count=2)
GUARDS = Need(kind="guard_rows", count=2)
LOOK = Need(kind="look", ids=("f1",))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose task brings its rows, as the current folder, with its state inside it."""
    folder = tmp_path / "tasks" / "intake"
    folder.mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text("task: intake\nimprove: {corrections: 5}\n")
    (folder / "task.yaml").write_text("name: intake\ntitle: Intake\nanswer: text\n")
    (folder / "examples.jsonl").write_text("{}\n" * 10)
    monkeypatch.chdir(tmp_path)
    places = config.Places().absolute(tmp_path)
    for name, value in places.as_env().items():
        monkeypatch.setenv(name, value)
    serve(monkeypatch)
    return tmp_path


@pytest.fixture
def store(installed: Path) -> Any:
    with Store(config.places(installed).database_url) as opened:
        yield opened


def serve(monkeypatch: pytest.MonkeyPatch, *snapshots: Any) -> Any:
    """Version 1 is the champion, taught these snapshots. Registering one takes a trained model."""
    champion = SimpleNamespace(version="1", lineage=SimpleNamespace(snapshots=snapshots), aliases=("champion",))
    monkeypatch.setattr("components.registry.champion", lambda task: champion)
    for name in ("canary", "candidate"):
        monkeypatch.setattr(f"components.registry.{name}", lambda task: None)
    monkeypatch.setattr("components.registry.versions", lambda task: [])
    return champion


def opened(store: Store, root: Path) -> Turn:
    turn = _open(store, "intake", root)
    assert isinstance(turn, Turn), turn
    return turn


def decide(store: Store, root: Path, turn: Turn, *needs: Need, decision: Any = "refuse") -> str:
    """A verdict, and what the run ends with."""
    version: Any = SimpleNamespace(task="intake", version=str(turn.number + 1))
    champion: Any = SimpleNamespace(version="1")
    verdict = Verdict(
        decision=decision, reasons=("worse on replay",), comparisons=(), confidence=0.95, delta=0.02, needs=needs
    )
    settings, rows = config.load(root / "params.yaml"), own_rows(root, "intake")
    return str(_decide(store, turn, version, verdict, champion, config.places(root), settings, rows).message)


def refused(store: Store, root: Path, *needs: Need, corrections: range = range(3)) -> Turn:
    for number in corrections:
        correct(store, number)
    turn = opened(store, root)
    decide(store, root, turn, *needs)
    return next(t for t in store.turns("intake") if t.id == turn.id)


def add_rows(root: Path, count: int) -> None:
    file = root / "tasks" / "intake" / "examples.jsonl"
    file.write_text(file.read_text() + "{}\n" * count)


def test_a_refusal_says_what_would_change_it_and_keeps_that_with_the_turn(installed: Path, store: Store) -> None:
    correct(store, 0)
    turn = opened(store, installed)
    message = decide(store, installed, turn, CORRECTIONS, GUARDS)
    assert message == (
        "turn 1 of intake, version 2 refused: worse on replay; version 1 goes on serving, and the feedback waits: "
        "2 more corrections of the same kind, or 2 more held-out rows of the task's own, would let it decide"
    )
    kept = store.turns("intake")[0].refusal
    assert kept == Refusal(needs=(CORRECTIONS, GUARDS), own_rows=own_rows(installed, "intake"))


def test_a_turn_killed_between_its_decision_and_its_end_is_the_same_turn_and_ends_once(
    installed: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(store, 0)
    turn = opened(store, installed)
    with monkeypatch.context() as killed:
        killed.setattr(Store, "close_turn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            decide(store, installed, turn, CORRECTIONS)
    assert opened(store, installed) == turn
    decide(store, installed, turn, CORRECTIONS)
    assert [(t.number, t.outcome) for t in store.turns("intake")] == [(1, "refused")]
    assert isinstance(_open(store, "intake", installed), str)


def test_with_nothing_new_a_refused_turn_does_not_run_again_and_says_what_waits(installed: Path, store: Store) -> None:
    refused(store, installed, GUARDS)
    for _ in range(2):
        assert _open(store, "intake", installed) == (
            "no new feedback on intake: nothing done; 3 corrections that no served version has learned wait: "
            "3 of turn 1, refused; 2 more held-out rows of the task's own would let it decide"
        )


def test_more_rows_let_the_refused_turn_run_again_once_and_resume_after_a_kill(installed: Path, store: Store) -> None:
    turn = refused(store, installed, GUARDS)
    add_rows(installed, 1)
    assert isinstance(_open(store, "intake", installed), str), "one row is fewer than two"
    add_rows(installed, 1)
    again = opened(store, installed)
    assert (again.id, again.number, again.state) == (turn.id, 1, "open")
    assert opened(store, installed) == again, "killed and started again, it goes on"
    decide(store, installed, again, GUARDS)
    assert isinstance(_open(store, "intake", installed), str), "refused again, it waits for yet more"
    assert [t.number for t in store.turns("intake")] == [1]


def test_new_corrections_and_more_rows_make_one_new_turn_of_both(installed: Path, store: Store) -> None:
    refused(store, installed, GUARDS)
    add_rows(installed, 2)
    correct(store, 9)
    turn = opened(store, installed)
    assert turn.number == 2
    assert unserved.count(store.snapshots("intake"), ()) == 2


def test_a_look_at_the_named_cases_begins_a_turn_without_any_correction(installed: Path, store: Store) -> None:
    turn = refused(store, installed, LOOK)
    thumb = Feedback(id="t0", interaction_id="c0", created_at=turn.opened_at, rater="ann", kind="thumb_up")
    store.add_feedback(thumb)
    message = _open(store, "intake", installed)
    assert isinstance(message, str)
    assert message.startswith("no new corrections on intake (1 thumb up waiting)")
    assert message.endswith("a person's look at f1 would let it decide")
    store.add_feedback(thumb.model_copy(update={"id": "t1", "interaction_id": "c1"}))
    assert opened(store, installed).number == 2


def test_a_refused_version_that_a_person_promoted_waits_for_nothing(
    installed: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = refused(store, installed, GUARDS)
    serve(monkeypatch, turn.snapshot)
    add_rows(installed, 2)
    assert _open(store, "intake", installed) == "no new feedback on intake: nothing done"


@pytest.mark.parametrize(("learned", "expected"), [(0, 3), (1, 2), (2, 1)])
def test_a_turn_is_told_how_many_turns_the_champion_has_not_learned(
    installed: Path, store: Store, monkeypatch: pytest.MonkeyPatch, learned: int, expected: int
) -> None:
    for number in range(2):
        refused(store, installed, CORRECTIONS, corrections=range(3 * number, 3 * number + 3))
    champion = serve(monkeypatch, *store.snapshots("intake")[:learned])
    champion.sha256 = "0" * 64
    monkeypatch.setattr("components.registry.best_served", lambda champion: None)
    correct(store, 9)
    turns: list[dict[str, Any]] = []

    def prepare(root: Path, name: str, task: str, overrides: Any, places: Any) -> None:
        turns.append(overrides["turn"])
        raise StageError("far enough")

    monkeypatch.setattr("flows.workspace.prepare", prepare)
    with pytest.raises(StageError, match="far enough"):
        _turn(installed, "intake", config.places(installed), store)
    assert [(len(turn["snapshots"]), turn["unserved"]) for turn in turns] == [(3, expected)]
    config.TurnSettings.model_validate(turns[0])


def test_a_gate_that_closes_on_new_rows_leaves_the_turn_refused_and_those_rows_start_nothing(
    installed: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(store, installed, GUARDS)
    add_rows(installed, 2)
    turn = opened(store, installed)
    monkeypatch.setattr("flows.improve._gates", lambda made: [SimpleNamespace(name="validate")])
    home = {"SAQIA_HOME": str(config.places(installed).home)}
    made = Workspace(name="turn", task="intake", root=installed, project=installed, commit=None, env=home)
    champion: Any = SimpleNamespace(version="1")
    _stopped(store, turn, made, champion, [Result("validate", "failed", 0, error="too many of one label")])
    assert [(t.number, t.outcome) for t in store.turns("intake")] == [(1, "refused")]
    assert isinstance(_open(store, "intake", installed), str)


def test_status_tells_new_corrections_from_those_of_refused_turns(
    installed: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    places = config.places(installed)
    overview.show(installed, places, None)
    assert "none waiting (a turn starts at 5 corrections)" in capsys.readouterr().out
    refused(store, installed, CORRECTIONS)
    correct(store, 9)
    overview.show(installed, places, None)
    told = capsys.readouterr().out
    assert "1 correction new since the last turn (a turn starts at 2 corrections)" in told
    waits = (
        "3 corrections that no served version has learned wait: 3 of turn 1, refused; 2 more corrections of the same "
        "kind would let it decide"
    )
    assert waits in told
    found = doctor.feedback(installed)
    assert (found.state, found.found) == ("note", waits)
