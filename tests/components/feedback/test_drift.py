"""The statistic itself: messages of another kind are told from those of the same, and chance is not taken for drift."""

from __future__ import annotations

import random

import pytest

from components import task
from components.feedback.drift import drift
from components.schema import Example

SIZES = {"train": 700, "test": 150, "unseen": 150, "new": 150, "new_unseen": 0, "traffic": 0}


@pytest.fixture(scope="module")
def sets() -> dict[str, list[str]]:
    generator = task.generator("intake")
    assert generator is not None
    made: dict[str, list[Example]] = generator.example_sets(5, SIZES)
    return {name: [row.question for row in rows] for name, rows in made.items()}


def test_messages_of_kinds_never_taught_drift_and_say_by_which_words(sets: dict[str, list[str]]) -> None:
    found = drift(sets["new"], sets["train"][:400], false_alarms=0.001, seed=1)
    assert found.p <= 0.001
    assert found.divergence > found.bound > found.noise > 0
    assert found.excess > 0.03
    assert "hair" in {word.word for word in found.words}
    assert all(word.now > word.taught for word in found.words)


def test_messages_of_the_same_kinds_do_not_and_other_phrasings_only_a_little(sets: dict[str, list[str]]) -> None:
    same = drift(sets["test"], sets["train"][:400], false_alarms=0.001, seed=1)
    assert same.p > 0.001
    assert abs(same.excess) < 0.005
    rephrased = drift(sets["unseen"], sets["train"][:400], false_alarms=0.001, seed=1)
    assert rephrased.excess < 0.02


def test_false_alarms_are_as_rare_as_was_asked_for(sets: dict[str, list[str]]) -> None:
    alarms = 0
    for seed in range(40):
        dealt = random.Random(seed).sample(sets["train"], 160)
        alarms += drift(dealt[:60], dealt[60:], false_alarms=0.05, seed=seed).p <= 0.05
    assert alarms <= 6, "5 % of 40 are 2; more than 6 come by chance once in 300 times"


def test_it_is_the_divergence_of_the_formula() -> None:
    alike = drift(["abc"] * 5, ["abc"] * 5, false_alarms=0.05, seed=0)
    apart = drift(["abc"] * 5, ["xyz"] * 5, false_alarms=0.05, seed=0)
    half = drift(["ab", "xy"] * 4, ["ab"] * 8, false_alarms=0.05, seed=0)
    assert alike.divergence == pytest.approx(0, abs=1e-6)
    assert apart.divergence == pytest.approx(1, abs=1e-6)
    # p puts 1/2 on each of two kinds, q all on one: H(3/4, 1/4) - H(1/2, 1/2) / 2, further bits within a kind cancel
    assert half.divergence == pytest.approx(0.811278 - 0.5, abs=1e-5)


def test_a_single_word_for_hours_is_told_from_noise_and_odd_texts_do_no_harm() -> None:
    odd = ["", " ", "🙂", "مرحبا كيف الحال", "a" * 100_000, "\x00"]
    found = drift(odd, ["hello there"] * 6, false_alarms=0.01, seed=3)
    assert found.divergence > 0.5
    with pytest.raises(ValueError, match="both sides"):
        drift([], ["a"], false_alarms=0.01, seed=3)
