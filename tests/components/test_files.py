"""A crash never leaves half a file, and a bad line is named."""

from pathlib import Path

import pytest

from components.files import DataError, read_rows, replacing, replacing_folder, sha256_of, write_json, write_rows
from components.schema import Message


def test_rows_written_are_the_rows_read(tmp_path: Path) -> None:
    rows = [Message(role="user", content="مرحبا\n\u2028 \x00 end"), Message(role="assistant", content="")]
    assert write_rows(tmp_path / "deep" / "rows.jsonl", rows) == 2
    assert read_rows(tmp_path / "deep" / "rows.jsonl", Message) == rows


def test_an_error_while_writing_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    write_rows(target, [Message(role="user", content="old")])

    def failing():  # type: ignore[no-untyped-def]
        yield Message(role="user", content="new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_rows(target, failing())
    assert read_rows(target, Message)[0].content == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(OSError, match="No space left"), replacing(target), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert target.read_text() == "old"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with replacing_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), replacing_folder(target) as temporary:
        (temporary / "b").write_text("2")
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["a"]
    with replacing_folder(target) as temporary:
        (temporary / "c").write_text("3")
    assert [p.name for p in target.iterdir()] == ["c"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{broken", "Invalid JSON"),
        (b'{"role": "user"}', "content"),
        (b'{"role": "robot", "content": "x"}', "role"),
        (b'{"role": "user", "content": "x", "extra": 1}', "extra"),
        (b'{"role": "user", "content": "\xff\xfe"}', "Invalid JSON"),
        (b"[]", "object"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: bytes, said: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"role": "user", "content": "fine"}\n\n' + line + b"\n")
    with pytest.raises(DataError, match=r"rows\.jsonl, line 3") as refused:
        read_rows(file, Message)
    assert said in str(refused.value)


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro"):
        read_rows(tmp_path / "none.jsonl", Message)


def test_equal_values_give_equal_bytes_and_hashes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [2]})
    write_json(tmp_path / "b", {"a": [2], "b": 1})
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")


def test_a_folder_hash_moves_with_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "x").write_text("1")
    first = sha256_of(folder)
    (folder / "x").rename(folder / "y")
    assert sha256_of(folder) != first
