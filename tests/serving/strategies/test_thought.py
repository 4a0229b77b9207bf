"""Thoughts and answer are told apart, wherever the text is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from serving.strategies.thought import Parting, part

PIECES = st.lists(
    st.one_of(st.text(alphabet="ab< /\n", max_size=4), st.sampled_from(["<think>", "</think>", "</", "think>", "<"])),
    max_size=8,
).map("".join)


def obvious(text: str, opened: bool) -> tuple[str, str]:
    """The slow reference: the whole text at once."""
    if not opened and not text.lstrip().startswith("<think>"):
        return "", text
    inside = text if opened else text.lstrip()[len("<think>") :]
    thoughts, _, answer = inside.partition("</think>")
    return thoughts, answer.lstrip()


@given(text=PIECES, cuts=st.lists(st.integers(0, 60), max_size=6), opened=st.booleans())
def test_a_text_in_pieces_is_parted_like_the_whole_text(text: str, cuts: list[int], opened: bool) -> None:
    parting = Parting(opened)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    parts = [parting.push(text[a:b]) for a, b in pairwise(places)] + [parting.flush()]
    joined = "".join(p.reasoning for p in parts), "".join(p.content for p in parts)
    whole = part(text, opened)
    assert joined == (whole.reasoning, whole.content)
    assert joined == obvious(text, opened)


def test_nothing_that_could_be_a_marker_is_shown_early() -> None:
    parting = Parting()
    assert parting.push("<thi").reasoning == ""
    assert parting.push("nk>it </thin").reasoning == "it "
    assert parting.push("g </think").reasoning == "</thing "
    last = parting.push(">\n\nyes")
    assert (last.reasoning, last.content) == ("", "yes")
