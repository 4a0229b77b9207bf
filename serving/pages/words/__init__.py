"""Everything the pages say, in one place per language.

`shape.py` names every string once; a language is a module that fills all of them in, so one that is
missing is an error at import and for mypy. What people and models wrote is never translated.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Literal, cast, get_args

from serving.pages.words.shape import Words

__all__ = ["LANGUAGES", "Language", "Words", "words"]

Language = Literal["en", "ar"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
"""The first is spoken where the browser asks for none of them."""


@cache
def words(language: Language) -> Words:
    """A language's strings."""
    module = import_module(f"serving.pages.words.{language}")
    return cast(Words, module.WORDS)
