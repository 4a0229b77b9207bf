"""What a teacher says becomes a row only where it is a valid answer; the rest is refused with its reason."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from components.config import TeacherSettings
from components.llm.client import Client
from components.llm.memory import Memory
from components.llm.teacher import GIVEN_UP, Labelled, label, strict, teacher
from components.schema import Example, Message
from components.stage import StageError
from components.task import Task
from tests.components.llm.conftest import Endpoint, completion

SPAM = Task(name="spam", title="Spam", answer="label", labels=("ham", "spam"), system="Answer ham or spam.")
TEXT = Task(name="notes", title="Notes", answer="text")
NOTE = Task.model_validate(
    {"name": "note", "title": "Note", "answer": "json", "schema": "schema.py:Note", "system": "Write a note."}
)
SCHEMA = """
from pydantic import BaseModel

class Pain(BaseModel):
    site: str
    days: int | None = None

class Note(BaseModel):
    pain: Pain
    calm: bool = True
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks/note").mkdir(parents=True)
    (tmp_path / "tasks/note/schema.py").write_text(SCHEMA)
    monkeypatch.chdir(tmp_path)


def user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def whole(task: Task, endpoint: Endpoint, prompts: list[str] | None = None, **settings: Any) -> Labelled:
    """Every prompt labelled by the endpoint as it behaves now."""
    more = {key: settings.pop(key) for key in ("instruction", "shots") if key in settings}
    wanted = TeacherSettings.model_validate({"parallel": 1} | settings)
    asked = [user(text) for text in prompts or ["one", "two"]]
    with Memory(Path("answers.jsonl")) as memory, Client(endpoint.url, "big", pause=0) as client:
        *_, last = label(asked, teacher(task, client, wanted, memory, seed=5, **more), wanted.parallel)
    return last


