"""Rows kept out of teaching."""

from __future__ import annotations

from components.schema import Example, Message
from components.training.heldout import kept_out


def _rows(texts: list[str]) -> list[Example]:
    return [
        Example(id=f"{n}", messages=(Message(role="user", content=text), Message(role="assistant", content="yes")))
        for n, text in enumerate(texts)
    ]


def test_near_copies_stay_on_one_side_and_the_choice_is_seeded() -> None:
    words = [f"word{n} said{n * 7} and{n * 3} then{n * 11} more{n}" for n in range(40)]
    examples = _rows([text for text in words for _ in range(3)])
    taught, held = kept_out(examples, 20, seed=1)
    assert 20 <= len(held) <= 22
    assert not {e.question for e in taught} & {e.question for e in held}
    assert sorted(int(e.id) for e in [*taught, *held]) == list(range(120))
    assert kept_out(examples, 20, seed=1) == (taught, held)
    assert kept_out(examples, 20, seed=2)[1] != held
    assert {e.question for e in held} <= {e.question for e in kept_out(examples[:-3], 20, seed=1)[1]} | {words[-1]}


def test_at_most_half_is_kept_out_and_nothing_where_nothing_is_asked_for() -> None:
    examples = _rows([f"one{n} two{n} three{n} four{n}" for n in range(10)])
    assert len(kept_out(examples, 100, seed=1)[1]) == 5
    assert kept_out(examples, 0, seed=1) == (examples, [])
    alike = _rows(["always the same question here"] * 10)
    assert kept_out(alike, 3, seed=1) == (alike, [])
