"""A file's records with their line numbers, whatever is wrong with the file, in bounded memory a line.

Handles UTF-8 with and without a byte order mark and UTF-16 with one; carriage returns;
lines of other encodings, over-long lines and broken JSON, each as a `Skipped` line.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from components.examples.formats.records import Record, Skipped
from components.files import DataError

MAX_LINE = 2_000_000
"""Bytes of one record; longer ones (binary data, a file without line ends) are skipped, not loaded."""
MAX_ARRAY = 512_000_000
"""Bytes of a file that is one JSON array, which must be read whole."""
_BLOCK = 1 << 20


def check(path: Path) -> None:
    """Refuse what no reader could use.

    Raises:
        DataError: the file is missing, a folder, not readable, or empty.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder: name a file of examples in it")
        with path.open("rb") as content:
            head = content.read(4096)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not head.strip(b"\xef\xbb\xbf\r\n\t "):
        with path.open("rb") as content:
            while block := content.read(_BLOCK):
                if block.strip(b"\xef\xbb\xbf\r\n\t "):
                    return
        raise DataError(f"{path} is empty: it must hold at least one example")
    if b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is a binary file: examples come as JSON lines, JSON, CSV or TSV")


def lines(path: Path) -> Iterator[tuple[int, str] | Skipped]:
    """Each line's number and text, without its end and without a byte order mark."""
    with path.open("rb") as content:
        start = content.read(2)
        content.seek(0)
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            yield from _utf16_lines(path)
            return
        number = 0
        while raw := content.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
                length = len(raw) + _skip_line(content)
                yield Skipped(number, f"{length:,} bytes long; a record may have {MAX_LINE:,}")
                continue
            raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            try:
                yield number, raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield Skipped(
                    number, f"not UTF-8 (byte 0x{raw[error.start]:02x} at {error.start + 1}); save the file as UTF-8"
                )


def _utf16_lines(path: Path) -> Iterator[tuple[int, str] | Skipped]:
    """Lines of a file that spreadsheet programs saved as UTF-16."""
    with path.open(encoding="utf-16", newline="\n") as content:
        number = 0
        try:
            while text := content.readline(MAX_LINE + 1):
                number += 1
                if len(text) > MAX_LINE and not text.endswith("\n"):
                    while (rest := content.readline(_BLOCK)) and not rest.endswith("\n"):
                        pass
                    yield Skipped(number, f"longer than {MAX_LINE:,} characters")
                    continue
                yield number, text.rstrip("\r\n")
        except UnicodeDecodeError:
            yield Skipped(
                number + 1,
                "not UTF-16, though the file begins as such; nothing after this line was read",
                open_end=True,
            )


def _skip_line(content: IO[bytes]) -> int:
    """Read on to the end of the line, a block at a time; return how many bytes that was."""
    length = 0
    while block := content.readline(_BLOCK):
        length += len(block)
        if block.endswith(b"\n"):
            break
    return length


def is_array(path: Path) -> bool:
    """Does the file hold one JSON array (rather than lines)?"""
    for item in lines(path):
        if isinstance(item, Skipped):
            return False
        if item[1].strip():
            return item[1].lstrip().startswith("[")
    return False


def is_one_object(path: Path) -> bool:
    """Is the whole of a small file one JSON object, written over several lines?"""
    if path.stat().st_size > MAX_LINE:
        return False
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (ValueError, RecursionError):
        return False


def json_lines(path: Path) -> Iterator[Record | Skipped]:
    """The objects of a JSON Lines file (https://jsonlines.org); empty lines are passed over."""
    for item in lines(path):
        if isinstance(item, Skipped):
            yield item
        elif item[1].strip():
            number, text = item
            try:
                yield _from_line(number, text)
            except (ValueError, RecursionError) as error:
                yield Skipped(number, _why(error))


COMMA = "a comma after the row"


def _from_line(number: int, text: str) -> Record | Skipped:
    """A line's record; lines of an array whose brackets are gone end in a comma.

    Raises:
        ValueError, RecursionError: the line is no JSON.
    """
    try:
        return _record(number, json.loads(text, object_pairs_hook=_once))
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or text[error.pos :].strip() != ",":
            raise
        record = _record(number, json.loads(text[: error.pos], object_pairs_hook=_once))
        return replace(record, mended=COMMA) if isinstance(record, Record) else record


