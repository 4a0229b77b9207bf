"""Prompts come in every format that examples come in, with their answers or without, and as plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.examples.prompts import Prompts, read
from components.files import DataError


def asked(tmp_path: Path, name: str, text: str, column: str | None = None) -> Prompts:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read(tmp_path / name, column)


def said(found: Prompts) -> list[list[str]]:
    return [[f"{m.role}: {m.content}" for m in prompt] for prompt in found.prompts]


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ('{"messages": [{"role": "user", "content": "a"}]}', ["user: a"]),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}', ["user: a"]),
        (
            '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, '
            '{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}',
            ["system: s", "user: a", "assistant: b", "user: c"],
        ),
        ('{"prompt": [{"role": "user", "content": "a"}], "chosen": "x", "rejected": "y"}', ["user: a"]),
        ('{"conversations": [{"from": "human", "value": "a"}], "system": "s"}', ["system: s", "user: a"]),
        ('{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}', ["user: a"]),
        ('{"instruction": "a"}', ["user: a"]),
        ('{"instruction": "a", "input": "b", "output": "c"}', ["user: a\n\nb"]),
        ('{"question": "a"}', ["user: a"]),
        ('{"text": "a", "label": "spam", "system": "s"}', ["system: s", "user: a"]),
    ],
)
def test_an_answer_may_be_missing_and_is_not_looked_at(line: str, prompt: list[str], tmp_path: Path) -> None:
    assert said(asked(tmp_path, "rows.jsonl", line)) == [prompt]
    assert said(asked(tmp_path, "rows.json", f"[{line}]")) == [prompt]


def test_lines_of_text_are_prompts_and_each_is_asked_once(tmp_path: Path) -> None:
    found = asked(tmp_path, "mail.txt", "My knee hurts, badly\r\n\nnothing else\nMy knee hurts, badly\n")
    assert said(found) == [["user: My knee hurts, badly"], ["user: nothing else"]]
    assert (found.repeated, found.skipped) == (1, ())


def test_a_table_may_have_one_column_with_a_name_or_without(tmp_path: Path) -> None:
    assert said(asked(tmp_path, "a.csv", 'message\n"one, two"\nthree\n')) == [["user: one, two"], ["user: three"]]
    bare = asked(tmp_path, "b.csv", '"one, two"\n"three\nfour"\n')
    assert said(bare) == [["user: one, two"], ["user: three\nfour"]]
    assert "no header: the first row is a prompt, too" in bare.format


def test_of_several_columns_the_named_one_asks_else_one_with_a_usual_name(tmp_path: Path) -> None:
    table = "id,text,body\n1,first,second\n2,,third\n3,fourth\n"
    found = asked(tmp_path, "a.csv", table)
    assert said(found) == [["user: first"]]
    assert [str(row) for row in found.skipped] == ["line 3: text is empty", "line 4: 2 columns instead of 3"]
    assert said(asked(tmp_path, "a.csv", table, "body")) == [["user: second"], ["user: third"]]
    assert said(asked(tmp_path, "rows.jsonl", '{"text": "a", "body": "b"}', "body")) == [["user: b"]]


def test_what_is_no_prompt_is_named_by_line_and_reason(tmp_path: Path) -> None:
    found = asked(tmp_path, "rows.jsonl", '{"prompt": "a"}\n{oops\n{"n": 1}\n{"prompt": " "}\n{"messages": []}\n')
    assert said(found) == [["user: a"]]
    assert [str(row) for row in found.skipped] == [
        "line 2: not valid JSON: Expecting property name enclosed in double quotes at column 2",
        "line 3: there is no prompt; its keys are n (name the one that asks with --prompt-column)",
        "line 4: prompt is empty",
        "line 5: the conversation does not begin with the user",
    ]


@pytest.mark.parametrize(
    ("name", "text", "column", "refused"),
    [
        ("a.csv", "x,y\n1,2\n3,4\n", None, r"has 2 columns \(x, y\): say which one asks with --prompt-column"),
        ("a.csv", "x,y\n1,2\n3,4\n", "z", r"--prompt-column z: there is no such column; columns: x, y"),
        ("a.jsonl", '{"n": 1}\n', None, r"a\.jsonl: none of its 1 rows is a prompt; first: line 1: there is no prompt"),
        ("a.txt", " \n\n", None, "is empty"),
        ("a.csv", "text\n", None, "none of its 0 rows is a prompt"),
    ],
)
def test_a_file_without_a_prompt_is_refused(
    name: str, text: str, column: str | None, refused: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=refused):
        asked(tmp_path, name, text, column)
