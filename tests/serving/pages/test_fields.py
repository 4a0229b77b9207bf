"""The fields of a form: what is drawn how, what the controls show, and what they give back."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from serving.pages import fields


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    site: str = Field(min_length=2)
    depth: float | None = None


class Node(BaseModel):
    name: str
    inside: Node | None = None


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(pattern="^[a-z]+$", description="In lower case.")
    grade: int = Field(ge=0, le=10)
    share: float | None
    urgent: bool
    seen: bool | None = None
    colour: Colour
    level: Literal[1, 2, "high"] = 1
    day: date | None = None
    place: Place
    other: Place | None = None
    words: list[str]
    counts: list[int] = []
    kinds: set[Literal["a", "b"]] = set()
    places: list[Place] = []
    anything: dict[str, int] = {}
    either: int | str = 0
    tree: Node | None = None


WHOLE: dict[str, Any] = {
    "title": "knee", "grade": 3, "share": 0.5, "urgent": True, "seen": None, "colour": "blue", "level": "high",
    "day": "2026-01-31", "place": {"site": "left", "depth": 2.5}, "other": None, "words": ["one", "two"],
    "counts": [1, 2], "kinds": ["b"], "places": [{"site": "in", "depth": None}], "anything": {"x": 1}, "either": "y",
    "tree": {"name": "root", "inside": {"name": "leaf", "inside": None}},
}  # fmt: skip


@pytest.fixture(scope="module")
def form() -> fields.Group:
    drawn = fields.drawn(Note)
    assert drawn is not None
    return drawn


def filled(form: fields.Group, answer: Any) -> tuple[dict[fields.Path, Any], dict[fields.Path, bool]]:
    typed = {field.path: fields.as_typed(field, answer) for field in fields.leaves(form)}
    given = {group.path: fields.is_given(group, answer) for group in fields.choices_of_being_given(form)}
    return typed, given


def test_every_type_has_its_control_and_what_no_form_can_draw_is_json(form: fields.Group) -> None:
    kinds = {".".join(field.path): field.kind for field in fields.leaves(form)}
    assert kinds == {
        "title": "text", "grade": "integer", "share": "number", "urgent": "yes_no", "seen": "choice",
        "colour": "choice", "level": "choice", "day": "text", "place.site": "text", "place.depth": "number",
        "other.site": "text", "other.depth": "number", "words": "lines", "counts": "lines", "kinds": "choices",
        "places": "json", "anything": "json", "either": "json", "tree.name": "text", "tree.inside": "json",
    }  # fmt: skip
    assert next(fields.leaves(form)).help == "In lower case."
    assert [group.path for group in fields.choices_of_being_given(form)] == [("other",), ("tree",)]


def test_an_answer_comes_back_from_the_form_as_it_went_in(form: fields.Group) -> None:
    typed, given = filled(form, WHOLE)
    assert fields.read_back(form, typed, given) == WHOLE
    assert fields.faults(form, Note, WHOLE) == {}


def test_numbers_are_numbers_in_any_digits_and_what_is_none_stays_for_validation_to_refuse(form: fields.Group) -> None:
    typed, given = filled(form, WHOLE)
    typed[("grade",)], typed[("share",)] = "٧", "٠٫٢٥"
    answer = fields.read_back(form, typed, given)
    assert (answer["grade"], answer["share"]) == (7, 0.25)
    typed[("grade",)], typed[("counts",)] = "seven", "1\n\n2.5"
    answer = fields.read_back(form, typed, given)
    assert answer["grade"] == "seven"
    assert set(fields.faults(form, Note, answer)) == {("grade",), ("counts",)}
    typed[("grade",)] = str(2**60)
    assert fields.read_back(form, typed, given)["grade"] == 2**60


def test_empty_means_null_where_null_is_allowed_and_missing_where_it_is_not(form: fields.Group) -> None:
    typed, given = filled(form, {})
    answer = fields.read_back(form, typed, given)
    assert answer["share"] is None
    assert answer["other"] is None
    assert "grade" not in answer
    found = fields.faults(form, Note, answer)
    assert found[("grade",)]["type"] == "missing"
    assert found[("title",)]["type"] == "string_pattern_mismatch"
    assert found[("place", "site")]["type"] == "string_too_short"


def test_a_fault_inside_a_list_or_an_object_is_its_fields(form: fields.Group) -> None:
    wrong = {**WHOLE, "words": ["one", 2], "place": {"site": "x"}, "tree": {"name": 1}}
    assert set(fields.faults(form, Note, wrong)) == {("words",), ("place", "site"), ("tree", "name")}


def test_what_is_no_object_or_too_large_is_left_to_the_json_editor() -> None:
    class Scores(RootModel[list[int]]):
        pass

    many: Any = type("Many", (BaseModel,), {"__annotations__": {f"f{n}": str for n in range(fields.MOST_FIELDS + 1)}})
    assert fields.drawn(Scores) is None
    assert fields.drawn(many) is None
    assert fields.drawn(Node) is not None


def test_an_answer_that_is_no_json_object_fills_nothing(form: fields.Group) -> None:
    for answer in (None, [], "text", 3):
        typed, given = filled(form, answer)
        assert not any(given.values())
        assert set(map(json.dumps, typed.values())) <= {'""', "[]", "false"}
