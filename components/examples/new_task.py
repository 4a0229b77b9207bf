"""A new task's folder, made from the examples that its user brought."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from pydantic import BaseModel

from components import files, layout
from components.examples.formats.records import Imported
from components.examples.labels import labels_of
from components.schema import Example, Judged, Message, Preference
from components.task import TaskError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
NOT_UNDERSTOOD = "not-understood.txt"
"""Every row that gave no example: its line and why."""
_SUGGESTIONS = 3
_SUGGESTION_LENGTH = 300


def write_task(
    name: str,
    imported: Imported,
    schema: Path | None,
    base: str | None,
    root: Path,
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Write tasks/<name>/ (task.yaml, examples.jsonl, preferences.jsonl where there are pairs or judged answers,
    not-understood.txt where rows were not, schema.py where one is given, params.yaml where `parameters` differ from
    the project's), whole or not at all.

    The kind of answer is inferred: `json` where every answer is a JSON object, `label` where
    the answers are few short values, else `text`. A system message that all rows share
    becomes the task's. `schema` may end in `:Class` where its file defines several.

    Returns:
        The folder.

    Raises:
        TaskError: the name is no task name or is taken, or the schema cannot be used.
    """
    folder = new_folder(name, root)
    answers = [example.answer for example in imported.examples]
    system, rows = _shared_system(imported.examples)
    values: dict[str, Any] = {"name": name, "title": name.replace("-", " ").replace("_", " ").capitalize()}
    labels = labels_of(answers)
    if schema is not None:
        source, class_name = _schema(schema)
        values |= {"answer": "json", "schema": f"schema.py:{class_name}"}
    elif all(_is_object(answer) for answer in answers):
        values["answer"] = "json"
    elif labels is not None:
        values |= {"answer": "label", "labels": list(labels)}
        rows = [_stripped(row) for row in rows]
    else:
        values["answer"] = "text"
    values["system"] = system or _instruction(values)
    if base is not None:
        values["base"] = base
    values["suggestions"] = [row.question for row in rows if len(row.question) <= _SUGGESTION_LENGTH][:_SUGGESTIONS]
    with files.replacing_folder(folder) as temporary:
        files.write_rows(temporary / "examples.jsonl", rows)
        if imported.preferences or imported.judged:
            rated: list[Preference | Judged] = [*imported.preferences, *imported.judged]
            files.write_rows(temporary / "preferences.jsonl", [_asked_with(values["system"], row) for row in rated])
        if imported.skipped:
            files.write_text(temporary / NOT_UNDERSTOOD, "".join(f"{skipped}\n" for skipped in imported.skipped))
        if schema is not None:
            shutil.copyfile(source, temporary / "schema.py")
        if parameters:
            files.write_text(temporary / "params.yaml", yaml.safe_dump(dict(parameters), sort_keys=False))
        files.write_text(
            temporary / "task.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)
        )
    return folder


def new_folder(name: str, root: Path) -> Path:
    """The folder that a new task of this name will have.

    Raises:
        TaskError: the name is no task name, or is taken.
    """
    if not _NAME.fullmatch(name):
        raise TaskError(
            f"{name[:80]!r} is no task name: up to 64 lower-case letters, digits, - and _, beginning with a letter"
        )
    if name in layout.RESERVED:
        raise TaskError(f"no task can be called {name}: the pipeline's own folders are; choose another name")
    folder = root / layout.task_folder(name)
    if folder.exists():
        raise TaskError(f"{folder} exists already: choose another name, or remove the folder first")
    return folder


def _instruction(values: dict[str, Any]) -> str:
    """What a model that was not trained here has to be told; for text the user knows best."""
    if values["answer"] == "label":
        return f"Answer with one of: {', '.join(values['labels'])}."
    return "Answer with one JSON object." if values["answer"] == "json" else ""


def _shared_system(examples: Sequence[Example]) -> tuple[str, list[Example]]:
    """The system message of all rows, and the rows without it; rows that differ keep theirs."""
    found = {row.messages[0].content if row.messages[0].role == "system" else "" for row in examples}
    system = min(found) if len(found) == 1 else ""
    if not system:
        return "", list(examples)
    return system, [row.model_copy(update={"messages": row.messages[1:]}) for row in examples]


def _asked_with(system: str, row: Preference | Judged) -> Preference | Judged:
    """The row with the task's system message where it has none: its prompt is all that the model is asked."""
    if not system or row.prompt[0].role == "system":
        return row
    return row.model_copy(update={"prompt": (Message(role="system", content=system), *row.prompt)})


def _stripped(row: Example) -> Example:
    """The row with its label's surrounding space gone, so that equal labels are equal."""
    last = row.messages[-1]
    answer = last.model_copy(update={"content": last.content.strip()})
    return row.model_copy(update={"messages": (*row.messages[:-1], answer), "group": answer.content})


def _is_object(answer: str) -> bool:
    try:
        return isinstance(json.loads(answer), dict)
    except (ValueError, RecursionError):
        return False


def _schema(path: Path) -> tuple[Path, str]:
    """The file and the name of its pydantic class that is an answer."""
    text = str(path)
    file, _, wanted = text.rpartition(":") if re.search(r":[A-Za-z_]\w*$", text) else (text, "", "")
    source = Path(file)
    if not source.is_file():
        raise TaskError(f"--schema {source}: there is no such file")
    module = _load(source)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
    ]
    names = [found.__name__ for found in classes]
    if wanted:
        if wanted not in names:
            raise TaskError(
                f"--schema {source}: there is no pydantic class {wanted}; classes: {', '.join(names) or 'none'}"
            )
        return source, wanted
    parts = {used for found in classes for used in _used_by(found)}
    tops = [found.__name__ for found in classes if found.__name__ not in parts]
    if len(tops) != 1:
        raise TaskError(
            f"--schema {source} must define one pydantic class that is the answer; it has {', '.join(tops) or 'none'}: "
            f"name one, --schema {source}:Class"
        )
    return source, tops[0]


def _used_by(model: type[BaseModel]) -> set[str]:
    """Names of the classes that a class's fields or bases are made of."""
    inside = set(model.model_json_schema().get("$defs", {})) - {model.__name__}
    return inside | {base.__name__ for base in model.__mro__[1:]}


def _load(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("_schema_of_a_new_task", source)
    if spec is None or spec.loader is None:
        raise TaskError(f"--schema {source}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TaskError(f"--schema {source} cannot be imported: {type(error).__name__}: {error}") from None
    finally:
        sys.modules.pop(spec.name, None)
    return module
