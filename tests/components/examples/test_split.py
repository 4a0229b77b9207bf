"""A user's rows become train and test so that no paraphrase crosses; near copies are found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.examples import disjoint
from components.examples.similarity import clusters, jaccard, near_pairs, shingles
from components.examples.split import split
from components.schema import Example, Message, content_id
from components.stage import StageError
from components.task import Task

WORDS = (
    "knee",
    "head",
    "back",
    "pain",
    "since",
    "today",
    "week",
    "mild",
    "bad",
    "help",
    "doctor",
    "took",
    "never",
    "often",
    "cold",
    "hot",
    "left",
    "right",
    "arm",
    "leg",
)


def row(question: str, answer: str) -> Example:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Example(id=content_id(question, answer), messages=messages)


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=14))


TEXT = Task(name="notes", title="Notes", answer="text")
LABEL = Task(name="spam", title="Spam", answer="label", labels=("ham", "spam", "rare"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_search_finds_every_pair_that_comparing_all_finds(seed: int) -> None:
    rng = random.Random(seed)
    texts = [sentence(rng) for _ in range(25)]
    for text in texts[:10]:
        words = text.split()
        words[rng.choice((0, -1))] = "changed"
        texts.append(" ".join(words))
    sets = [shingles(text) for text in texts]
    by_hand = {(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts)) if jaccard(sets[i], sets[j]) >= 0.8}
    assert {(i, j) for i, j, _ in near_pairs(texts)} == by_hand


def test_punctuation_and_case_make_no_difference() -> None:
    assert clusters(["My knee hurts, badly today!", "my knee hurts badly today", "something else is here"]) == [0, 0, 2]


def test_a_paraphrase_never_crosses_from_train_to_test() -> None:
    rng = random.Random(1)
    rows = []
    for i in range(120):
        text = sentence(rng) + " " + sentence(rng)
        rows += [row(text, f"a{i}"), row(text + "!", f"b{i}"), row(f"{text} please", f"c{i}")]
    held_out = 0
    for seed in range(5):
        sets, dropped = split(TEXT, rows, seed=seed, held_out_share=0.2)
        assert not dropped
        assert len(sets["train"]) + len(sets["test"]) == 360
        held_out += len(sets["test"])
        disjoint.check(sets)
    assert 0.15 < held_out / (5 * 360) < 0.25


def test_a_row_keeps_its_side_when_others_are_added() -> None:
    rng = random.Random(2)
    rows = [row(sentence(rng), "x y") for _ in range(100)]
    before, _ = split(TEXT, rows[:60], seed=17, held_out_share=0.2)
    after, _ = split(TEXT, rows, seed=17, held_out_share=0.2)
    assert {r.id for r in before["test"]} <= {r.id for r in after["test"]}


def test_another_seed_holds_out_other_rows() -> None:
    rng = random.Random(3)
    rows = [row(sentence(rng), "x y") for _ in range(100)]
    one, other = (split(TEXT, rows, seed=seed, held_out_share=0.2)[0]["test"] for seed in (1, 2))
    assert {r.id for r in one} != {r.id for r in other}


@pytest.mark.parametrize("seed", range(20))
def test_every_label_is_taught(seed: int) -> None:
    rng = random.Random(seed)
    rows = [row(sentence(rng), "rare" if i == 0 else rng.choice(("ham", "spam"))) for i in range(40)]
    sets, _ = split(LABEL, rows, seed=seed, held_out_share=0.5)
    assert {r.answer for r in sets["train"]} == {"ham", "spam", "rare"}
    assert sets["test"]


def test_unusable_rows_are_dropped_with_their_reason() -> None:
    rows = [
        row("one two three four", "ham"),
        row("one two three four", "ham"),
        row("five six seven eight", "eggs"),
        row("  ", "ham"),
        row("nine ten eleven twelve", "spam"),
        row("a b c d", " "),
    ]
    sets, dropped = split(LABEL, rows, seed=1, held_out_share=0.5)
    assert len(sets["train"]) + len(sets["test"]) == 2
    assert [d.reason for d in dropped] == [
        "the same question and answer came before",
        "the answer is not one of the task's labels",
        "the question is empty",
        "the answer is empty",
    ]


def test_two_rows_are_the_least_that_can_be_learned_and_tested() -> None:
    sets, _ = split(TEXT, [row("one two three", "a"), row("four five six", "b")], seed=1, held_out_share=0.01)
    assert len(sets["train"]) == len(sets["test"]) == 1
    with pytest.raises(StageError, match="1 distinct usable rows: at least two are needed"):
        split(TEXT, [row("one two three", "a"), row("one two three!", "b")], seed=1, held_out_share=0.5)


def test_sets_that_share_a_near_copy_are_refused_with_both_rows_named() -> None:
    rng = random.Random(4)
    text = sentence(rng)
    with pytest.raises(StageError, match=r"sets train and test share a message \(similarity 1\.00\)"):
        disjoint.check({"train": [row(text, "a")], "test": [row(text.upper() + ".", "a")]})
    disjoint.check({"train": [row(text, "a"), row(text + "!", "a")], "test": [row(sentence(rng), "a")]})


def of_teacher(question: str, answer: str) -> Example:
    return row(question, answer).model_copy(update={"id": f"t-{question[:40]}", "source": "teacher", "rater": "ai:big"})


def test_a_teacher_s_rows_are_taught_and_never_tested_and_move_no_row_of_people() -> None:
    rng = random.Random(3)
    people = [row(sentence(rng), "fine") for _ in range(40)]
    alone, _ = split(TEXT, people, 17, 0.3)
    asked, near = people[0].question, f"{alone['test'][0].question} please"
    bridge = " ".join(alone["test"][1].question.split()[:13] + alone["train"][0].question.split()[:1])
    others = [of_teacher(sentence(rng), "so") for _ in range(60)]
    before = [of_teacher(bridge, "so"), *(of_teacher(one.question, one.answer) for one in people)]
    sets, dropped = split(TEXT, [*before, *people, of_teacher(asked, "so"), of_teacher(near, "so"), *others], 17, 0.3)
    assert sets["test"] == alone["test"]
    assert sets["train"] == [*alone["train"], *others]
    reasons = {drop.text: drop.reason for drop in dropped}
    assert reasons[asked] == "a person answered the same question"
    assert reasons[near] == reasons[bridge] == "near a test question, and a teacher's answer is no truth to test with"
    disjoint.check(sets)


def test_with_a_teacher_s_rows_alone_there_is_nothing_to_test_with() -> None:
    rng = random.Random(4)
    with pytest.raises(StageError, match="holds 0 distinct usable rows beside those of a teacher, which test nothing"):
        split(TEXT, [of_teacher(sentence(rng), "so") for _ in range(10)], 17, 0.3)
