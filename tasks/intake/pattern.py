"""Phrasings written compactly: `my head [hurts|is [still |]pounding]` stands for three texts."""

from __future__ import annotations

from functools import cache


@cache
def expand(pattern: str) -> tuple[str, ...]:
    """Every text that a pattern with `[alternative|alternative]` stands for, in writing order.

    Brackets nest; an empty alternative leaves a part out.

    Raises:
        ValueError: brackets do not match.
    """
    texts, end = _alternatives(pattern, 0, top=True)
    if end != len(pattern):
        raise ValueError(f"unmatched ] at {end} in {pattern!r}")
    return tuple(" ".join(text.split()) for text in texts)


def _alternatives(pattern: str, at: int, top: bool) -> tuple[list[str], int]:
    finished: list[str] = []
    current = [""]
    while at < len(pattern):
        character = pattern[at]
        if character == "[":
            inner, at = _alternatives(pattern, at + 1, top=False)
            current = [head + tail for head in current for tail in inner]
        elif character == "]" and not top:
            return finished + current, at + 1
        elif character == "]":
            return current, at
        elif character == "|" and not top:
            finished += current
            current = [""]
            at += 1
        else:
            current = [head + character for head in current]
            at += 1
    if not top:
        raise ValueError(f"unmatched [ in {pattern!r}")
    return current, at
