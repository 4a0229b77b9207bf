"""Rows that LLaMA-Factory trains on, read as it reads them: dataset_info.json names files, columns and tags.

https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, and src/llamafactory/data/converter.py for what a
row becomes: a column that a `columns` section leaves out is not read, whatever it is called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.examples.formats import reading, table
from components.examples.formats.records import (
    Imported,
    Record,
    Skipped,
    Unusable,
    example,
    filled,
    text_of,
    with_system,
)
from components.files import DataError
from components.schema import Example, Preference, Role, content_id

INFO = "dataset_info.json"
REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
"""Keys by which a dataset lies elsewhere, or is a program."""


class Columns(BaseModel):
    """What the columns (or keys) of a row are called; None: there is none."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    prompt: str | None = None
    query: str | None = None
    response: str | None = None
    history: str | None = None
    messages: str | None = None
    system: str | None = None
    tools: str | None = None
    images: str | None = None
    videos: str | None = None
    audios: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    kto_tag: str | None = None


class Tags(BaseModel):
    """What the keys and roles of a message are called."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    role_tag: str | None = None
    content_tag: str | None = None
    user_tag: str | None = None
    assistant_tag: str | None = None
    observation_tag: str | None = None
    function_tag: str | None = None
    system_tag: str | None = None


DEFAULT_COLUMNS = Columns(prompt="instruction", query="input", response="output", messages="conversations")
DEFAULT_TAGS = Tags(
    role_tag="from",
    content_tag="value",
    user_tag="human",
    assistant_tag="gpt",
    observation_tag="observation",
    function_tag="function_call",
    system_tag="system",
)


class Dataset(BaseModel):
    """One entry of dataset_info.json that is a file here."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    file_name: str
    formatting: Literal["alpaca", "sharegpt", "openai"] = "alpaca"
    ranking: bool = False
    num_samples: int | None = None
    columns: Columns = Field(default=DEFAULT_COLUMNS)
    tags: Tags = Field(default=DEFAULT_TAGS)


@dataclass(frozen=True)
class Row:
    """What one row gave."""

    example: Example
    rejected: str | None = None
    """The answer that the example's was preferred to."""


def read(folder: Path, name: str | None = None) -> Imported:
    """Read one dataset of a folder that LLaMA-Factory trains from. Of a ranking dataset the chosen answers become
    examples, and every pair a preference.

    Args:
        name: which of dataset_info.json's; not needed where there is but one.

    Raises:
        DataError: dataset_info.json is missing or wrong, the dataset is not on this machine, or none of its rows is
            usable.
    """
    name, dataset = _dataset(folder, name)
    files = _files(folder, name, dataset)
    convert = _alpaca if dataset.formatting == "alpaca" else _conversation
    examples: list[Example] = []
    pairs: list[Preference] = []
    skipped: list[Skipped] = []
    for file in files:
        where = f"{file.name}: " if len(files) > 1 else ""
        for record in _records(file):
            try:
                if isinstance(record, Skipped):
                    raise Unusable(record.reason)
                row = convert(record.value, dataset)
            except Unusable as error:
                skipped.append(Skipped(record.line, f"{where}{error}"))
                continue
            examples.append(row.example)
            if row.rejected is not None:
                pairs.append(_preference(row.example, row.rejected))
    kind = f"{name} of {INFO} ({dataset.formatting}{', ranking' if dataset.ranking else ''})"
    if not examples:
        first = f"; first: {skipped[0]}" if skipped else ""
        raise DataError(f"{folder}: none of the {len(skipped)} rows of {kind} is usable{first}")
    notes = []
    if pairs:
        notes.append(f"{len(pairs)} preference pairs; the chosen answers are the examples")
    if dataset.num_samples is not None:
        notes.append(f"num_samples ({dataset.num_samples}) is LLaMA-Factory's to draw: all rows are taken")
    return Imported(tuple(examples), kind, tuple(skipped), tuple(notes), tuple(pairs))