def json_array(path: Path) -> Iterator[Record | Skipped]:
    """The objects of a file that is one JSON array; each with the line on which it begins. After a broken one it goes
    on with the next that can be read.

    Raises:
        DataError: the file is too large to be read whole, or is not UTF-8.
    """
    size = path.stat().st_size
    if size > MAX_ARRAY:
        raise DataError(f"{path} is one JSON array of {size:,} bytes: above {MAX_ARRAY:,} bring it as JSON lines")
    try:
        text = path.read_bytes().decode("utf-16" if path.open("rb").read(2) in _UTF16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from None
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    at = text.index("[") + 1
    line, counted = text.count("\n", 0, at) + 1, at
    keys: set[str] = set()
    read = 0
    while True:
        at = _past(text, at, " \t\r\n,")
        line, counted = line + text.count("\n", counted, at), at
        if at >= len(text):
            yield Skipped(line, "the array is not closed: the file ends early", rows=0, open_end=True)
            return
        if text[at] == "]":
            if rest := len(text[at + 1 :].strip()):
                lost = max(1, round(rest * read / at))
                yield Skipped(line, "there is more after the end of the array, which was not read", lost)
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            where = line + text.count("\n", counted, error.pos) if isinstance(error, json.JSONDecodeError) else line
            begin, at = at, _next_row(text, at, decoder, keys)
            if at == len(text):
                rest = max(1, round((len(text) - begin) * read / begin))
                yield Skipped(where, f"{_why(error)}; nothing after it was read", rest, open_end=not _closed(text))
                return
            yield Skipped(where, f"{_why(error)}; the row is left out")
            continue
        at, read = end, read + 1
        if isinstance(value, dict):
            keys |= value.keys()
        yield _record(line, value)


_BEGIN = re.compile(r"[,\]}\s](?=\{)")


def _next_row(text: str, at: int, decoder: json.JSONDecoder, keys: set[str]) -> int:
    """Where the next row of an array begins after a broken one at `at`; the text's length where none does.

    An object inside the broken row is no row. Rows that each begin a line stand at the same depth; and a row has a key
    that an earlier one had, if any was read.
    """
    indent = _indent(text, at)
    for match in _BEGIN.finditer(text, at + 1):
        begin = match.end()
        if indent is not None and _indent(text, begin) != indent:
            continue
        try:
            value, end = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            continue
        if keys & value.keys() or (not keys and not _inside(text, end, decoder)):
            return begin
    return len(text)


_SIBLINGS = 50
"""So many objects are looked at to tell a row from an object inside one."""


def _inside(text: str, at: int, decoder: json.JSONDecoder) -> bool:
    """Whether the list around the object that ends at `at` is closed before the file ends: then it is not the rows'."""
    for _ in range(_SIBLINGS):
        at = _past(text, at, " \t\r\n")
        if text[at : at + 1] != ",":
            return bool(text[at + 1 :].strip())
        try:
            _, at = decoder.raw_decode(text, _past(text, at, " \t\r\n,"))
        except (ValueError, RecursionError):
            return False
    return False


def _indent(text: str, at: int) -> str | None:
    """What stands before `at` on its line, where that is only space."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    return before if not before.strip() else None


def _closed(text: str) -> bool:
    return text.rstrip().endswith("]")


_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _past(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


class _Repeated(dict[str, Any]):
    """An object that names a key twice: which of the two values was meant nobody can tell."""

    key = ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = _Repeated(found)
    keys = [key for key, _ in pairs]
    repeated.key = next(key for key in keys if keys.count(key) > 1)
    return repeated


def _record(line: int, value: object) -> Record | Skipped:
    if not isinstance(value, dict):
        return Skipped(line, f"a JSON {type(value).__name__}, not an object")
    repeated = _repeated(value)
    if repeated is not None:
        return Skipped(line, f"the key {repeated!r} stands twice")
    return Record(line, value)


def _repeated(value: object) -> str | None:
    """The first key that an object anywhere inside names twice."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, _Repeated):
            return current.key
        if isinstance(current, dict):
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current
    return None


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not valid JSON: {error.msg} at column {error.colno}"
    return f"not usable JSON: {error}"
