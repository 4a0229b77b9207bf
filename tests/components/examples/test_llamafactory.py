"""Folders that LLaMA-Factory trains from: its formats, columns and tags, and what is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.examples import llamafactory
from components.examples.formats.records import Imported
from components.examples.new_task import write_task
from components.files import DataError, read_rows
from components.schema import Example, Preference

TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


def folder(path: Path, rows: list[dict[str, Any]] | str, file: str = "rows.json", **entry: Any) -> Path:
    text = rows if isinstance(rows, str) else json.dumps(rows, indent=1)
    (path / file).parent.mkdir(parents=True, exist_ok=True)
    (path / file).write_text(text)
    (path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": file, **entry}}))
    return path


def texts(imported: Imported) -> list[list[str]]:
    return [[f"{m.role}: {m.content}" for m in row.messages] for row in imported.examples]


def test_alpaca_needs_no_columns_and_joins_instruction_and_input_as_they_do(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3", "system": "not read"},
        {"instruction": "Hi", "output": "Ho"},
    ]
    assert texts(llamafactory.read(folder(tmp_path, rows))) == [
        ["user: Add.\n1 2", "assistant: 3"],
        ["user: Hi", "assistant: Ho"],
    ]


def test_columns_are_read_as_they_are_called_and_the_others_not_at_all(tmp_path: Path) -> None:
    rows = [{"q": "Hi", "input": "no", "a": "Ho", "s": "Be kind.", "h": [["One?", "Yes."]]}]
    columns = {"prompt": "q", "response": "a", "system": "s", "history": "h"}
    assert texts(llamafactory.read(folder(tmp_path, rows, columns=columns))) == [
        ["system: Be kind.", "user: One?", "assistant: Yes.", "user: Hi", "assistant: Ho"]
    ]


def test_conversations_with_their_tags(tmp_path: Path) -> None:
    own = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    said = folder(
        tmp_path, [{"m": own, "s": "Be."}], formatting="sharegpt", columns={"messages": "m", "system": "s"}, tags=TAGS
    )
    assert texts(llamafactory.read(said)) == [["system: Be.", "user: Hi", "assistant: Ho"]]
    usual = [
        {
            "conversations": [
                {"from": "system", "value": "S"},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Ho"},
            ]
        }
    ]
    assert texts(llamafactory.read(folder(tmp_path, usual, formatting="sharegpt"))) == [
        ["system: S", "user: Hi", "assistant: Ho"]
    ]


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        (
            {"instruction": "Hi", "c": "Ho", "r": "No"},
            {"columns": {"prompt": "instruction", "chosen": "c", "rejected": "r"}},
        ),
        (
            {
                "x": [{"from": "human", "value": "Hi"}],
                "c": {"from": "gpt", "value": "Ho"},
                "r": {"from": "gpt", "value": "No"},
            },
            {"formatting": "sharegpt", "columns": {"messages": "x", "chosen": "c", "rejected": "r"}},
        ),
    ],
)
def test_pairs_become_preferences_beside_the_examples_of_a_task(
    tmp_path: Path, row: dict[str, Any], entry: dict[str, Any]
) -> None:
    imported = llamafactory.read(folder(tmp_path, [row] * 2, ranking=True, **entry))
    made = write_task("mine", imported, None, None, tmp_path)
    assert [r.answer for r in read_rows(made / "examples.jsonl", Example)] == ["Ho", "Ho"]
    pair = read_rows(made / "preferences.jsonl", Preference)[0]
    assert (pair.prompt[-1].content, pair.chosen, pair.rejected) == ("Hi", "Ho", "No")


def test_a_pair_is_asked_with_the_tasks_own_system_message(tmp_path: Path) -> None:
    rows = [{"instruction": f"Is {n} even?", "c": ["yes", "no"][n % 2], "r": "maybe"} for n in range(20)]
    columns = {"prompt": "instruction", "chosen": "c", "rejected": "r"}
    made = write_task(
        "mine", llamafactory.read(folder(tmp_path, rows, ranking=True, columns=columns)), None, None, tmp_path
    )
    assert read_rows(made / "preferences.jsonl", Preference)[0].prompt[0].content == "Answer with one of: no, yes."


def test_rows_that_cannot_be_used_are_named_by_line_and_reason(tmp_path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "label": True},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bah"}], "label": False},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "Ho"}], "label": True},
        {"messages": [{"role": "user", "content": "Hi"}], "label": True},
        {"messages": "Hi", "label": True},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "label": "good"},
        {
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
            "label": True,
            "i": ["a.png"],
        },
    ]
    text = "\n".join([*map(json.dumps, lines), "{broken"])
    columns = {"messages": "messages", "kto_tag": "label", "images": "i"}
    found = llamafactory.read(folder(tmp_path, text, "rows.jsonl", formatting="sharegpt", columns=columns, tags=TAGS))
    assert len(found.examples) == 1
    assert [(s.line, s.reason.split(":")[0]) for s in found.skipped] == [
        (2, "label is false"),
        (3, "messages 2"),
        (4, "the last turn is not the assistant's"),
        (5, "messages is no list of messages"),
        (6, "label is neither true nor false"),
        (7, "it comes with images (i), which are not supported"),
        (8, "not valid JSON"),
    ]


def test_csv_parquet_and_a_folder_of_files(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    expected = [["user: Hi, you", "assistant: Ho"], ["user: A", "assistant: B"]]
    table = 'instruction,output\n"Hi, you",Ho\nA,B\nlonely\n'
    read = llamafactory.read(folder(tmp_path / "csv", table, "rows.csv"))
    assert texts(read) == expected
    assert [str(s) for s in read.skipped] == ["line 4: 1 columns instead of 2"]
    there = folder(tmp_path / "parquet", "", "rows.parquet")
    pyarrow.parquet.write_table(
        pyarrow.table({"instruction": ["Hi, you", "A"], "output": ["Ho", "B"]}), there / "rows.parquet"
    )
    assert texts(llamafactory.read(there)) == expected
    (there / "rows.parquet").write_bytes((there / "rows.parquet").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"rows.parquet cannot be read after row 0"):
        llamafactory.read(there)
    several = folder(
        tmp_path / "several", '{"instruction": "A", "output": "B"}\n{"instruction": "C"}\n', "parts/2.jsonl"
    )
    (several / "parts" / "1.jsonl").write_text('{"instruction": "Hi, you", "output": "Ho"}\n')
    (several / "dataset_info.json").write_text('{"mine": {"file_name": "parts"}}')
    read = llamafactory.read(several)
    assert texts(read) == expected
    assert [str(s) for s in read.skipped] == ["line 2: 2.jsonl: output is missing"]


@pytest.mark.parametrize(
    ("info", "name", "why"),
    [
        (None, None, "dataset_info.json does not exist: name the folder"),
        ("{", None, "is no JSON"),
        ('{"a": 1}', None, "one object per dataset"),
        ('{"a": {"file_name": "a.json"}, "b": {"file_name": "b.json"}}', None, r"2 datasets with files here \(a, b\)"),
        ('{"a": {"file_name": "a.json"}}', "b", "no dataset 'b'; with files here: a"),
        ('{"a": {"hf_hub_url": "x/y"}}', "a", r"not on this machine \(hf_hub_url: x/y\), and nothing is fetched"),
        ('{"a": {"script_url": "x.py"}}', "a", "not on this machine"),
        ('{"a": {"file_name": "a.json", "formatting": "odd"}}', None, "a.formatting: Input should be"),
        ('{"a": {"file_name": "a.json"}}', None, "a.json does not exist"),
        ('{"a": {"file_name": "a.txt"}}', None, "plain text for pre-training"),
        ('{"a": {"file_name": "dataset_info.json"}}', None, "none of the 1 rows of a of dataset_info.json"),
        ('{"a": {"file_name": "a.xml"}}', None, "a.xml"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path, info: str | None, name: str | None, why: str) -> None:
    if info is not None:
        (tmp_path / "dataset_info.json").write_text(info)
    with pytest.raises(DataError, match=why):
        llamafactory.read(tmp_path, name)
