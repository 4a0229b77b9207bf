"""No string is missing in either language, and each language is itself."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from components.canary import Outcome, decide
from components.config import CanarySettings
from components.sentences import say
from serving.pages import wheel
from serving.pages.language import chosen, preferred, split
from serving.pages.said import said
from serving.pages.words import LANGUAGES, words

SAME_EVERYWHERE = {"frame.direction", "frame.name"}


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a language with where it stands."""
    if is_dataclass(value):
        for field in fields(value):
            yield from strings(getattr(value, field.name), f"{path}.{field.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from strings(inner, f"{path}.{key}")
    else:
        yield path, value


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_string_is_there_and_takes_the_same_figures_as_in_english(language: Any) -> None:
    english, own = dict(strings(words("en"))), dict(strings(words(language)))
    assert set(own) == set(english)
    assert not [path for path, text in own.items() if not text.strip()]
    assert {path: holes(text) for path, text in own.items()} == {path: holes(text) for path, text in english.items()}


def test_arabic_is_written_in_arabic() -> None:
    latin = [
        path
        for path, text in strings(words("ar"))
        if path not in SAME_EVERYWHERE and not any("\u0600" <= letter <= "\u06ff" for letter in text)
    ]
    assert latin == []
    assert words("ar").frame.direction == "rtl"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ar", "ar"),
        ("ar-EG,ar;q=0.9,en;q=0.8", "ar"),
        ("en;q=0.4, ar;q=0.5", "ar"),
        ("de,en;q=0.5,ar;q=0.3", "en"),
        ("de, fr", "en"),
        ("ar;q=0, en;q=0.1", "en"),
        ("ar;q=x", "en"),
        (";;,,=", "en"),
    ],
)
def test_the_browsers_settings_choose_the_language(header: str, language: str) -> None:
    assert preferred(header) == language


def test_a_language_chosen_before_outweighs_the_settings_and_nonsense_does_not() -> None:
    assert chosen({b"cookie": b"a=1; saqia-language=ar", b"accept-language": b"en"}) == "ar"
    assert chosen({b"cookie": b"saqia-language=xx", b"accept-language": b"ar"}) == "ar"
    assert chosen({b"cookie": b"\xff;=;", b"accept-language": b"en"}) == "en"


def test_the_address_names_the_language() -> None:
    assert split("/ar/review") == ("ar", "/review")
    assert split("/ar") == ("ar", "/")
    assert split("/arena") == (None, "/arena")
    assert split("") == (None, "/")


def test_what_components_say_is_said_in_the_language_of_the_page_and_other_texts_stay() -> None:
    text = say("contradicts", event=7, rater="ann")
    assert said(words("en"), text) == text
    assert said(words("ar"), text) == "تناقض الرأي \u20667\u2069 عن السؤال نفسه بقلم \u2068ann\u2069، وهو موثوق"
    assert said(words("ar"), "what somebody wrote") == "what somebody wrote"


def test_a_sentence_within_a_sentence_is_said_in_the_pages_language_too_and_a_tasks_own_title_stays() -> None:
    canary = Outcome(40, 2), Outcome(60, 9)
    why = decide(*canary, CanarySettings(answers=500)).why
    line = said(words("ar"), say("promoted", by=say("by_canary", why=why)))
    assert not latin(line), line
    assert "\u20665.0%\u2069" in line, "figures keep their own direction"
    quality = say("partly_valid", word=say("good"), share="93%")
    title = say("quality_exact", mean="0.96", set=say("set_target"), word=quality)
    assert not latin(said(words("ar"), title))
    assert "Ward B" in said(words("ar"), say("quality_exact", mean="0.96", set="Ward B", word=quality))


def test_what_happened_to_a_version_is_told_in_the_pages_language_with_its_time() -> None:
    line = wheel.event(words("ar"), "2026-01-31 12:00:00 UTC: " + say("promoted", by=say("by_verdict")))
    assert line.startswith('<time dir="ltr">2026-01-31 12:00:00 UTC</time>: ')
    assert not latin(line.split("</time>")[1])
    assert wheel.event(words("ar"), "<b>told</b>") == "&lt;b&gt;told&lt;/b&gt;"


def latin(text: str) -> set[str]:
    """Letters of English in a text."""
    return {letter for letter in text if letter in string.ascii_letters}
