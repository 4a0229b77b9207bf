"""Structured answers in SQL: typed columns from the schema, one row an answer, nothing invalid."""

from __future__ import annotations

import sys
import types
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from components.feedback import tables
from components.feedback.answers import AnswerTable, Unstorable
from components.feedback.store import Store
from components.task import Task
from tests.components.feedback.conftest import Served


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    site: str
    depth: float | None = None


class Visit(BaseModel):
    """Every kind of field."""

    model_config = ConfigDict(extra="forbid")
    site: Literal["head", "knee"]
    severity: Annotated[int, Field(ge=0, le=10)]
    urgent: bool
    colour: Colour = Colour.RED
    seen: datetime
    born: date | None = None
    price: Decimal = Decimal("0.10")
    tags: list[str] = []
    place: Place
    other: Place | None = None
    either: int | str = 1
    interaction_id: str = "mine"
    place_site: str = "clash"


ANSWER = (
    '{"site":"knee","severity":3,"urgent":true,"seen":"2026-05-01T10:00:00+02:00","price":"12345678901234.567891",'
    '"tags":["a","b"],"place":{"site":"left\\u0000","depth":1.5},"colour":"blue"}'
)


def task_of(model: type[BaseModel] | None, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Task:
    if model is None:
        return Task.model_validate({"name": "visit", "title": "", "answer": "text", **changes})
    module = types.ModuleType("tasks.visit.schema")
    module.Answer = model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tasks.visit.schema", module)
    return Task.model_validate({"name": "visit", "title": "", "answer": "json", "schema": "schema.py:Answer"})


def test_every_field_is_a_typed_column_and_nested_ones_are_flattened(
    store: Store, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = AnswerTable(task_of(Visit, monkeypatch))
    store.add_interaction(served("one", answer=ANSWER), (table, table.row(ANSWER)))
    inspected = {c["name"]: c for c in sa.inspect(store.engine).get_columns(table.name)}
    assert list(inspected)[:5] == ["interaction_id", "served_at", "model_version", "site", "severity"]
    assert isinstance(inspected["severity"]["type"], sa.BigInteger)
    assert isinstance(inspected["urgent"]["type"], sa.Boolean)
    assert isinstance(inspected["seen"]["type"], sa.DateTime)
    assert inspected["other_depth"]["nullable"]
    assert not inspected["site"]["nullable"]
    with store.engine.connect() as connection:
        row = connection.execute(sa.select(table.table)).mappings().one()
    assert (row["interaction_id"], row["model_version"], row["severity"], row["urgent"]) == ("one", "1", 3, True)
    assert row["seen"] == datetime(2026, 5, 1, 8, tzinfo=UTC)
    assert (row["place_site"], row["place_site_2"], row["place_depth"]) == ("left�", "clash", 1.5)
    assert (row["colour"], row["price"], row["tags"]) == ("blue", "12345678901234.567891", ["a", "b"])
    assert (row["born"], row["other_site"], row["interaction_id_2"]) == (None, None, "mine")


def test_plain_sql_finds_them(store: Store, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    table = AnswerTable(task_of(Visit, monkeypatch))
    for name in ("one", "two"):
        store.add_interaction(served(name, answer=ANSWER), (table, table.row(ANSWER)))
    query = (
        f"SELECT count(*) FROM {table.name} a JOIN interactions i ON i.id = a.interaction_id "
        "WHERE a.site = 'knee' AND a.severity < 5"
    )
    with store.engine.connect() as connection:
        assert connection.execute(sa.text(query)).scalar() == 2
        listed = connection.execute(sa.select(tables.answer_tables)).mappings().one()
    assert (listed["name"], listed["task"]) == (table.name, "visit")
    assert listed["columns"]["place_depth"] == "place.depth"


def test_the_same_interaction_again_is_one_row(store: Store, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    table = AnswerTable(task_of(Visit, monkeypatch))
    for _ in range(2):
        store.add_interaction(served("one", answer=ANSWER), (table, table.row(ANSWER)))
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table.table)).scalar() == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("{}", "site: Field required"),
        ("no json", "answer: Invalid JSON"),
        (ANSWER.replace(":3,", ":11,"), "severity"),
        (ANSWER.replace('"colour":"blue"', f'"either":{2**70}'), None),
    ],
)
def test_what_does_not_validate_is_no_row(answer: str, why: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    table = AnswerTable(task_of(Visit, monkeypatch))
    if why is None:
        assert table.row(answer)["either"] == 2**70, "a union is kept as JSON, which has no largest number"
        return
    with pytest.raises(Unstorable, match=why):
        table.row(answer)


def test_a_number_beyond_64_bits_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Big(BaseModel):
        n: int

    with pytest.raises(Unstorable, match=r"n: 1\d+ does not fit 64 bits"):
        AnswerTable(task_of(Big, monkeypatch)).row(f'{{"n":1{"0" * 25}}}')


def test_another_schema_is_another_table_and_another_wording_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class First(BaseModel):
        title: str = Field(description="as first worded")

    class Reworded(BaseModel):
        """Now with a docstring."""

        title: str = Field(description="worded anew")

    class Other(BaseModel):
        title: str
        description: str

    First.__name__ = Reworded.__name__ = Other.__name__ = "Answer"
    names = [AnswerTable(task_of(model, monkeypatch)).name for model in (First, Reworded, Other)]
    assert names[0] == names[1] != names[2]


def test_text_and_label_tasks_have_one_column(store: Store, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    table = AnswerTable(task_of(None, monkeypatch, answer="label", labels=("spam", "ham")))
    store.add_interaction(served("one", answer="spam"), (table, table.row(" spam ")))
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(table.table.c.answer)).scalar() == "spam"
    with pytest.raises(Unstorable):
        table.row("eggs")


def test_a_schema_that_holds_itself_ends_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    table = AnswerTable(task_of(Tree, monkeypatch))
    assert [field.column for field in table.fields] == ["name", "left"]
    assert table.row('{"name":"a","left":{"name":"b"}}') == {"name": "a", "left": {"name": "b", "left": None}}


class Tree(BaseModel):
    name: str
    left: Tree | None = None
