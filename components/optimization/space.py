"""A search space, written as people write it, and points that cover it evenly however many are tried.

    train.lr=1e-4..1e-2:log     between two numbers, evenly on a logarithmic scale
    train.lora.r=8..64          whole numbers, since both ends are
    train.method=lora,full      one of these

Points are Sobol' points (Sobol' 1967; scrambled, Owen 1998), a function of seed and number: the fifth is the same
however many are asked for, so that a search goes on where it was stopped. Unlike a grid they try as many values of
every parameter as there are points, which is what counts where few of the parameters matter (Bergstra & Bengio 2012,
https://jmlr.org/papers/v13/bergstra12a.html).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.config import ConfigError

DIGITS = 3
"""Significant digits of a number that is tried: more would only be unreadable."""


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool
    whole: bool

    def at(self, share: float) -> float | int:
        """The number at a share of the way, 0 ≤ share < 1."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        if self.whole:
            return min(int(self.high), math.floor(value + share)) if not self.log else round(value)
        return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class OneOf:
    """Any of these values."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """The value at a share of the way, 0 ≤ share < 1."""
        return self.values[int(share * len(self.values))]


Space = Mapping[str, Between | OneOf]


def parse(settings: Sequence[str]) -> dict[str, Between | OneOf]:
    """The space that `key=values` texts describe.

    Raises:
        ConfigError: a text is no such description, or names a key twice.
    """
    space: dict[str, Between | OneOf] = {}
    for text in settings:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not key or not values.strip():
            raise ConfigError(
                f"{text!r} is no parameter with values: write e.g. train.lr=1e-4..1e-2:log or train.lora.r=8,16"
            )
        if key in space:
            raise ConfigError(f"{key} is given twice: name all its values together")
        space[key] = _between(key, values.strip()) if ".." in values else OneOf(_values(values))
    return space


def points(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Distinct points of the space, without end where it has numbers that are not whole; each as key → value."""
    from scipy.stats import qmc

    known: set[tuple[Any, ...]] = set()
    sobol = qmc.Sobol(len(space), scramble=True, rng=seed)
    for _ in range(64):  # far more than enough for a space of few choices: the points of a block fall everywhere
        for shares in sobol.random(64):
            point = {
                key: dimension.at(float(share)) for (key, dimension), share in zip(space.items(), shares, strict=True)
            }
            if (found := tuple(point.values())) not in known:
                known.add(found)
                yield point


def nested(point: Mapping[str, Any]) -> dict[str, Any]:
    """A point as the mapping that params.yaml is: `train.lora.r` inside `lora` inside `train`."""
    values: dict[str, Any] = {}
    for key, value in point.items():
        *sections, name = key.split(".")
        inside = values
        for section in sections:
            inside = inside.setdefault(section, {})
        inside[name] = value
    return values


def _between(key: str, text: str) -> Between:
    ends, _, scale = text.partition(":")
    low, _, high = ends.partition("..")
    numbers = [_value(part.strip()) for part in (low, high)]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers) or not numbers[0] < numbers[1]:
        raise ConfigError(f"{key}={text}: there must be two numbers around the dots, the smaller one first")
    if scale.strip() not in ("", "log"):
        raise ConfigError(f"{key}={text}: after the colon only `log` is known")
    if scale and numbers[0] <= 0:
        raise ConfigError(f"{key}={text}: a logarithmic scale has numbers above 0 only")
    least, most = map(float, numbers)
    return Between(least, most, log=bool(scale), whole=all(isinstance(n, int) for n in numbers))


def _values(text: str) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(_value(part.strip()) for part in text.split(",")))


def _value(text: str) -> Any:
    """A number, true, false or null as such, anything else as text. (YAML 1.1 takes 1e-3 for a text.)"""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "null": None}.get(text, text)
