"""The language itself: what patterns stand for, and that what is kept from teaching stays kept."""

from __future__ import annotations

import random

import pytest

from tasks.intake import durations, medications, severities
from tasks.intake.families import Family
from tasks.intake.known_families import KNOWN
from tasks.intake.new_families import NEW
from tasks.intake.noise import typo
from tasks.intake.pattern import expand

FAMILIES = (*KNOWN, *NEW)


def test_a_pattern_stands_for_every_combination_of_its_alternatives() -> None:
    assert expand("my [head|neck] [|really ]hurts") == (
        "my head hurts",
        "my head really hurts",
        "my neck hurts",
        "my neck really hurts",
    )
    assert expand("a [b [c|d]|e]") == ("a b c", "a b d", "a e")


@pytest.mark.parametrize("pattern", ["a [b", "a ]b", "[a|b]]"])
def test_brackets_that_do_not_match_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="unmatched"):
        expand(pattern)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_family_has_many_phrasings_and_keeps_some_from_teaching(family: Family) -> None:
    seen = [text for phrasing in family.seen_phrasings for text in phrasing.texts]
    unseen = [text for phrasing in family.unseen_phrasings for text in phrasing.texts]
    assert len(family.seen_phrasings) >= 8
    assert len(seen) >= 25
    assert len(unseen) >= 6
    assert not [(a, b) for a in unseen for b in seen if _holds(b, a)]


def test_no_phrasing_belongs_to_two_families() -> None:
    owner: dict[str, str] = {}
    for family in FAMILIES:
        for phrasing in (*family.seen_phrasings, *family.unseen_phrasings):
            for text in phrasing.texts:
                for site in family.sites:
                    said = text.replace("{site}", site)
                    assert owner.setdefault(said, family.name) == family.name, said


def test_phrasings_say_nothing_of_severity_numbers_or_medicine() -> None:
    words = {"severe", "mild", "moderate", "unbearable", "slight", "ibuprofen", "paracetamol", "10"}
    for family in FAMILIES:
        for phrasing in (*family.seen_phrasings, *family.unseen_phrasings):
            for text in phrasing.texts:
                assert words.isdisjoint(text.split()), text


def test_details_kept_from_teaching_stand_in_no_taught_detail() -> None:
    def check(seen: tuple[str, ...], unseen: tuple[str, ...]) -> None:
        assert not [(a, b) for a in unseen for b in seen if _holds(b, a)]

    taught_durations = (*durations.ADVERBIALS, *durations.SENTENCES, *durations.SINGLE)
    check(taught_durations, (*durations.UNSEEN_ADVERBIALS, *durations.UNSEEN_SENTENCES, *durations.UNSEEN_SINGLE))
    every_severity = tuple(text for texts in severities.SENTENCES.values() for text in texts)
    for level in severities.SENTENCES:
        check(every_severity, (*severities.UNSEEN_SENTENCES[level], *severities.UNSEEN_ADJECTIVES[level]))
    check(severities.NUMBERS, severities.UNSEEN_NUMBERS)
    every_medication = tuple(text for texts in medications.SEEN.values() for text in texts)
    for texts in medications.UNSEEN.values():
        check(every_medication, texts)


def test_no_severity_is_said_as_another_one() -> None:
    owner: dict[str, str] = {}
    for table in (
        severities.SENTENCES,
        severities.UNSEEN_SENTENCES,
        severities.ADJECTIVES,
        severities.UNSEEN_ADJECTIVES,
    ):
        for level, texts in table.items():
            for text in texts:
                assert owner.setdefault(text, level) == level


def test_a_typo_changes_one_word_and_no_number() -> None:
    rng = random.Random(1)
    text = "My stomach hurts for 12 weeks"
    for _ in range(200):
        changed = typo(rng, text)
        differing = [(a, b) for a, b in zip(text.split(), changed.split(), strict=True) if a != b]
        assert len(differing) <= 1
        assert "12" in changed.split()


def _holds(text: str, other: str) -> bool:
    return f" {other} " in f" {text} "