def _dataset(folder: Path, name: str | None) -> tuple[str, Dataset]:
    file = folder / INFO
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file} does not exist: name the folder that LLaMA-Factory calls dataset_dir") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON: {error}") from None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DataError(f"{file} must be an object with one object per dataset")
    local = [key for key, entry in entries.items() if not any(remote in entry for remote in REMOTE)]
    if name is None:
        if len(local) != 1:
            there = ", ".join(local[:20]) + (f" and {len(local) - 20} more" if len(local) > 20 else "")
            raise DataError(
                f"{file} has {len(local)} datasets with files here ({there or 'none'}): name one, --dataset"
            )
        name = local[0]
    if name not in entries:
        raise DataError(f"{file} has no dataset {name!r}; with files here: {', '.join(local[:20]) or 'none'}")
    remote = next((key for key in REMOTE if key in entries[name]), None)
    if remote is not None:
        raise DataError(
            f"{file}: {name} is not on this machine ({remote}: {entries[name][remote]}), and nothing is fetched: "
            "download it and name its file with file_name"
        )
    try:
        return name, Dataset.model_validate(entries[name])
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{file}: {name}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _files(folder: Path, name: str, dataset: Dataset) -> list[Path]:
    """The dataset's file, or all of its folder in order of name."""
    place = folder / dataset.file_name
    found = sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else [place]
    kinds = {file.suffix.lower() for file in found}
    if not found or len(kinds) > 1:
        raise DataError(
            f"{place}: {name} is a folder of {', '.join(sorted(kinds)) or 'no'} files; it must be of one kind"
        )
    if kinds <= {".txt"}:
        raise DataError(f"{place}: {name} is plain text for pre-training: it holds no questions and answers")
    return found


def _records(file: Path) -> Iterator[Record | Skipped]:
    """A file's rows, by its ending as LLaMA-Factory has it; the line of a column store's row is its number.

    Raises:
        DataError: the file is missing, damaged, or of a kind that LLaMA-Factory does not read either.
    """
    kind = file.suffix.lower()
    if kind in (".parquet", ".arrow"):
        yield from _columnar(file, kind)
        return
    reading.check(file)
    if kind in (".json", ".jsonl"):
        yield from reading.json_array(file) if reading.is_array(file) else reading.json_lines(file)
    elif kind == ".csv":
        yield from table.records(file)
    else:
        raise DataError(f"{file}: LLaMA-Factory reads json, jsonl, csv, parquet, arrow and txt files")


def _columnar(file: Path, kind: str) -> Iterator[Record]:
    import pyarrow
    import pyarrow.ipc
    import pyarrow.parquet

    number = 0
    try:
        if kind == ".parquet":
            batches = pyarrow.parquet.ParquetFile(file).iter_batches()
        else:
            batches = iter(pyarrow.ipc.open_stream(pyarrow.OSFile(str(file))))
        for batch in batches:
            for value in batch.to_pylist():
                number += 1
                yield Record(number, value)
    except FileNotFoundError:
        raise DataError(f"{file} does not exist: check the path in {INFO}") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read after row {number}: {str(error).splitlines()[0]}") from None


def _alpaca(record: dict[str, Any], dataset: Dataset) -> Row:
    """A question, made of prompt and query with a line end between, and its answer."""
    columns = dataset.columns
    _plain(record, columns)
    turns: list[tuple[Role, str]] = []
    history = record.get(columns.history) if columns.history else None
    for number, pair in enumerate(history if isinstance(history, list) else [], 1):
        where = f"{columns.history} {number}"
        if not (isinstance(pair, list) and len(pair) == 2):
            raise Unusable(f"{where} is no pair of question and answer")
        turns += [("user", filled(pair[0], where)), ("assistant", filled(pair[1], where))]
    asked = [text_of(record.get(key) or "", key) for key in (columns.prompt, columns.query) if key]
    question = filled("\n".join(part for part in asked if part), columns.prompt or "prompt")
    turns.append(("user", question))
    _judged(record, columns)
    system = record.get(columns.system) if columns.system else None
    if dataset.ranking:
        return _ranked(
            with_system(system, turns),
            filled(record.get(columns.chosen or ""), columns.chosen or "chosen"),
            filled(record.get(columns.rejected or ""), columns.rejected or "rejected"),
        )
    answer = filled(record.get(columns.response or ""), columns.response or "response")
    return Row(example(with_system(system, [*turns, ("assistant", answer)])))


