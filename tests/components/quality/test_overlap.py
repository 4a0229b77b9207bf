from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.near import shingle_set
from components.examples.similarity import jaccard
from components.quality.overlap import nearest

texts = st.lists(st.text(alphabet="ab c", max_size=12), max_size=12)


@given(texts, texts, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
@settings(max_examples=150, deadline=None)
def test_it_finds_what_comparing_every_pair_finds(one: list[str], other: list[str], near: float) -> None:
    found = nearest(one, other, near)
    for text, hit in zip(one, found, strict=True):
        best = max((jaccard(shingle_set(text), shingle_set(o)) for o in other), default=0.0)
        assert (hit is not None) == (best >= near)
        assert hit is None or hit[1] == pytest.approx(best)


def test_it_agrees_with_the_search_that_curation_uses() -> None:
    from components.curation.near import NearIndex

    draw = random.Random(1)
    base = [" ".join(draw.choice("abcdefghij") for _ in range(20)) for _ in range(150)]
    varied = [" ".join(w if draw.random() > 0.05 else "z" for w in text.split()) for text in base]
    index = NearIndex(0.6)
    for position, text in enumerate(base):
        index.add(str(position), text)
    assert [bool(index.matches(text)) for text in varied] == [hit is not None for hit in nearest(varied, base, 0.6)]


def test_texts_without_a_word_are_near_only_to_themselves() -> None:
    assert nearest([":)", "???"], [":(", "???"], 0.8) == [None, (1, 1.0)]
