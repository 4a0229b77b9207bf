"""Reading and writing the pipeline's files so that a crash never leaves half of one.

Everything is written under a temporary name beside its target and renamed when whole
(rename is atomic on POSIX), so a reader sees the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

R = TypeVar("R", bound=BaseModel)


class DataError(ValueError):
    """A data file holds something that cannot be used; the message names file and line."""


_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def _told_as_system_error(path: Path) -> Iterator[None]:
    """Give a full disk that a library tells only in words its number again: safetensors and tokenizers, written in
    Rust, raise errors of their own whose text ends in `(os error 28)`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        told = _SYSTEM_ERROR.search(str(error))
        if told is None:
            raise
        raise OSError(int(told[1]), os.strerror(int(told[1])), str(path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on any error nothing changes.

    Raises:
        OSError: what the operating system refused, a library's own words for it included.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with _told_as_system_error(path):
            yield temporary
        os.chmod(temporary, 0o644)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success it becomes `path` (whose old content goes), on error nothing changes.

    Raises:
        OSError: as `replacing`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    os.chmod(temporary, 0o755)
    try:
        with _told_as_system_error(path):
            yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy_folder(source: Path, into: Path) -> None:
    """A folder's files in another one that is there already: as further names of the same files where the file system
    can do that, so that large weights are not written twice."""

    def link(one: str, other: str) -> str:
        try:
            os.link(os.path.realpath(one), other)
        except OSError:
            shutil.copy2(one, other)
        return other

    shutil.copytree(source, into, copy_function=link, dirs_exist_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys and a final newline, so that equal values give equal bytes."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_rows(path: Path, rows: Iterable[BaseModel]) -> int:
    """Write records as JSON lines; return how many."""
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(row.model_dump_json() + "\n")
            count += 1
    return count


def add_rows(path: Path, rows: Iterable[BaseModel]) -> None:
    """Add records to a file of JSON lines, all or none; the file need not exist, nor end with a line's end."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    begun = before if not before or before.endswith("\n") else before + "\n"
    write_text(path, begun + "".join(row.model_dump_json() + "\n" for row in rows))


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """Read JSON lines as records.

    Raises:
        DataError: the file is missing, or a line is no such record (file and line number are named).
    """
    rows: list[R] = []
    try:
        content = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: run the stage that makes it (dvc repro)") from None
    with content:
        for number, line in enumerate(content, 1):
            if not line.strip():
                continue
            try:
                rows.append(kind.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise DataError(f"{path}, line {number}: {where + ': ' if where else ''}{first['msg']}") from None
    return rows


def read_texts(path: Path) -> list[str]:
    """Read the documents of a file with one {"text": …} a line.

    Raises:
        DataError: the file is missing, or a line is no such object (file and line number are named).
    """
    return [document.text for document in read_rows(path, Document)]


class Document(BaseModel):
    """One line of a text corpus."""

    text: str


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and contents in sorted order."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
