"""The page says what the numbers say, needs no network, and escapes what people wrote."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from components import layout
from components.config import Settings
from components.evaluation.__main__ import main
from components.evaluation.frontier import WHY
from components.evaluation.report import SIMULATED, markdown, read_verdict, summary, write_report
from components.files import DataError, write_json
from components.selection.record import Point, Reason, Selection
from tests.components.evaluation import toy
from tests.components.evaluation.conftest import World

SETTINGS = Settings.model_validate({"task": "toy", "threads": 1, "evaluate": {"max_new_tokens": 30}})


@pytest.fixture
def reports(world: World) -> Path:
    target = toy.rows(toy.NEW, [2, 3])
    evil = target[0].messages[1].model_copy(update={"content": "<script>alert('i saw w20')</script>"})
    target[0] = target[0].model_copy(update={"messages": (target[0].messages[0], evil, target[0].messages[2])})
    world.stage(world.good, target, toy.rows(toy.OLD, [0]), world.champion)
    main(SETTINGS)
    folder = Path("reports/toy")
    (folder / "training").mkdir()
    (folder / "training" / "loss.csv").write_text("step,loss\n1,2.0\n2,1.0\n3,0.5\n")
    taught = {"sources": {"task": 3, "teacher": 1}, "teachers": {"ai:<b>big": 1}}
    write_json(folder / "curation.json", {"own": {"in": 7, "steps": {}, "out": {"train": 7}}, "taught": taught})
    return folder


def test_the_page_is_one_file_that_asks_the_network_for_nothing(reports: Path, tmp_path: Path) -> None:
    page = write_report(reports, "toy", tmp_path, lineage={"weights": "sha256 abc"}).read_text()
    assert not re.search(r"(src|href)=.https?:|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert SIMULATED.replace("'", "&#39;") in page
    assert "sha256 abc" in page
    assert "rows in" in page
    assert "1 of 4 taught rows (25%) were answered by a teacher (ai:&lt;b&gt;big); none of them is a test." in page
    assert "This version" in page


def test_what_people_wrote_cannot_become_markup(reports: Path, tmp_path: Path) -> None:
    page = write_report(reports, "toy", tmp_path).read_text()
    assert "<script>" not in page


def test_every_set_of_the_verdict_stands_on_the_page_and_in_the_tables(reports: Path, tmp_path: Path) -> None:
    verdict = read_verdict(reports / "evaluation")
    page = write_report(reports, "toy", tmp_path / "x.html").read_text()
    rows, text = summary(reports), markdown(verdict)
    assert len(verdict.comparisons) == 6
    assert len(rows) == len(verdict.table) == 7, "and all old tests together"
    for comparison, row in zip(verdict.table, rows, strict=True):
        assert f"{comparison.candidate:.3f}" == row["after"]
        assert row["after"] in page
        assert f"| {comparison.set} |" in text
    assert "unseen phrasings" in page
    assert "simulated person" in text


def test_beside_every_gain_stands_how_often_the_new_answer_is_nearer_the_truth(reports: Path, tmp_path: Path) -> None:
    metrics = json.loads((reports / "evaluation.json").read_text())
    page = write_report(reports, "toy", tmp_path / "x.html").read_text()
    table = page.partition("How sure the gains are")[2].partition("</table>")[0].split("<tr>")[2:]
    sets = [c.set for c in read_verdict(reports / "evaluation").table]
    shown = [re.findall(r'<td class="n">([^<]*)</td>', row)[-3] for row in table]
    assert shown == [f"{metrics[f'{name}.win_rate']:.3f}" if f"{name}.win_rate" in metrics else "–" for name in sets]
    assert shown[0] > "0.500"


def test_the_same_files_give_the_same_page(reports: Path, tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    one = write_report(reports, "toy", tmp_path / "1.html", created_at=when)
    other = write_report(reports, "toy", tmp_path / "2.html", created_at=when)
    assert one.read_bytes() == other.read_bytes()


def test_a_poor_first_version_is_called_poor(world: World, tmp_path: Path) -> None:
    from components.evaluation.compare import compare
    from components.evaluation.results import write
    from components.evaluation.sets import load_sets
    from components.evaluation.verdict import judge

    world.stage(world.forgetting, [], [], None)
    compared = compare(
        world.task,
        load_sets(world.task),
        SETTINGS.evaluate,
        SETTINGS.promotion,
        world.base,
        layout.adapter("toy"),
        layout.CHAMPION,
    )
    verdict = judge(world.task, compared.results, SETTINGS.promotion, 0, has_champion=False)
    write(world.task, compared.results, verdict, compared.after, compared.before, compared.before_name)
    page = write_report(Path("reports/toy"), "toy", tmp_path).read_text()
    assert "on same kind: poor" in page
    assert "bare base" in page


def test_without_an_evaluation_there_is_a_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"verdict\.json does not exist: run the stage that makes it"):
        write_report(tmp_path, "toy", tmp_path)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(reports: Path, tmp_path: Path, chromium: str, width: int) -> None:
    page = write_report(reports, "toy", tmp_path)
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<iframe id="f" src="{page.as_uri()}" style="width:{width}px;height:900px"></iframe><script>'
        "f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+' '+d.clientWidth}</script>"
    )
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    done = subprocess.run(
        [*command, "--allow-file-access-from-files", "--virtual-time-budget=3000", "--dump-dom", probe.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert found, done.stderr[-500:]
    assert int(found[1]) <= int(found[2]), "nothing is wider than the page"


@pytest.mark.parametrize(("said", "word"), [("ham", "poor; always answering 'ham' would score 0.90"), (None, "good")])
def test_a_label_that_is_always_given_is_called_poor_however_often_it_is_right(said: str | None, word: str) -> None:
    from components.evaluation.verdict import SetResult, quality
    from components.schema import Example, Message
    from components.scoring import score
    from components.task import Task

    task = Task(name="mail", title="Mail", answer="label", labels=("ham", "spam"))
    rows = [
        Example(
            id=str(n),
            messages=(
                Message(role="user", content=f"m{n}"),
                Message(role="assistant", content="spam" if n < 2 else "ham"),
            ),
        )
        for n in range(20)
    ]
    given = [score(task, "test", row, said or row.answer) for row in rows]
    (line,) = quality(task, [SetResult("test", "test", "guard", rows, given, given)])
    assert line.endswith(f"on test: {word}")


def selection(reason: str, taken: float, *points: tuple[float, float, float]) -> dict[str, object]:
    """selection.json as stage `select` writes it."""
    named = [
        Point(name="trained" if s == 1 else f"strength {s:g}", strength=s, target=t, guard=g) for s, t, g in points
    ]
    return Selection.model_validate(
        {"taken": taken, "reason": reason, "metric": "exact", "target_rows": 43, "guard_rows": 400, "most_loss": 0.005,
         "keep": 0.9, "points": named, "left_out": [0.25]}
    ).model_dump(mode="json")  # fmt: skip


def test_the_page_shows_every_point_between_champion_and_trained_version(reports: Path, tmp_path: Path) -> None:
    points = ((0.0, 0.1, 0.97), (0.5, 0.8, 0.972), (1.0, 0.95, 0.94))
    write_json(reports / "selection" / "selection.json", selection("within", 0.5, *points))
    write_json(reports / "selection" / "seconds.json", {"strength 0.5": 1.25})
    page = write_report(reports, "toy", tmp_path).read_text()
    assert "Taken: <b>strength 0.5</b>, because the strongest that loses at most 0.005 on old rows" in page
    assert "keep 90% of the gain" in page
    assert "Time was up before strength 0.25." in page
    assert page.count('<i class="taken"') == 1
    row = re.search(r"<tr><td>strength 0.5</td>(.*)</tr>", page)
    assert row is not None
    assert re.findall(r">([^<>]+)<", row[1]) == ["0.5", "0.800", "0.972", "1.2", "taken"]


def test_a_candidate_that_nothing_was_compared_for_says_why(reports: Path, tmp_path: Path) -> None:
    assert "Which candidate" not in write_report(reports, "toy", tmp_path).read_text(), "a report of before the stage"
    write_json(reports / "selection" / "selection.json", selection("other_base", 1.0))
    page = write_report(reports, "toy", tmp_path).read_text()
    assert "Taken: <b>the trained version</b>, because the champion stands on another base." in page
    write_json(reports / "selection" / "selection.json", selection("no_champion", 1.0))
    assert "Which candidate" not in write_report(reports, "toy", tmp_path).read_text()


def test_every_reason_of_a_selection_has_its_words() -> None:
    assert set(WHY) == set(get_args(Reason))
