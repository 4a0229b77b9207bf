"""Our own service as the endpoint that answers, and as the one that judges."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from components import config
from components.feedback.battles import battles
from components.feedback.store import Store
from components.files import read_rows, write_rows
from components.llm.comparisons import Judged
from components.schema import Example, Message, Preference
from components.stage import StageError
from flows.judging import account, judge
from flows.voting import vote
from tests.conftest import ROOT
from tests.serving.live import Live

PROMPTS = 3


@pytest.fixture
def project(tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose parameters name the running service twice; little is said, for its context is short."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    there = {"base_url": f"{live.url}/v1"}
    values["judge"] = {"answers": there, "judge": there, "prompts": PROMPTS, "max_tokens": 24, "parallel": 2}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    folder = tmp_path / "tasks/intake"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text("{name: intake, title: Notes, answer: text}")
    (folder / "principles.md").write_text("Shorter is better.")
    shutil.copy(ROOT / "tasks/intake/schema.py", folder)  # of the task that the service serves
    asked = [(Message(role="user", content=f"ache {n}"), Message(role="assistant", content="none")) for n in range(6)]
    write_rows(folder / "examples.jsonl", [Example(id=f"row-{n}", messages=m) for n, m in enumerate(asked)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tasks.intake.judge", raising=False)  # of the test before
    return tmp_path


def test_it_answers_and_judges_over_http_and_every_comparison_is_accounted_for(project: Path, live: Live) -> None:
    """A random base judges by nothing: what counts is that each verdict is a verdict, and that none is lost."""
    counts: list[int] = []
    judged, _, _ = judge(project, config.places(), None, lambda so_far, of: counts.append(of))
    assert counts == [PROMPTS] * PROMPTS
    assert judged.asked == PROMPTS
    assert judged.compared > 0, "no two answers differed"
    assert judged.inconsistent + judged.undecided + len(judged.pairs) == judged.compared


def test_a_task_s_own_judge_takes_the_model_s_place_and_its_pairs_are_added_once(project: Path, live: Live) -> None:
    (project / "tasks/intake/judge.py").write_text(
        "def prefer(prompt, first, second):\n    return 'first' if first > second else 'second'\n"
    )
    judged, path, new = judge(project, config.places(), None, lambda *_: None)
    assert len(judged.pairs) == judged.compared == new > 0
    assert read_rows(path, Preference) == judged.pairs
    again = judge(project, config.places(), None, lambda *_: None)
    assert again[0] == judged, "the same seeds give the same answers"
    assert again[2] == 0
    said = "\n".join(account(judged, path, new))
    assert f"pairs: {new}, of which {new} are new in tasks/intake/preferences.jsonl" in said
    assert "dropped as inconsistent: 0 (0%)" in said


def test_what_a_judge_cannot_do_is_said_in_one_line_and_before_anything_is_asked(project: Path) -> None:
    asked: list[int] = []

    def refused(said: str) -> None:
        with pytest.raises(StageError, match=said):
            judge(project, config.places(), None, lambda *_: asked.append(1))

    file = project / "tasks/intake/preferences.jsonl"
    file.write_text('{"id": "a"}\n{oops\n')
    refused(r"preferences\.jsonl, line 2 is no JSON .*: mend or delete it")
    file.write_text("[]")
    refused("one JSON array and cannot be added to")
    assert not asked
    file.unlink()
    (project / "tasks/intake/judge.py").write_text("def prefer(prompt, first, second):\n    return 1 / 0\n")
    refused(r"tasks/intake/judge\.py on the prompt 'ache \d': ZeroDivisionError: division by zero")


def test_the_account_says_what_to_do_where_hardly_two_answers_differed() -> None:
    said = [account(Judged(alike=alike, undecided=4 - alike), Path("pairs"), 0) for alike in (1, 3)]
    assert ["raise judge.temperature" in "\n".join(lines) for lines in said] == [False, True]


def test_a_biased_judge_votes_in_the_arena_on_new_prompts_and_its_votes_do_not_count(
    project: Path, live: Live, tmp_path: Path
) -> None:
    """judge.py likes whatever comes first; the versions that answer are the running service's."""
    (project / "tasks/intake/judge.py").write_text("def prefer(prompt, first, second):\n    return 'first'\n")
    places = config.places().model_copy(update={"database_url": f"sqlite:///{tmp_path / 'arena.db'}"})
    with pytest.raises(StageError, match="no battle yet"):
        vote(project, places, None, 0, [], lambda *_: None)
    lines = vote(project, places, None, PROMPTS, ["intake", "base"], lambda *_: None)
    assert lines[0].startswith(f"{PROMPTS} new prompts to versions intake, base:")
    with Store(places.database_url) as store:
        fought = battles(store, "intake")
        assert fought, "no two answers differed"
        assert all([vote.first for vote in one.votes] == ["a", "b"] for one in fought)
    assert lines[2] == "the same in both orders: 0 (0%)"
    assert lines[3].startswith(
        "its votes do not count yet: not trusted, because it votes the same in both orders on only"
    )
    assert vote(project, places, None, 0, [], lambda *_: None)[0] == "judge.py has voted on every battle already"
