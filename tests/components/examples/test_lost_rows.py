"""A slip in one place of a file costs the row it stands in, and what is lost is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.examples.imports import read

ROWS = 90


def rows(count: int = ROWS) -> list[dict[str, object]]:
    return [
        {"messages": [{"role": "user", "content": f"question {n}"}, {"role": "assistant", "content": f"answer {n}"}]}
        for n in range(count)
    ]


def slipped(text: str, number: int) -> str:
    """The text with one quote in a row's question, which nobody escaped."""
    assert f"question {number}" in text
    return text.replace(f'"question {number}"', f'"the "question" {number}"')


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("number", [0, 10, ROWS - 1])
def test_an_unescaped_quote_costs_its_row_and_not_the_rest_of_the_array(
    number: int, indent: int | str | None, tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(slipped(json.dumps(rows(), indent=indent), number))
    imported = read(path)
    answers = {example.answer for example in imported.examples}
    assert answers == {f"answer {n}" for n in range(ROWS)} - {f"answer {number}"}
    assert imported.lost >= 1
    assert "the row is left out" in imported.skipped[0].reason or number == ROWS - 1
    assert not imported.loses_much or indent is None


def test_a_broken_row_is_named_by_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    lines = ",\n".join(json.dumps(row) for row in rows())
    path.write_text(f"[\n{slipped(slipped(lines, 10), 44)}\n]\n")
    imported = read(path)
    assert [row.line for row in imported.skipped] == [12, 46]
    assert len(imported.examples) == ROWS - 2


@pytest.mark.parametrize("ending", [",", ", ", " ,"])
def test_a_comma_after_each_line_is_passed_over_and_said_once(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + ending + "\n" for row in rows()))
    imported = read(path)
    assert (len(imported.examples), imported.skipped) == (ROWS, ())
    assert imported.notes == (f"a comma after the row was passed over, {ROWS} times",)


def test_two_objects_on_a_line_are_no_comma(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    one = json.dumps(rows(1)[0])
    path.write_text(f"{one}\n{one}, {one}\n{one}\n")
    assert [row.line for row in read(path).skipped] == [2]


def test_an_array_that_cannot_be_read_on_counts_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    text = json.dumps([{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(ROWS)], indent=1)
    head, _, tail = text.partition('"question 10"')
    path.write_text(f'{head}"question 10"{tail.replace("{", "(")}')
    imported = read(path)
    assert len(imported.examples) == 11
    assert 75 <= imported.lost <= 83, "79 rows come after"
    assert imported.loses_much
    assert f"not understood: {imported.lost}" in imported.summary()[1]


def test_a_table_whose_quote_never_closes_counts_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"question {n},answer {n}\n" for n in range(ROWS)]
    lines[10] = 'question 10,"answer 10\n'
    path.write_text("prompt,completion\n" + "".join(lines))
    imported = read(path)
    assert (len(imported.examples), imported.lost) == (10, 80)
    assert imported.loses_much


@pytest.mark.parametrize(("cut", "much"), [(0, False), (1, True), (30, True)])
def test_of_a_file_that_ends_early_nobody_knows_what_is_missing(cut: int, much: bool, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    text = json.dumps(rows(), indent=1)
    path.write_text(text[: len(text) - cut])
    imported = read(path)
    assert len(imported.examples) >= ROWS - 1
    assert imported.loses_much is much


@pytest.mark.parametrize(("bad", "much"), [(4, False), (5, True)])
def test_more_than_one_row_in_twenty_is_much(bad: int, much: bool, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = [json.dumps(row) for row in rows(80)]
    path.write_text("\n".join(good + ['{"messages": [' for _ in range(bad)]) + "\n")
    imported = read(path)
    assert (imported.lost, imported.loses_much) == (bad, much)