def test_a_valid_answer_is_a_row_that_says_who_answered_and_when(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: " Spam.\n"
    done = whole(SPAM, endpoint)
    assert [row.answer for row in done.rows] == ["spam", "spam"]
    (row, _) = done.rows
    assert (row.source, row.rater, row.group) == ("teacher", "ai:big", "spam")
    assert row.created_at is not None
    assert Example.model_validate_json(row.model_dump_json()) == row
    assert row.prompt == user("one"), "the instruction is the teacher's, not the row's"
    assert endpoint.requests[0]["messages"] == [
        {"role": "system", "content": "Answer ham or spam."},
        {"role": "user", "content": "one"},
    ]
    assert set(endpoint.requests[0]) == {"model", "messages", "temperature"}, (
        "what some servers refuse is not sent idly"
    )


def test_a_json_answer_is_held_to_the_schema_in_strict_form_and_kept_in_one_form(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: (
        '<think>hm</think>\n```json\n{ "calm": false,\n "pain": {"site": "knee", "days": 3} }\n```'
    )
    done = whole(NOTE, endpoint)
    assert done.rows[0].answer == '{"pain":{"site":"knee","days":3},"calm":false}'
    form = endpoint.requests[0]["response_format"]["json_schema"]
    assert (form["name"], form["strict"]) == ("note", True)
    for made in (form["schema"], form["schema"]["$defs"]["Pain"]):
        assert made["required"] == list(made["properties"])
        assert made["additionalProperties"] is False
        assert not any("default" in part for part in made["properties"].values())


def test_strict_form_keeps_names_that_are_also_words_of_schemas() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Odd(BaseModel):
        default: Colour = Colour.RED
        properties: dict[str, int] = {}

    made = strict(Odd.model_json_schema())
    assert made["required"] == ["default", "properties"]
    assert made["properties"]["properties"]["additionalProperties"] == {"type": "integer"}
    assert made["$defs"]["Colour"]["enum"] == ["red"] or made["$defs"]["Colour"]["const"] == "red"


def test_a_server_that_knows_no_schemas_is_told_it_in_words(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: "no"
    whole(NOTE, endpoint, constrain=False)
    assert "response_format" not in endpoint.requests[0]
    system = endpoint.requests[0]["messages"][0]["content"]
    assert system.startswith("Write a note.\n\nAnswer with one JSON object of this JSON schema")
    assert '"site"' in system


def test_an_instruction_and_shots_take_the_place_of_the_system_message(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: "ham"
    shot = Example(id="s", messages=(*user("win"), Message(role="assistant", content="spam")))
    whole(SPAM, endpoint, instruction="Decide.\n", shots=[shot])
    assert [m["content"] for m in endpoint.requests[0]["messages"]] == ["Decide.", "win", "spam", "one"]


@pytest.mark.parametrize(
    ("task", "answer", "reason"),
    [
        (SPAM, "maybe", "'maybe' is none of the labels ham, spam"),
        (SPAM, "", "the answer is empty"),
        (NOTE, '{"pain": {"site": 3}}', "pain.site: Input should be a valid string"),
        (NOTE, "[1]", "Input should be an object"),
        (TEXT, completion("so far", finish="length"), "the answer was cut off"),
        (TEXT, completion("", finish="content_filter"), "content filter"),
        (TEXT, completion("", refusal="I can't."), "the teacher declined"),
        (TEXT, " <think>long</think> ", "the answer is empty"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_reason(task: Task, answer: str, reason: str, endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: (200, answer) if answer.startswith('{"object"') else answer
    done = whole(task, endpoint, ["one"])
    assert not done.rows
    assert reason in done.unanswered[0].reason
    assert done.unanswered[0].rater == "ai:big"


def test_no_prompt_is_asked_twice_refused_ones_included(endpoint: Endpoint) -> None:
    endpoint.reply = lambda request: "ham" if request["messages"][-1]["content"] == "one" else "?"
    first = whole(SPAM, endpoint)
    assert (first.requests, len(first.rows), len(first.unanswered)) == (2, 1, 1)
    again = whole(SPAM, endpoint)
    assert (again.requests, again.rows, again.unanswered) == (0, first.rows, first.unanswered)
    assert len(endpoint.requests) == 2
    assert whole(SPAM, endpoint, instruction="Other words.").requests == 2, "another question is asked anew"


def test_of_several_samples_only_what_more_than_half_say_is_taught(endpoint: Endpoint) -> None:
    said = {"one": ["ham", "spam", "ham"], "two": ["ham", "spam", "?"]}
    seen: list[Any] = []

    def reply(request: dict[str, Any]) -> str:
        seen.append(request["seed"])
        return said[request["messages"][-1]["content"]][request["seed"] - 5]

    endpoint.reply = reply
    done = whole(SPAM, endpoint, samples=3, temperature=0.7)
    assert [row.answer for row in done.rows] == ["ham"]
    assert done.unanswered[0].answers == ("ham", "spam", "?")
    assert "no answer that more than half of 3 samples give" in done.unanswered[0].reason
    assert sorted(seen) == [5, 5, 6, 6, 7, 7]


def test_a_prompt_that_the_server_refuses_costs_that_prompt_alone(endpoint: Endpoint) -> None:
    def reply(request: dict[str, Any]) -> str | tuple[int, str]:
        long = request["messages"][-1]["content"] == "long"
        return (400, json.dumps({"error": {"message": "context length exceeded"}})) if long else "ham"

    endpoint.reply = reply
    done = whole(SPAM, endpoint, ["long", "one"])
    assert len(done.rows) == 1
    assert done.unanswered[0].reason.endswith("refused with 400: context length exceeded")
    assert whole(SPAM, endpoint, ["long", "one"]).requests == 1, "what was not answered is asked again"


def test_a_server_that_refuses_every_prompt_is_given_up_with_its_words(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: (400, '{"error":{"message":"response_format is unknown"}}')
    with pytest.raises(StageError, match="refused with 400: response_format is unknown"):
        whole(SPAM, endpoint, ["one"])
    endpoint.requests.clear()
    with pytest.raises(StageError, match="response_format is unknown"):
        whole(SPAM, endpoint, [str(n) for n in range(50)])
    assert len(endpoint.requests) <= GIVEN_UP + 2


@pytest.mark.parametrize(("status", "said"), [(401, "its key is read from"), (404, "no such model")])
def test_what_every_prompt_would_be_refused_for_ends_it_at_once(status: int, said: str, endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: (status, '{"error":{"message":"no such model"}}')
    with pytest.raises(StageError, match=said):
        whole(SPAM, endpoint, [str(n) for n in range(50)])
    assert len(endpoint.requests) <= 3


def test_the_account_does_not_depend_on_how_many_are_asked_at_a_time(endpoint: Endpoint) -> None:
    endpoint.reply = lambda request: "ham" if "3" not in request["messages"][-1]["content"] else "?"
    prompts = [str(n) for n in range(40)]
    apart = whole(SPAM, endpoint, prompts)
    together = whole(SPAM, endpoint, prompts, parallel=8, key_env="OTHER")
    assert (together.rows, together.unanswered) == (apart.rows, apart.unanswered)
    Path("answers.jsonl").unlink()
    anew = whole(SPAM, endpoint, prompts, parallel=8)
    assert [row.messages for row in anew.rows] == [row.messages for row in apart.rows]
