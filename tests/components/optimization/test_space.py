"""Search spaces as people write them, and the points that are tried."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from components.config import ConfigError
from components.optimization.space import nested, parse, points

SPACE = ["train.lr=1e-4..1e-2:log", "train.lora.r=4..6", "train.method=lora,full"]


def first(texts: list[str], count: int, seed: int = 17) -> list[dict[str, Any]]:
    return list(itertools.islice(points(parse(texts), seed), count))


def test_points_lie_within_and_reach_all_of_the_space() -> None:
    found = first(SPACE, 32)
    rates = sorted(point["train.lr"] for point in found)
    assert rates[0] >= 1e-4
    assert rates[-1] <= 1e-2
    assert sum(rate < 1e-3 for rate in rates) == 16  # half of them on each half of a logarithmic scale
    assert {point["train.lora.r"] for point in found} == {4, 5, 6}
    assert {point["train.method"] for point in found} == {"lora", "full"}
    assert all(float(f"{rate:.3g}") == rate for rate in rates)


def test_a_point_depends_on_seed_and_number_only() -> None:
    assert first(SPACE, 5) == first(SPACE, 40)[:5]
    assert first(SPACE, 5) != first(SPACE, 5, seed=18)


def test_no_point_is_tried_twice_and_a_small_space_ends() -> None:
    found = first(["train.lora.r=8,16,32", "train.start=base,champion"], 50)
    assert len(found) == len({tuple(point.values()) for point in found}) == 6


def test_values_are_what_params_yaml_would_hold() -> None:
    space = parse(["a=1e-3,2,true,null,adamw, 2"])
    assert space["a"].values == (0.001, 2, True, None, "adamw")  # type: ignore[union-attr]
    assert nested({"train.lora.r": 8, "train.lr": 0.1, "seed": 1}) == {
        "train": {"lora": {"r": 8}, "lr": 0.1},
        "seed": 1,
    }


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["train.lr"], "'train.lr' is no parameter with values"),
        (["=3"], "no parameter with values"),
        (["train.lr=2..1"], "the smaller one first"),
        (["train.lr=a..b"], "two numbers around the dots"),
        (["train.lr=1..2:exp"], "only `log` is known"),
        (["train.lr=0..2:log"], "above 0 only"),
        (["train.lr=1", "train.lr=2"], "train.lr is given twice"),
    ],
)
def test_what_is_no_space_is_refused_in_words(texts: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse(texts)
