"""A turn that a person asks for: asked once however often, taken by one worker, told to whoever looks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import asking
from components.stage import StageError


def test_asking_again_while_it_waits_changes_nothing(tmp_path: Path) -> None:
    first = asking.ask(tmp_path, "intake", "ana")
    again = asking.ask(tmp_path, "intake", "ben")
    assert again == first
    assert first.reason == "a person's button (ana)"
    assert asking.waiting(tmp_path, "other") is None


def test_many_who_ask_at_once_ask_once_and_one_of_many_workers_takes_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as people:
        asked = list(people.map(lambda n: asking.ask(tmp_path, "intake", f"person {n}"), range(40)))
        assert len({one.by for one in asked}) == 1
        taken = [one for one in people.map(lambda _: asking.take(tmp_path, "intake"), range(40)) if one is not None]
    assert [one.by for one in taken] == [asked[0].by]
    latest = asking.latest(tmp_path, "intake")
    assert latest is not None
    assert latest.state == "taken"
    assert latest.taken_at is not None
    assert asking.waiting(tmp_path, "intake") is None
    assert [file.name for file in (tmp_path / "asked").iterdir()] == ["intake.taken.json"]


def test_after_it_was_taken_one_can_ask_again(tmp_path: Path) -> None:
    asking.ask(tmp_path, "intake", "ana")
    asking.take(tmp_path, "intake")
    assert asking.ask(tmp_path, "intake", "ben").by == "ben"
    latest = asking.latest(tmp_path, "intake")
    assert latest is not None
    assert (latest.by, latest.state) == ("ben", "waiting")


def test_a_spoilt_file_is_no_request_and_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "intake.json").write_text("{")
    assert asking.waiting(tmp_path, "intake") is None
    assert asking.take(tmp_path, "intake") is None
    assert asking.take(tmp_path, "intake") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match="cannot be written"):
        asking.ask(tmp_path / "file", "intake", "ana")
