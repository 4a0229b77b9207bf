"""Whatever is wrong with a file, the answer is a line that names the place, and the good rows are kept."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from components.examples.formats import reading
from components.examples.imports import read
from components.files import DataError

GOOD = json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})


def messages(*turns: object) -> str:
    return json.dumps({"messages": turns})


USER = {"role": "user", "content": "q"}
ASSISTANT = {"role": "assistant", "content": "a"}

BROKEN = {
    "a broken line": ('{"messages": [', "not valid JSON"),
    "no object": ("[1, 2]", "a JSON list, not an object"),
    "another shape": ('{"foo": 1}', "not OpenAI messages like the others; it holds foo (a number)"),
    "no role": (messages({"content": "q"}, ASSISTANT), "message 1 has no role"),
    "an unknown role": (
        messages({"role": "doctor", "content": "q"}, ASSISTANT),
        "message 1: role 'doctor' is not one of",
    ),
    "an empty answer": (messages(USER, {"role": "assistant", "content": "  "}), "message 2: content is empty"),
    "no content": (messages(USER, {"role": "assistant"}), "message 2: content is missing"),
    "content that is a number": (
        messages({"role": "user", "content": 5}, ASSISTANT),
        "message 1: content is a number, not text",
    ),
    "an image": (
        messages({"role": "user", "content": [{"type": "image_url"}]}, ASSISTANT),
        "a part of type 'image_url'",
    ),
    "a tool call": (messages(USER, ASSISTANT | {"tool_calls": [{}]}), "message 2 calls a tool"),
    "no answer": (messages(USER), "the last turn is not the assistant's"),
    "two turns of one role": (messages(USER, USER, ASSISTANT), "turn 2: two turns of the user in a row"),
    "no turns": (messages(), "does not begin with the user"),
    "a late system message": (messages(USER, {"role": "system", "content": "s"}, ASSISTANT), "not the first"),
    "a key twice": (
        '{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
        "the key 'content' stands twice",
    ),
    "half a surrogate": (messages(USER, {"role": "assistant", "content": "\ud83d"}), "half of a surrogate pair"),
    "nesting without end": ('{"messages":' + "[" * 200_000, "nested too deeply"),
    "a number of 5,000 digits": ('{"messages": ' + "1" * 5000 + "}", "not usable JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named_and_the_others_are_kept(name: str, tmp_path: Path) -> None:
    line, reason = BROKEN[name]
    path = tmp_path / "chats.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    imported = read(path)
    assert len(imported.examples) == 2
    assert [skipped.line for skipped in imported.skipped] == [3]
    assert reason in str(imported.skipped[0])
    assert "\n" not in str(imported.skipped[0])


def test_a_line_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + GOOD.replace("q", "caf\xe9").encode("latin-1") + b"\n")
    imported = read(path)
    assert len(imported.examples) == 1
    assert "line 2: not UTF-8 (byte 0xe9" in str(imported.skipped[0])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_carriage_returns_are_no_trouble(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(f"{GOOD}\r\n{GOOD}\r\n".encode(encoding))
    imported = read(path)
    assert len(imported.examples) == 2
    assert imported.examples[0].answer == "a"


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_line_of_ten_megabytes_is_passed_over_without_being_held(ending: bytes, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as out:
        out.write(GOOD.encode() + b"\n")
        for _ in range(10):
            out.write(b"x" * 1_000_000)
        out.write(b"\n" + GOOD.encode() + ending)
    tracemalloc.start()
    imported = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(imported.examples) == 2
    assert str(imported.skipped[0]) == f"line 2: 10,000,001 bytes long; a record may have {reading.MAX_LINE:,}"
    assert peak < 8 * reading.MAX_LINE


@pytest.mark.parametrize("content", [b"", b"\n\n \n", b"\xef\xbb\xbf", b"\n" * 5000])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_an_empty_file_is_refused_in_words(content: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.\w+ is empty"):
        read(path)


def test_a_missing_file_a_folder_and_a_binary_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    binary = tmp_path / "weights.bin"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="is a binary file"):
        read(binary)


def test_a_file_without_one_usable_row_says_what_is_wrong_with_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(messages(USER) + "\n")
    with pytest.raises(DataError, match=r"none of its 1 rows is usable as OpenAI messages.*line 1: the last turn"):
        read(path)


def test_an_array_that_ends_early_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text(f"[\n{GOOD},\n{GOOD},\n" + GOOD[:30])
    imported = read(path)
    assert len(imported.examples) == 2
    assert imported.skipped[0].line == 4
    assert "nothing after it was read" in imported.skipped[0].reason


def test_one_object_over_several_lines_is_told_from_broken_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\n  "data": [\n    1\n  ]\n}\n')
    with pytest.raises(DataError, match="is one JSON object over several lines"):
        read(path)


def test_in_an_array_each_item_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text(f"[\n{GOOD},\n5,\n{messages(USER)}\n]\n")
    assert [(s.line, s.reason[:20]) for s in read(path).skipped] == [
        (3, "a JSON int, not an o"),
        (4, "the last turn is not"),
    ]


def test_rows_of_a_table_with_too_few_cells_or_empty_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('prompt,completion\na,b\nonly one\n"two\nlines",c\nd,\n,e\nf,g,h\n')
    imported = read(path)
    assert [(row.question, row.answer) for row in imported.examples] == [("a", "b"), ("two\nlines", "c")]
    assert [str(s) for s in imported.skipped] == [
        "line 3: 1 columns instead of 2",
        "line 6: completion is empty",
        "line 7: prompt is empty",
        "line 8: 3 columns instead of 2",
    ]


def test_a_quote_that_never_closes_is_named_by_the_line_it_opens_on(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('prompt,completion\na,b\nc,"d\ne,f\n')
    imported = read(path)
    assert len(imported.examples) == 1
    assert str(imported.skipped[0]).startswith("line 3: a quote opened in the row that begins here is never closed")


def test_prose_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_text("Once upon a time.\nThere was a wheel.\n")
    with pytest.raises(DataError, match="no comma, tab, semicolon or bar splits its lines into two columns"):
        read(path)
