from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from components import config, files, layout, stage
from components.feedback.__main__ import main
from components.feedback.store import Store
from components.schema import FeedbackRow
from components.task import TaskError
from tests.components.feedback.conftest import Said, Served


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one task."""
    folder = tmp_path / "tasks" / "intake"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(yaml.safe_dump({"name": "intake", "title": "Intake", "answer": "text"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(*snapshots: config.SnapshotReference) -> config.Settings:
    return config.Settings(turn=config.TurnSettings(snapshots=snapshots))


def two_turns(served: Served, said: Said) -> list[config.SnapshotReference]:
    with Store() as store:
        for number in range(4):
            store.add_interaction(served(f"c{number}"))
        for turn in range(2):
            for number in range(2):
                store.add_feedback(said(f"c{2 * turn + number}"))
            opened = store.open_turn("intake")
            assert opened is not None
            store.close_turn(opened, str(turn), "promote")
        return store.snapshots("intake")


def test_each_turn_is_a_file_with_exactly_what_the_turn_saw(served: Served, said: Said) -> None:
    references = two_turns(served, said)
    main(settings(*references))
    folder = layout.snapshots("intake")
    assert sorted(path.name for path in folder.iterdir()) == ["0001.jsonl", "0002.jsonl", "index.json"]
    for number, reference in enumerate(references, 1):
        assert files.sha256_of(folder / f"{number:04}.jsonl") == reference.sha256
    assert [row.seq for row in files.read_rows(folder / "0002.jsonl", FeedbackRow)] == [3, 4]
    assert [entry["rows"] for entry in json.loads((folder / "index.json").read_text())] == [2, 2]


def test_later_feedback_does_not_change_a_snapshot(served: Served, said: Said) -> None:
    references = two_turns(served, said)
    main(settings(*references))
    before = files.sha256_of(layout.snapshots("intake"))
    with Store() as store:
        store.add_feedback(said("c0"))
    main(settings(*references))
    assert files.sha256_of(layout.snapshots("intake")) == before


def test_without_snapshots_no_store_is_needed_or_made() -> None:
    main(settings())
    assert json.loads((layout.snapshots("intake") / "index.json").read_text()) == []
    assert not os.path.exists(os.environ["SAQIA_HOME"])


def test_a_store_that_holds_something_else_is_refused_and_the_old_snapshots_stay(served: Served, said: Said) -> None:
    references = two_turns(served, said)
    main(settings(*references))
    wrong = references[1].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(stage.StageError, match=r"turn.snapshots\[1\].*holds 2 events.*that turn saw 000000000000"):
        main(settings(references[0], wrong))
    assert (layout.snapshots("intake") / "0002.jsonl").exists()


def test_an_empty_store_cannot_give_a_snapshot() -> None:
    with pytest.raises(stage.StageError, match="holds 0 events"):
        main(settings(config.SnapshotReference(through=3, sha256="a" * 64)))


def test_cut_offs_that_do_not_rise_are_refused(served: Served, said: Said) -> None:
    first, _ = two_turns(served, said)
    with pytest.raises(stage.StageError, match=r"turn.snapshots\[1\]\.through = 2 must be above 2"):
        main(settings(first, first))


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(TaskError, match=r"no task 'nowhere'.*tasks here: intake"):
        main(settings().model_copy(update={"task": "nowhere"}))
