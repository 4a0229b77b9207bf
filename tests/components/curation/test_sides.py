"""Once locked, always locked; once taught, always taught; near-duplicates never on both sides."""

from __future__ import annotations

import random

from components.curation.near import NearIndex
from components.curation.sides import Sides
from tests.components.curation.conftest import sentence


def variant(text: str, number: int) -> str:
    """The text with one word of its middle changed."""
    words = text.split()
    words[number % len(words)] = f"w{number}"
    return " ".join(words)


def stream(seed: int, count: int = 300) -> list[str]:
    """Questions of which many are variants, and variants of variants, of earlier ones."""
    draw = random.Random(seed)
    texts: list[str] = []
    for number in range(count):
        fresh = not texts or draw.random() < 0.4
        texts.append(sentence(seed * 1000 + number, 30) if fresh else variant(draw.choice(texts), draw.randrange(30)))
    return texts


def test_a_side_never_changes_however_many_questions_follow() -> None:
    for seed in range(3):
        texts = stream(seed)
        short, long = Sides(0.7, 0.3, 17), Sides(0.7, 0.3, 17)
        early = [short.assign(text) for text in texts[:100]]
        late = [long.assign(text) for text in texts]
        assert late[:100] == early
        assert [long.assign(text) for text in texts] == late


def test_no_taught_question_is_near_a_locked_one() -> None:
    texts = stream(7)
    sides = Sides(0.7, 0.3, 17)
    by_side = {side: [t for t in texts if sides.assign(t) == side] for side in ("taught", "locked")}
    assert min(map(len, by_side.values())) > 20
    locked = NearIndex(0.7)
    for text in by_side["locked"]:
        locked.add(text, text)
    assert [text for text in by_side["taught"] if locked.matches(text)] == []


def test_a_question_between_both_sides_is_used_for_neither() -> None:
    words = [f"w{n}" for n in range(20)]
    one, other, bridge = " ".join(words[:15]), " ".join(words[5:]), " ".join(words)
    for seed in range(200):
        sides = Sides(0.5, 0.5, seed)
        if {sides.assign(one), sides.assign(other)} == {"taught", "locked"}:
            break
    index = NearIndex(0.5)
    index.add("one", one)
    index.add("other", other)
    assert len(index.matches(bridge)) == 2
    assert sides.assign(bridge) == "torn"


def test_what_is_near_a_test_question_is_locked() -> None:
    sides = Sides(0.7, 0.0, 17)
    text = sentence(1, 30)
    sides.lock(text)
    assert sides.assign(variant(text, 5)) == "locked"
    assert sides.assign(sentence(2, 30)) == "taught"


def test_the_share_of_locked_questions_is_the_one_asked_for() -> None:
    sides = Sides(0.8, 0.25, 17)
    locked = sum(sides.assign(sentence(n)) == "locked" for n in range(1000))
    assert 200 < locked < 300


def test_of_the_locked_questions_a_share_chooses_and_no_taught_one_becomes_locked_for_it() -> None:
    plain, tuned = Sides(0.8, 0.25, 17), Sides(0.8, 0.25, 17, tuning=0.2)
    before, after = ([sides.assign(sentence(n)) for n in range(2000)] for sides in (plain, tuned))
    assert {(a, b) for a, b in zip(before, after, strict=True)} == {
        ("taught", "taught"),
        ("locked", "locked"),
        ("locked", "tuning"),
    }
    assert 70 < after.count("tuning") < 130


def test_what_is_near_a_tuning_question_is_neither_taught_nor_a_test() -> None:
    sides = Sides(0.7, 0.0, 17)
    text = sentence(1, 30)
    sides.tune(text)
    assert sides.assign(variant(text, 5)) == "tuning"
    assert sides.pair_side(variant(text, 5)) == "locked", "its pair is shown and not taught"


def test_another_seed_draws_other_questions() -> None:
    texts = [sentence(n) for n in range(100)]
    drawn = [[Sides(0.8, 0.5, seed).assign(text) for text in texts] for seed in (1, 2)]
    assert drawn[0] != drawn[1]
