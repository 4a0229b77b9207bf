"""What components say is found again, whatever was filled in, and no sentence is taken for another."""

from __future__ import annotations

import re

import pytest

from components.sentences import SENTENCES, read, say

TEXTS = {"names", "rater", "set", "parts", "ids", "versions", "version"}
TEXTS |= {"by", "why", "what", "text", "labels", "task", "said"}
"""Filled in by people and programs; everything else is a figure."""


@pytest.mark.parametrize("code", SENTENCES)
def test_every_sentence_is_read_as_it_was_said(code: str) -> None:
    names = re.findall(r"\{(\w+)\}", SENTENCES[code])
    values = {name: f"{name} (of 3, 7%); and\nmore" if name in TEXTS else f"−{n}.5%" for n, name in enumerate(names)}
    assert read(say(code, **values)) == (code, values)


def test_other_texts_are_nobodys_sentences() -> None:
    assert read("") is None
    assert read("2026-05-01 12:00:00 UTC: promoted by ann") is None
    assert read("drawn at random, twice") is None
