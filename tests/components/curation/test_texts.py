"""Normalising, scrubbing and comparing single texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.near import NearIndex, question_key
from components.curation.normalise import normalise
from components.curation.scrub import scrubber
from components.examples.similarity import jaccard, shingles
from tests.components.curation.conftest import sentence

ALL = ("email", "phone", "id_number", "url", "ip", "credit_card")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Cafe\u0301", "Caf\u00e9"),
        ("  a\t\tb \u00a0 c  ", "a b c"),
        ("a\r\nb\rc \n d\n\n\n\n\ne", "a\nb\nc\nd\n\ne"),
        ("a\x00\x07b\ufeff\u200b\u202ec", "abc"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\U0001f469\u200d\u2695\ufe0f ok", "\U0001f469\u200d\u2695\ufe0f ok"),
    ],
    ids=["composed", "spaces", "newlines", "invisible", "persian keeps its joiner", "emoji keeps its joiner"],
)
def test_a_text_is_written_in_one_way(raw: str, clean: str) -> None:
    assert normalise(raw) == clean


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("write to jo.b+x@mail.example.com today", "write to <EMAIL> today"),
        ("call 020 7946 0958 or +971 2 234 5678", "call <PHONE> or <PHONE>"),
        ("(650) 253-0000", "<PHONE>"),
        ("my MRN is 00482913, ssn 536-22-1234", "my MRN is <ID_NUMBER>, ssn <ID_NUMBER>"),
        ("policy number: AB-123456", "policy number: <ID_NUMBER>"),
        ("pay GB82 WEST 1234 5698 7654 32", "pay <ID_NUMBER>"),
        ("card 4111 1111 1111 1111", "card <CREDIT_CARD>"),
        ("see www.example.com and https://x.org/a?b=1 on 10.0.0.1", "see <URL> and <URL> on <IP>"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(text: str, scrubbed: str) -> None:
    assert scrubber(ALL, ["US", "GB"])(text)[0] == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "it is 4 out of 10, since 3 days, I am 55 years old",
        "blood pressure 120/80, then 118 over 76, pulse 72, temperature 38.5",
        "500 mg paracetamol 3 times a day for 10 days, 1000 mg before",
        "between 1999 and 2003, again on 12/03/2021 at 14:30",
        "my son, aged 7, weighs 23.5 kg and is 121 cm tall",
        "I slept.then i woke.it hurt",
        "HbA1c 7.2, LDL 130, vitamin D 25 ng/mL 2000 IU",
    ],
)
def test_ages_doses_scores_and_dates_are_no_personal_data(text: str) -> None:
    assert scrubber(ALL, ["US", "GB"])(text) == (text, {})


def test_only_the_wanted_kinds_are_replaced_and_counted() -> None:
    text, counts = scrubber(["email"], ["US"])("a@example.com, b@example.com, (650) 253-0000")
    assert text == "<EMAIL>, <EMAIL>, (650) 253-0000"
    assert counts == {"email": 2}


@pytest.mark.parametrize("limit", [0.1, 0.3, 0.5, 0.7, 0.8, 1.0])
def test_the_index_finds_what_comparing_every_pair_finds(limit: float) -> None:
    texts = [sentence(n, 20) for n in range(60)]
    texts += [text.replace("river", "lake", 1) for text in texts] + [text.upper() + "!" for text in texts[:20]]
    index = NearIndex(limit)
    for position, text in enumerate(texts):
        sets = shingles(text)
        expected = [(str(i), jaccard(shingles(texts[i]), sets)) for i in range(position)]
        assert index.matches(text) == [(name, similarity) for name, similarity in expected if similarity >= limit]
        index.add(str(position), text)


@pytest.mark.parametrize("text", ["", "???", "\U0001f642", "ok", "\u4f60\u597d"])
def test_texts_of_no_or_few_words_are_compared_too(text: str) -> None:
    index = NearIndex(0.8)
    index.add("it", text)
    assert index.matches(text) == [("it", 1.0)]
    assert index.matches("something else entirely") == []


def test_the_key_of_a_question_ignores_case_punctuation_and_spaces() -> None:
    assert question_key("I can't  sleep!") == question_key("i cant sleep")
    assert question_key("??") != question_key("!!")
