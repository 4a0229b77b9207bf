"""Stop strings against the slow, obvious reference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.stop import StopMatcher

LETTERS = st.text("ab<|", min_size=1, max_size=4)


def reference(text: str, stops: list[str]) -> tuple[str, bool]:
    """Look at every beginning of the text in turn; the first that ends with a stop string is cut before it."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@given(st.lists(st.text("ab<|", max_size=6), max_size=12), st.lists(LETTERS, max_size=4))
def test_text_in_pieces_stops_where_the_reference_stops_in_the_whole(pieces: list[str], stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    out = "".join(matcher.feed(piece) for piece in pieces)
    if not matcher.stopped:
        out += matcher.flush()
    assert (out, matcher.stopped) == reference("".join(pieces), stops)


@given(st.text("ab<|", max_size=30), st.lists(LETTERS, max_size=4))
def test_nothing_that_was_let_through_is_ever_taken_back(text: str, stops: list[str]) -> None:
    matcher, shown = StopMatcher(stops), ""
    for letter in text:
        shown += matcher.feed(letter)
        assert reference(text, stops)[0].startswith(shown)


def test_text_that_cannot_begin_a_stop_string_is_let_through_at_once() -> None:
    assert StopMatcher(["###"]).feed("hello") == "hello"
    assert StopMatcher(["###"]).feed("hello#") == "hello"
