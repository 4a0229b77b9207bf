"""Preference pairs through the stage: from corrections and from the task's own file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components import config, files, layout
from components.curation.__main__ import main
from components.schema import Preference
from tests.components.curation.conftest import Write, correction, example, sentence
from tests.components.curation.test_stage import dropped, own, report


def brought(text: str, chosen: str = "spam", rejected: str = "ham", **more: Any) -> dict[str, Any]:
    return {"prompt": text, "chosen": chosen, "rejected": rejected, **more}


def write(rows: list[dict[str, Any]]) -> None:
    files.write_text(layout.preferences("mail"), "".join(json.dumps(row) + "\n" for row in rows))


def read(name: str = "preferences") -> list[Preference]:
    return files.read_rows(layout.curated("mail") / f"{name}.jsonl", Preference)


def steps(settings: config.Settings) -> dict[str, str]:
    """The step that removed each pair, by its question."""
    main(settings)
    return {row.text: row.step for row in dropped().values() if row.action != "changed"}


def test_pairs_of_the_tasks_own_file_are_taught_or_held_out_by_question(project: Write) -> None:
    settings = project(own(20))
    write([brought(sentence(n)) for n in range(100, 160)])
    main(settings)
    taught, held = read(), read("preferences_heldout")
    assert len(taught) + len(held) == 60
    assert 5 < len(held) < 30
    assert {pair.prompt for pair in taught}.isdisjoint(pair.prompt for pair in held)
    assert {(pair.source, pair.rater) for pair in taught} == {("human", "imported")}
    assert taught[0].prompt[0].content == "Label it.", "as the service asks it"
    assert report()["pairs"]["out"] == {"preferences": len(taught), "preferences_heldout": len(held)}
    before = files.sha256_of(layout.curated("mail"))
    main(settings)
    assert files.sha256_of(layout.curated("mail")) == before


def test_a_correction_that_is_locked_as_a_test_is_a_held_out_pair(project: Write) -> None:
    main(project(own(5), snapshots=[[correction(sentence(n)) for n in range(100, 140)]]))
    target = files.read_rows(layout.curated("mail") / "target.jsonl", type(example("x", "y")))
    assert {pair.prompt[-1].content for pair in read("preferences_heldout")} == {row.question for row in target}
    assert len(read()) + len(target) == 40
    assert read()[0].rejected_version == "1"


def test_what_no_pair_can_teach_is_dropped_with_its_reason_and_the_counts_add_up(project: Write) -> None:
    settings = project(own(10), test=[example("t", sentence(900, 30))], regression_share=0.0)
    write(
        [
            brought("good one " + sentence(1)),
            brought("good one " + sentence(1)),
            brought("the same word " + sentence(2), "ham", " ham"),
            brought("no such label " + sentence(3), "eggs"),
            brought("too long " + sentence(4), "spam", "ham " * 900),
            brought("decided twice " + sentence(5)),
            brought("Decided twice, " + sentence(5) + "!", "ham", "spam", rater="bob"),
        ]
    )
    found = steps(settings)
    assert {" ".join(text.split()[:2]): step for text, step in found.items()} == {
        "good one": "duplicates",
        "the same": "equal answers",
        "no such": "answers",
        "too long": "too long",
        "decided twice": "contradictions",
        "Decided twice,": "contradictions",
    }
    assert [pair.prompt[-1].content.split()[0] for pair in read()] == ["good"]
    assert report()["pairs"]["removed"] == 6
    assert {row.action for row in dropped().values() if row.step == "contradictions"} == {"quarantined"}


def test_a_pair_about_a_test_question_tests_and_one_about_a_taught_row_teaches(project: Write) -> None:
    taught_row, test_row = example("own", sentence(901, 30)), example("t", sentence(900, 30))
    settings = project([*own(10), taught_row], test=[test_row], regression_share=0.0)
    write([brought(sentence(900, 30) + " !"), brought(sentence(901, 30).upper())])
    main(settings)
    assert [pair.prompt[-1].content for pair in read("preferences_heldout")] == [sentence(900, 30) + " !"]
    assert [pair.prompt[-1].content for pair in read()] == [sentence(901, 30).upper()]


def test_personal_data_is_in_no_pair(project: Write) -> None:
    settings = project(own(5), regression_share=0.0)
    write([brought("please write to jo@example.com about the basket by the window")])
    main(settings)
    assert "<EMAIL>" in read()[0].prompt[-1].content
    assert "example.com" not in "".join(path.read_text() for path in layout.curated("mail").iterdir())


def test_a_row_that_is_no_comparison_is_named_with_its_line(project: Write) -> None:
    settings = project(own(5), regression_share=0.0)
    write([brought(sentence(1)), {"prompt": "x", "chosen": "ham"}])
    main(settings)
    (said,) = report()["pairs"]["not understood"]
    assert said.startswith("line 2: rejected is missing")


def test_a_file_without_any_comparison_stops_the_stage(project: Write) -> None:
    settings = project(own(5))
    write([{"text": "x"}])
    with pytest.raises(files.DataError, match=r"preferences\.jsonl: none of its 1 rows is a usable comparison"):
        main(settings)
