"""Structured answers as rows for SQL: a table per task and schema version, a typed column per field.

`AnswerTable` derives the columns from the task's pydantic schema. A nested object becomes
columns of its own (`place.site` → `place_site`); lists, maps and unions become one JSON
column. A schema that changed in meaning gets a new table, since its rows mean something else;
changed titles and descriptions do not count. The table `answer_tables` lists them all.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, RootModel, ValidationError

from components.feedback import tables
from components.feedback.tables import UtcDateTime
from components.schema import Interaction
from components.task import Task

OWN = ("interaction_id", "served_at", "model_version")
"""Columns that every such table has; a field of the same name gets a number."""
LONGEST_NAME = 63
"""PostgreSQL cuts longer names short."""
NOTES = {"title", "description", "examples", "$comment", "deprecated"}
"""Keys of a JSON schema that change nothing about what is valid."""
COLUMN_TYPES: dict[type, sa.types.TypeEngine[Any]] = {
    bool: sa.Boolean(),
    int: sa.BigInteger(),
    float: sa.Double(),
    str: sa.Text(),
    datetime: UtcDateTime(),
    date: sa.Date(),
    time: sa.Time(),
    UUID: sa.Uuid(),
    Decimal: sa.Text(),  # SQLite would round it to a float
}
JSON_COLUMN = sa.JSON(none_as_null=True)


class Unstorable(ValueError):
    """The answer is no valid answer of the task, or holds a value that no database takes."""


@dataclass(frozen=True)
class Field:
    """One column and where its value lies in the answer."""

    path: tuple[str, ...]
    column: str
    type: sa.types.TypeEngine[Any]
    nullable: bool


class AnswerTable:
    """The table of one task and one version of its schema."""

    def __init__(self, task: Task) -> None:
        self.task = task
        model = task.schema_model()
        flat = model is not None and not issubclass(model, RootModel)
        self._model = model if flat else None
        self.schema: dict[str, Any] = model.model_json_schema() if model else {"answer": task.answer}
        meaning = json.dumps(_meaning(self.schema), sort_keys=True, ensure_ascii=False)
        self.schema_sha256 = hashlib.sha256(meaning.encode()).hexdigest()
        named = hashlib.sha256(f"{task.name} {self.schema_sha256}".encode()).hexdigest()[:8]
        self.name = f"answers_{task.name.replace('-', '_')[:46]}_{named}"
        self.fields = tuple(_fields(self._model)) if self._model else (self._whole(),)
        self.table = sa.Table(
            self.name,
            sa.MetaData(naming_convention=tables.metadata.naming_convention),
            sa.Column("interaction_id", sa.String(200), sa.ForeignKey(tables.interactions.c.id), primary_key=True),
            sa.Column("served_at", UtcDateTime, nullable=False, index=True),
            sa.Column("model_version", sa.String(100), nullable=False),
            *(sa.Column(field.column, field.type, nullable=field.nullable) for field in self.fields),
        )

    def _whole(self) -> Field:
        """The only column of a task whose answers have no fields."""
        structured = self.task.answer == "json"
        return Field(("answer",), "answer", JSON_COLUMN if structured else sa.Text(), structured)

    def row(self, answer: str) -> dict[str, Any]:
        """The answer as column → value.

        Raises:
            Unstorable: it is no valid answer of the task.
        """
        if self._model is None:
            return {"answer": self._plain(answer)}
        try:
            valid = self._model.model_validate_json(answer)
        except ValidationError as error:
            problem = error.errors()[0]
            raise Unstorable(f"{'.'.join(map(str, problem['loc'])) or 'answer'}: {problem['msg']}") from None
        typed, as_json = valid.model_dump(mode="python"), valid.model_dump(mode="json")
        return {
            field.column: _at(as_json, field.path)
            if field.type is JSON_COLUMN
            else _storable(_at(typed, field.path), field.column)
            for field in self.fields
        }

    def _plain(self, answer: str) -> Any:
        parsed = self.task.parse(answer)
        if parsed is None:
            raise Unstorable("answer: not a valid answer of this task")
        return parsed if self.task.answer == "json" else _storable(answer.strip(), "answer")

    def insert(self, connection: sa.Connection, interaction: Interaction, row: Mapping[str, Any]) -> None:
        """Add one answer inside the writer's transaction; the table is made when its first row comes."""
        known = sa.select(tables.answer_tables.c.name).where(tables.answer_tables.c.name == self.name)
        if connection.execute(known).first() is None:
            self.table.create(connection, checkfirst=True)
            connection.execute(
                sa.insert(tables.answer_tables),
                {
                    "name": self.name,
                    "task": self.task.name,
                    "schema_sha256": self.schema_sha256,
                    "schema": self.schema,
                    "columns": {field.column: ".".join(field.path) for field in self.fields},
                    "created_at": datetime.now(UTC),
                },
            )
        own = (interaction.id, interaction.created_at, interaction.model_version)
        connection.execute(sa.insert(self.table), {**dict(zip(OWN, own, strict=True)), **row})


