"""Scores of single answers and of whole sets."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluation.metrics import commonest, macro_f1, summary
from components.schema import Example, Message
from components.scoring import rouge_l, score
from components.task import Task
from tests.components.evaluation.conftest import World

WORDS = st.lists(st.sampled_from("abcde"), max_size=12)
TEXT = Task(name="notes", title="Notes", answer="text")
LABEL = Task(name="spam", title="Spam", answer="label", labels=("ham", "spam"))


def example(answer: str, id: str = "x") -> Example:
    return Example(id=id, messages=(Message(role="user", content="?"), Message(role="assistant", content=answer)))


def plain_lcs(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    @lru_cache(None)
    def length(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + length(i + 1, j + 1)
        return max(length(i + 1, j), length(i, j + 1))

    return length(0, 0)


@given(WORDS, WORDS)
def test_rouge_l_is_the_textbooks_longest_common_subsequence(a: list[str], b: list[str]) -> None:
    expected = 2 * plain_lcs(tuple(a), tuple(b)) / (len(a) + len(b)) if a and b else float(a == b)
    assert rouge_l(" ".join(a), " ".join(b)) == pytest.approx(expected)
    assert rouge_l(" ".join(b), " ".join(a)) == pytest.approx(expected)


def test_rouge_l_ignores_case_but_not_order() -> None:
    assert rouge_l("Police killed the gunman", "police KILLED the gunman") == 1
    assert rouge_l("police killed the gunman", "the gunman killed police") == 0.5


def test_a_structured_answer_is_judged_by_its_values_not_its_spelling(world: World) -> None:
    truth = example('{"kind":"tool","colour":"red"}')
    other = score(world.task, "test", truth, '{"colour": "red", "kind": "tool"}')
    assert (other.exact, other.valid, other.fields) == (True, True, {"kind": True, "colour": True})
    half = score(world.task, "test", truth, '{"kind":"tool","colour":"blue"}')
    assert (half.exact, half.valid, half.fields) == (False, True, {"kind": True, "colour": False})
    for broken in ('{"kind":"tool"', "", '{"kind":"tool","colour":"green"}', '{"kind":"tool","colour":"red","x":1}'):
        bad = score(world.task, "test", truth, broken)
        assert (bad.exact, bad.valid, any(bad.fields.values())) == (False, False, False)


def test_an_unknown_label_is_invalid_and_free_text_never_is() -> None:
    assert not score(LABEL, "test", example("ham"), "maybe").valid
    assert score(LABEL, "test", example("ham"), " ham ").exact
    assert score(TEXT, "test", example("all is well"), "well").valid


def test_macro_f1_counts_every_label_alike() -> None:
    from sklearn.metrics import f1_score

    truths, answers = ["ham"] * 8 + ["spam"] * 2, ["ham"] * 9 + ["spam"]
    expected = f1_score(truths, answers, average="macro")
    assert macro_f1(truths, answers) == pytest.approx(expected)
    assert macro_f1(truths, ["ham"] * 10) < 0.5 < sum(t == "ham" for t in truths) / 10


def test_a_set_is_summed_up_in_the_metrics_of_its_kind() -> None:
    rows = [example("ham", "1"), example("ham", "2"), example("spam", "3")]
    scores = [score(LABEL, "test", e, a) for e, a in zip(rows, ["ham", "spam", "oops"], strict=True)]
    found = summary(LABEL, rows, scores)
    assert found["exact"] == pytest.approx(1 / 3)
    assert found["valid"] == pytest.approx(2 / 3)
    assert commonest(rows) == ("ham", pytest.approx(2 / 3))
    assert set(summary(TEXT, [example("a b")], [score(TEXT, "t", example("a b"), "a")])) == {"exact", "similarity"}


def test_an_answer_that_is_no_json_is_wrong_also_where_the_task_has_no_schema() -> None:
    task = Task(name="free", title="Free", answer="json")
    assert not score(task, "test", example('{"a": 1}'), "no idea").exact
    assert score(task, "test", example('{"a": 1}'), '{ "a":1 }').exact
