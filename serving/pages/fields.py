"""The fields of a structured answer, as a form draws them: read from the task's JSON schema, filled and read back.

What no form can draw (maps, unions, lists of objects, schemas that contain themselves) becomes a field that
holds JSON; an answer that is no object, or has too many fields, is JSON altogether.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

MOST_FIELDS = 60
"""Beyond this a form is no help."""

Path: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["text", "number", "integer", "yes_no", "choice", "choices", "lines", "json"]


@dataclass(frozen=True)
class Field:
    """One thing to fill in."""

    path: Path
    kind: Kind
    nullable: bool = False
    """null is a valid value, and what an empty field means."""
    required: bool = True
    """Where it is not, an empty field is left out."""
    choices: tuple[Any, ...] = ()
    items: Kind = "text"
    """What the lines of a list are."""
    help: str = ""

    @property
    def name(self) -> str:
        """As people read it."""
        return readable(self.path[-1])


@dataclass(frozen=True)
class Group:
    """An object: fields that belong together."""

    path: Path
    parts: tuple[Part, ...]
    optional: bool = False
    """It may be left out or null as a whole: then a form asks first whether it is given."""
    required: bool = True
    nullable: bool = False
    help: str = ""

    @property
    def name(self) -> str:
        return readable(self.path[-1])


Part: TypeAlias = Field | Group


def readable(name: str) -> str:
    """A field's name for people."""
    return name.replace("_", " ")


def drawn(model: type[BaseModel]) -> Group | None:
    """The form of a task's answers; None where only a JSON editor will do."""
    schema = model.model_json_schema()
    root = _resolved(schema, schema.get("$defs", {}))
    if root.get("type") != "object" or not root.get("properties"):
        return None
    form = _group((), root, schema.get("$defs", {}), frozenset({_own_name(schema)}))
    return form if sum(1 for _ in leaves(form)) <= MOST_FIELDS else None


def _own_name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def leaves(part: Part) -> Iterator[Field]:
    """All fields, in the order of the form."""
    if isinstance(part, Field):
        yield part
    else:
        for inner in part.parts:
            yield from leaves(inner)


def choices_of_being_given(part: Part) -> Iterator[Group]:
    """The groups that may be left out as a whole, outer ones first."""
    if isinstance(part, Group):
        if part.optional:
            yield part
        for inner in part.parts:
            yield from choices_of_being_given(inner)


def _group(path: Path, schema: Mapping[str, Any], defs: Mapping[str, Any], inside: frozenset[str]) -> Group:
    required = set(schema.get("required", ()))
    return Group(
        path,
        tuple(
            _part((*path, name), inner, defs, inside, name in required) for name, inner in schema["properties"].items()
        ),
        help=str(schema.get("description", "")),
    )


def _part(
    path: Path, schema: Mapping[str, Any], defs: Mapping[str, Any], inside: frozenset[str], required: bool
) -> Part:
    kind, nullable = _without_null(schema, defs)
    named = _own_name(kind)
    resolved = _resolved(kind, defs)
    help = str(schema.get("description") or (resolved.get("description", "") if resolved.get("enum") is None else ""))
    if resolved.get("type") == "object" and resolved.get("properties") and named not in inside:
        group = _group(path, resolved, defs, inside | {named} - {""})
        return replace(group, optional=nullable or not required, required=required, nullable=nullable)
    if (values := _values(resolved)) is not None:
        return Field(path, "choice", nullable, required, values, help=help)
    match resolved.get("type"):
        case "string":
            return Field(path, "text", nullable, required, help=help)
        case "integer":
            return Field(path, "integer", nullable, required, help=help)
        case "number":
            return Field(path, "number", nullable, required, help=help)
        case "boolean" if nullable or not required:
            return Field(path, "choice", nullable, required, (True, False), help=help)
        case "boolean":
            return Field(path, "yes_no", help=help)
        case "array":
            return _list(path, resolved, defs, nullable, required, help)
        case _:
            return Field(path, "json", nullable, required, help=help)


def _list(
    path: Path, schema: Mapping[str, Any], defs: Mapping[str, Any], nullable: bool, required: bool, help: str
) -> Field:
    items = _resolved(schema.get("items") or {}, defs)
    values = _values(items)
    if "prefixItems" not in schema and values is not None and schema.get("uniqueItems"):
        return Field(path, "choices", nullable, required, values, help=help)
    kinds: dict[Any, Kind] = {"string": "text", "integer": "integer", "number": "number"}
    kind = kinds.get(items.get("type"))
    if "prefixItems" in schema or kind is None:
        return Field(path, "json", nullable, required, help=help)
    return Field(path, "lines", nullable, required, items=kind, help=help)


