"""`saqia keys` and `saqia answers`, as somebody types them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from components import task
from components.config import Places, places
from components.feedback import keys
from components.feedback.answers import AnswerTable
from components.feedback.store import Store
from components.schema import Interaction, Message
from flows import answers
from flows import keys as commands
from tests.conftest import ROOT


@pytest.fixture
def here() -> Places:
    return places(ROOT)


def test_the_key_stands_alone_on_standard_output_and_opens_the_store(
    here: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.create(here, "ward app", ["use"])
    out, err = capsys.readouterr()
    with Store() as store:
        (known,) = keys.live(store.engine).values()
        assert keys.digest(out.strip()) in keys.live(store.engine)
    assert known.id in err
    assert out.strip() not in err
    commands.show(here)
    listed = capsys.readouterr().out
    assert "live" in listed
    assert "ward app" in listed
    assert out.strip() not in listed
    commands.revoke(here, "ward app")
    commands.show(here)
    assert "revoked 20" in capsys.readouterr().out


def test_without_keys_the_list_says_what_that_means(here: Places, capsys: pytest.CaptureFixture[str]) -> None:
    commands.show(here)
    assert "only to this machine" in capsys.readouterr().out


def test_answers_names_the_tables_with_their_columns(
    here: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.show(here)
    assert '"store": true' in capsys.readouterr().out
    monkeypatch.chdir(ROOT)
    table = AnswerTable(task.load("intake"))
    note = (
        '{"symptom":"sore throat","site":"throat","duration":"today","severity":"mild","medication":"none",'
        '"urgency":"routine"}'
    )
    said = Interaction(
        id="one",
        created_at=datetime.now(UTC),
        task="intake",
        model_version="1",
        messages=(Message(role="user", content="My throat."),),
        answer=note,
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        latency_ms=1,
    )
    with Store() as store:
        store.add_interaction(said, (table, table.row(note)))
    answers.show(here)
    shown = capsys.readouterr().out
    assert f"{table.name}  task intake, rows: 1" in shown
    assert "symptom, site, duration, severity, medication, urgency" in shown
    assert str(Path(here.home) / "saqia.db") in shown
