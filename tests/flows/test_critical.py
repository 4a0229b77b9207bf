"""`saqia feedback critical`, as somebody types it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.config import Places, places
from components.feedback.store import Store, StoreError, TooManyCritical
from components.schema import Interaction, Message
from flows import critical
from tests.conftest import ROOT
from tests.flows.test_cli import saqia


@pytest.fixture
def here() -> Places:
    found = places(ROOT)
    with Store(found.database_url) as store:
        for number in range(2):
            store.add_interaction(
                Interaction(
                    id=f"chatcmpl-{number}",
                    created_at=datetime.now(UTC),
                    task="intake",
                    model_version="1",
                    messages=(Message(role="user", content=f"Chest pain\nsince {number} h. " + "x" * 200),),
                    answer="{}",
                    finish_reason="stop",
                    prompt_tokens=1,
                    completion_tokens=1,
                    latency_ms=1,
                )
            )
    return found


def kinds(here: Places, id: str) -> list[str]:
    with Store(here.database_url) as store:
        return [event.kind for event in store.feedback_for(id)]


def test_a_case_is_marked_listed_and_taken_back(here: Places, capsys: pytest.CaptureFixture[str]) -> None:
    critical.mark_case(ROOT, here, "chatcmpl-1", undo=False, by="ann", comment="an emergency")
    assert "is critical from the next turn on: 1 of at most 50" in capsys.readouterr().out
    critical.mark_case(ROOT, here, "chatcmpl-1", undo=False, by="bob", comment=None)
    assert "critical already" in capsys.readouterr().out
    assert kinds(here, "chatcmpl-1") == ["critical"]
    critical.show(ROOT, here, "intake")
    head, line = capsys.readouterr().out.splitlines()
    assert head == "1 of at most 50 critical cases of task intake"
    assert "chatcmpl-1" in line
    assert "ann (an emergency): Chest pain since 1 h." in line
    assert line.endswith("…")
    critical.mark_case(ROOT, here, "chatcmpl-1", undo=True, by="ann", comment=None)
    assert "no longer critical: 0 of at most 50" in capsys.readouterr().out
    assert kinds(here, "chatcmpl-1") == ["critical", "not_critical"]


def test_what_cannot_be_marked_is_said_with_what_to_do(here: Places, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'nope' was served here"):
        critical.mark_case(ROOT, here, "nope", undo=False, by="ann", comment=None)
    with pytest.raises(StoreError, match=r"chatcmpl-0 is not critical.*--list intake"):
        critical.mark_case(ROOT, here, "chatcmpl-0", undo=True, by="ann", comment=None)
    (tmp_path / "params.yaml").write_text("task: intake\ncurate: {critical_most: 1}\n")
    critical.mark_case(tmp_path, here, "chatcmpl-0", undo=False, by="ann", comment=None)
    with pytest.raises(TooManyCritical, match="take the mark of one back first"):
        critical.mark_case(tmp_path, here, "chatcmpl-1", undo=False, by="ann", comment=None)
    assert kinds(here, "chatcmpl-1") == []


def test_the_command_passes_everything_on_and_refuses_what_does_not_go_together(here: Places) -> None:
    done = saqia("feedback", "critical", "chatcmpl-0", "--by", "ann", "--comment", "an emergency")
    assert done.returncode == 0, done.stderr
    listed = saqia("feedback", "critical", "--list", "intake")
    assert "ann (an emergency)" in listed.stdout
    assert saqia("feedback", "critical", "chatcmpl-0", "--undo").returncode == 0
    assert kinds(here, "chatcmpl-0") == ["critical", "not_critical"]
    assert saqia("feedback", "critical").returncode == 2
    assert saqia("feedback", "critical", "--list", "--undo").returncode == 2
