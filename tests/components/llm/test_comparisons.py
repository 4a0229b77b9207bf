"""Only a verdict that holds in both orders becomes a pair; everything else is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from components.llm.client import Client
from components.llm.comparisons import Judged, compare
from components.llm.judge import Choice, Judge, of_endpoint, read
from components.schema import Example, Message
from components.task import Task
from tests.components.llm.conftest import Endpoint

TASK = Task(name="notes", title="Notes", answer="text")


def rows(count: int = 12) -> list[Example]:
    return [
        Example(
            id=f"row-{n}",
            messages=(Message(role="user", content=f"count to {n}"), Message(role="assistant", content=_counted(n))),
        )
        for n in range(2, count + 2)
    ]


def _counted(n: int) -> str:
    return " ".join(map(str, range(1, n + 1)))


def answer(prompt: Sequence[Message], number: int) -> list[str]:
    """A right answer and one that stops too soon, in either order; to every fourth prompt the same twice."""
    n = int(prompt[-1].content.split()[-1])
    right, wrong = _counted(n), _counted(n - 1)
    if number % 4 == 3:
        return [right, right]
    return [right, wrong] if number % 2 else [wrong, right]


def longer(_prompt: Sequence[Message], first: str, second: str) -> Choice:
    return "first" if len(first) > len(second) else "second"


def whole(judge: Judge, parallel: int = 1) -> Judged:
    *_, last = compare(TASK, rows(), answer, judge, "a-judge", "notes@1", parallel)
    return last


def test_a_judge_that_sees_what_is_right_gives_a_pair_for_every_two_different_answers() -> None:
    judged = whole(longer)
    assert (len(judged.pairs), judged.alike, judged.inconsistent, judged.undecided) == (9, 3, 0, 0)
    for pair in judged.pairs:
        assert len(pair.chosen) > len(pair.rejected)
        assert (pair.source, pair.rater) == ("ai", "a-judge")
        assert (pair.chosen_version, pair.rejected_version) == ("notes@1", "notes@1")
    assert (judged.known, judged.agreement) == (9, 1.0)


@pytest.mark.parametrize("position", ["first", "second"])
def test_of_a_judge_who_looks_at_the_position_everything_is_dropped(position: Choice) -> None:
    judged = whole(lambda prompt, first, second: position)
    assert not judged.pairs
    assert (judged.inconsistent, judged.inconsistent_share) == (9, 1.0)
    assert judged.agreement is None


def test_a_judge_who_is_biased_in_half_of_the_cases_keeps_the_other_half_and_is_measured() -> None:
    def judge(prompt: Sequence[Message], first: str, second: str) -> Choice:
        return "first" if int(prompt[-1].content.split()[-1]) % 2 else longer(prompt, first, second)

    judged = whole(judge)
    assert 0 < judged.inconsistent < judged.compared == 9
    assert judged.inconsistent_share == judged.inconsistent / 9
    assert judged.agreement == 1.0


def test_a_judge_who_is_consistently_wrong_is_found_out_where_the_truth_is_known() -> None:
    judged = whole(lambda prompt, first, second: "second" if len(first) > len(second) else "first")
    assert (len(judged.pairs), judged.agreement) == (9, 0.0)


def test_neither_twice_is_undecided_and_neither_once_is_inconsistent() -> None:
    assert whole(lambda *_: "neither").undecided == 9
    judged = whole(lambda prompt, first, second: "first" if len(first) > len(second) else "neither")
    assert (judged.inconsistent, judged.undecided, len(judged.pairs)) == (9, 0, 0)


def test_the_account_does_not_depend_on_how_many_are_asked_at_a_time() -> None:
    assert whole(longer, parallel=4) == whole(longer)


def _shown(request: dict[str, Any]) -> tuple[str, str]:
    asked = request["messages"][-1]["content"]
    first = asked.split("Answer A:\n")[1].split("\n\nAnswer B:")[0]
    return first, asked.split("Answer B:\n")[1].split("\n\nWhich answer")[0]


def test_a_judging_endpoint_gets_the_principles_and_both_orders(endpoint: Endpoint) -> None:
    def reply(request: dict[str, Any]) -> str:
        first, second = _shown(request)
        return '{"better":"A"}' if len(first) > len(second) else "B"

    endpoint.reply = reply
    judged = whole(of_endpoint(Client(endpoint.url, "judge-7b"), "Longer is better.\n"), parallel=3)
    assert (len(judged.pairs), judged.agreement) == (9, 1.0)
    assert len(endpoint.requests) == 18
    assert {request["temperature"] for request in endpoint.requests} == {0}
    assert all("Longer is better." in request["messages"][0]["content"] for request in endpoint.requests)
    assert all(request["response_format"]["type"] == "json_schema" for request in endpoint.requests)
    assert len({_shown(request) for request in endpoint.requests}) == 18


def test_of_an_endpoint_that_always_prefers_what_it_sees_first_everything_is_dropped(endpoint: Endpoint) -> None:
    endpoint.reply = lambda _: '{"better": "A"}'
    judged = whole(of_endpoint(Client(endpoint.url, "judge-7b"), "Longer is better.", constrain=False))
    assert (len(judged.pairs), judged.inconsistent_share) == (0, 1.0)
    assert not any("response_format" in request for request in endpoint.requests)


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ('{"better":"A"}', "first"), ('{"better": "B"}\n', "second"), ('{"better":"neither"}', "neither"),
        ("A", "first"), ("Answer B.", "second"), ('"B"', "second"), ("(A)", "first"),
        ("", "neither"), ("Both are fine.", "neither"), ("A or B", "neither"), ("[1]", "neither"),
        ('{"worse":"A"}', "neither"),
    ],
)  # fmt: skip
def test_only_a_clear_choice_is_read_as_one(said: str, choice: Choice) -> None:
    assert read(said) == choice