def _fields(model: type[BaseModel]) -> Iterator[Field]:
    """The columns of a schema, each with a name of its own (databases take `A` and `a` for the same)."""
    taken = set(OWN)
    for path, kind, nullable in _leaves(model, (), False, (model,)):
        wanted = name = _short("_".join(path))
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted[: LONGEST_NAME - 4]}_{number}"
        taken.add(name.lower())
        yield Field(path, name, kind, nullable)


def _leaves(
    model: type[BaseModel], above: tuple[str, ...], nullable: bool, inside: tuple[type[BaseModel], ...]
) -> Iterator[tuple[tuple[str, ...], sa.types.TypeEngine[Any], bool]]:
    for name, info in model.model_fields.items():
        kind, optional = _plain_type(info.annotation)
        optional |= nullable
        nested = isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, RootModel)
        if nested and kind not in inside:
            yield from _leaves(kind, (*above, name), optional, (*inside, kind))
        else:
            yield (*above, name), _column_type(kind), optional


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """A type without Annotated and without None, and whether None was allowed."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        others = [part for part in get_args(annotation) if part is not type(None)]
        if len(others) < len(get_args(annotation)):
            return (_plain_type(others[0])[0] if len(others) == 1 else Union[tuple(others)]), True  # noqa: UP007
    return annotation, False


def _column_type(kind: Any) -> sa.types.TypeEngine[Any]:
    if get_origin(kind) is Literal:
        return _of_values(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _of_values([member.value for member in kind])
    found = next((COLUMN_TYPES[base] for base in getattr(kind, "__mro__", ()) if base in COLUMN_TYPES), None)
    return found if found is not None else JSON_COLUMN


def _of_values(values: Any) -> sa.types.TypeEngine[Any]:
    """The column type that all of a closed set of values share."""
    shared = {type(value) for value in values}
    return COLUMN_TYPES.get(shared.pop(), JSON_COLUMN) if len(shared) == 1 else JSON_COLUMN


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if values is None:
            return None
        values = values[part]
    return values


def _storable(value: Any, column: str) -> Any:
    """A value as both databases take it."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value.replace("\x00", "�")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Unstorable(f"{column}: {value} does not fit 64 bits")
    return str(value) if isinstance(value, Decimal) else value


def _short(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _meaning(schema: Any, names: bool = False) -> Any:
    """A JSON schema without its notes; `names`: the keys are the user's field names, not the schema's words."""
    if isinstance(schema, list):
        return [_meaning(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = schema.items() if names else ((k, v) for k, v in schema.items() if k not in NOTES)
    literal = ("const", "enum", "default")
    return {
        key: value if key in literal and not names else _meaning(value, key in ("properties", "$defs") and not names)
        for key, value in kept
    }