def _conversation(record: dict[str, Any], dataset: Dataset) -> Row:
    """Messages with tags; a system message may be the first of them or a column of its own."""
    columns, tags = dataset.columns, dataset.tags
    _plain(record, columns)
    key = columns.messages or "messages"
    messages = record.get(key)
    if not isinstance(messages, list):
        raise Unusable(f"{key} is no list of messages")
    turns = [_turn(message, f"{key} {number}", tags) for number, message in enumerate(messages, 1)]
    _judged(record, columns)
    if columns.system and (not turns or turns[0][0] != "system"):
        turns = with_system(record.get(columns.system), turns)
    if dataset.ranking:
        chosen, rejected = (
            _turn(record.get(column or ""), column or what, tags)
            for column, what in ((columns.chosen, "chosen"), (columns.rejected, "rejected"))
        )
        if {chosen[0], rejected[0]} != {"assistant"}:
            raise Unusable("the chosen or the rejected message is not the assistant's")
        return _ranked(turns, chosen[1], rejected[1])
    return Row(example(turns))


def _turn(message: object, where: str, tags: Tags) -> tuple[Role, str]:
    if not isinstance(message, dict):
        raise Unusable(f"{where} is no object with {tags.role_tag} and {tags.content_tag}")
    said_by = message.get(tags.role_tag or "")
    if message.get("tool_calls") or (said_by is not None and said_by in (tags.function_tag, tags.observation_tag)):
        raise Unusable(f"{where} calls a tool or answers for one, which is not supported")
    roles: dict[str | None, Role] = {
        tags.user_tag: "user",
        tags.assistant_tag: "assistant",
        tags.system_tag: "system",
    }
    if not isinstance(said_by, str) or said_by not in roles:
        raise Unusable(f"{where}: {tags.role_tag} {said_by!r} is not one of {', '.join(filter(None, roles))}")
    return roles[said_by], filled(message.get(tags.content_tag or ""), f"{where}: {tags.content_tag}")


def _plain(record: dict[str, Any], columns: Columns) -> None:
    """Refuse what is more than text."""
    for what in ("tools", "images", "videos", "audios"):
        column = getattr(columns, what)
        if column and record.get(column):
            raise Unusable(f"it comes with {what} ({column}), which are not supported")


def _judged(record: dict[str, Any], columns: Columns) -> None:
    """Refuse an answer that people called a bad one (KTO data)."""
    if not columns.kto_tag:
        return
    label = record.get(columns.kto_tag)
    if not isinstance(label, bool):
        raise Unusable(f"{columns.kto_tag} is neither true nor false")
    if not label:
        raise Unusable(f"{columns.kto_tag} is false: the answer was judged bad, so there is nothing to learn from it")


def _ranked(turns: list[tuple[Role, str]], chosen: str, rejected: str) -> Row:
    if chosen == rejected:
        raise Unusable("the chosen and the rejected answer are the same")
    return Row(example([*turns, ("assistant", chosen)]), rejected)


def _preference(row: Example, rejected: str) -> Preference:
    """The pair; who compared is not known of such data, so that all of it is one rater's."""
    return Preference(
        id=content_id(*(f"{m.role}\x1e{m.content}" for m in row.messages), rejected),
        prompt=row.prompt,
        chosen=row.answer,
        rejected=rejected,
        source="human",
        rater="llamafactory",
    )