def _values(schema: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The values of an enum, a Literal or a constant."""
    if "const" in schema:
        return (schema["const"],)
    values = schema.get("enum")
    return tuple(values) if values and all(isinstance(v, str | int | float) for v in values) else None


def _without_null(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """A schema without null, and whether null was allowed."""
    branches = schema.get("anyOf")
    if not branches:
        return schema, schema.get("type") == "null"
    others = [branch for branch in branches if branch.get("type") != "null"]
    return (others[0] if len(others) == 1 else {"anyOf": others}), len(others) < len(branches)


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    seen = 0
    while "$ref" in schema and seen < 20:
        schema = defs.get(_own_name(schema), {})
        seen += 1
    if len(parts := schema.get("allOf", ())) == 1:
        return _resolved(parts[0], defs)
    return schema


# Filled in, and read back ------------------------------------------------------------------


def as_typed(field: Field, answer: Any) -> Any:
    """A field's value in an answer, as its control shows it: text, a list of texts, or the number of a choice."""
    value = at(answer, field.path)
    match field.kind:
        case "choice":
            return next((str(n) for n, choice in enumerate(field.choices) if _same(choice, value)), "")
        case "choices":
            chosen = value if isinstance(value, list) else []
            return [str(n) for n, choice in enumerate(field.choices) if any(_same(choice, one) for one in chosen)]
        case "yes_no":
            return value is True
        case "lines":
            return "\n".join(map(_text, value)) if isinstance(value, list) else ""
        case "json":
            return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
        case _:
            return _text(value)


def is_given(group: Group, answer: Any) -> bool:
    """Does the answer hold this object?"""
    return isinstance(at(answer, group.path), dict)


def read_back(form: Group, typed: Mapping[Path, Any], given: Mapping[Path, bool]) -> dict[str, Any]:
    """The answer that the controls show; what no reader can make sense of stays text, for validation to refuse."""
    answer: dict[str, Any] = {}
    for part in form.parts:
        if isinstance(part, Field):
            found, value = _value(part, typed.get(part.path))
            if found:
                answer[part.path[-1]] = value
        elif not part.optional or given.get(part.path):
            answer[part.path[-1]] = read_back(part, typed, given)
        elif part.required or part.nullable:
            answer[part.path[-1]] = None
    return answer


def _value(field: Field, typed: Any) -> tuple[bool, Any]:
    """Whether the field is in the answer, and its value."""
    empty = typed in (None, "", []) or (isinstance(typed, str) and not typed.strip())
    if empty and field.nullable:
        return True, None
    if empty and (not field.required or field.kind in ("choice", "number", "integer", "json")):
        return False, None
    match field.kind:
        case "choice":
            return True, field.choices[int(typed)]
        case "choices":
            return True, [field.choices[int(one)] for one in sorted(typed, key=int)]
        case "yes_no":
            return True, bool(typed)
        case "lines":
            lines = [line.strip() for line in str(typed or "").splitlines() if line.strip()]
            return True, [_number(line, field.items) for line in lines]
        case "json":
            try:
                return True, json.loads(typed)
            except json.JSONDecodeError:
                return True, typed
        case "text":
            return True, typed or ""
        case _:
            return True, _number(str(typed).strip(), field.kind)


def _number(text: str, kind: Kind) -> Any:
    """A number that was typed, in whatever digits (٣ is 3); text where it is none."""
    if kind not in ("integer", "number"):
        return text
    plain = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else "." if c == "٫" else c for c in text)
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        return float(plain)
    except ValueError:
        return text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _same(choice: Any, value: Any) -> bool:
    return type(choice) is type(value) and choice == value


def at(answer: Any, path: Path) -> Any:
    """What an answer holds at a path; None where it holds nothing there."""
    for name in path:
        if not isinstance(answer, dict):
            return None
        answer = answer.get(name)
    return answer


def faults(form: Group, model: type[BaseModel], answer: Mapping[str, Any]) -> dict[Path, ErrorDetails]:
    """The first problem of every field (or of the answer as a whole, under the empty path)."""
    try:
        model.model_validate_json(json.dumps(answer, ensure_ascii=False))
    except ValidationError as error:
        known = [field.path for field in leaves(form)]
        found: dict[Path, ErrorDetails] = {}
        for problem in error.errors(include_url=False):
            found.setdefault(_whose(known, problem["loc"]), problem)
        return found
    return {}


def _whose(known: Sequence[Path], where: tuple[int | str, ...]) -> Path:
    """The field that a problem's location lies in; for a whole group that is missing, its first field."""
    names = tuple(str(part) for part in where)
    inside = [path for path in known if names[: len(path)] == path]
    if inside:
        return max(inside, key=len)
    return next((path for path in known if names and path[: len(names)] == names), ())
