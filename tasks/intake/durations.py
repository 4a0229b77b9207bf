"""How people say for how long: the note's value, and texts that attach to a clause or stand alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tasks.intake.pattern import expand

WORDS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_RANGES = {"hour": (2, 10), "day": (1, 10), "week": (1, 8), "month": (1, 8), "year": (1, 3)}
_UNITS = ("hour", "day", "day", "day", "day", "week", "week", "week", "month", "month", "year")

ADVERBIALS = (
    *expand("for [|about |around |the past |the last |almost |nearly |roughly |over |more or less |close to ]{q}"),
    "for {q} now",
    "over the last {q}",
    "these past {q}",
    "these last {q}",
    "for a good {q}",
    "for at least {q}",
    "for maybe {q}",
    "for what must be {q}",
    "for {q} or so",
)
SENTENCES = (
    *expand("it [started|began|came on] [|about |around |maybe ]{q} ago"),
    *expand("[it's|it has|this has] been [going on |like this |with me ]for [|about |almost ]{q}"),
    *expand("I [first |]noticed it [about |]{q} ago"),
    *expand("it [first came|showed up|appeared|set in|kicked in] [about |]{q} [ago|back]"),
    *expand("it [has gone|has been going] on for [about |]{q}[| now]"),
    "day in, day out for {q}",
    "for {q} it has been the same",
    "that was {q} ago when it started",
    "{q}, if I count right",
    "no change in {q}",
    "I'd say {q}",
    "it's been {q}",
    "it's been {q} now",
    "{q} now",
    "I've had this for {q}",
    "had it for {q}",
    "all this started {q} back",
    "going on {q} now",
    "this is going on {q} by now",
    "about {q} now",
)
UNSEEN_ADVERBIALS = ("for {q} straight", "for {q} already", "for some {q}", "for {q} on end", "for just about {q}")
SINGLE = (
    "for {q}",
    "for about {q}",
    "for over {q}",
    "for at least {q}",
    "for {q} now",
    "for {q} or so",
    "for nearly {q}",
)
"""For quantities that begin with `a` or `one`, which "the past" and "these" do not go with."""
UNSEEN_SINGLE = ("for {q} already", "for just about {q}")
UNSEEN_SENTENCES = (
    "it goes back {q}",
    "it has lasted {q}",
    "it has stayed with me for {q}",
    "{q} so far",
    "the start was {q} ago",
    "I would say it began {q} back",
    "it's now {q} since it started",
    "this has lasted for about {q}",
)

_SPECIAL: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "today",
        ("since this morning", "since last night", "since I woke up", "since I got up today"),
        ("it started this morning", "it came on last night", "it only started today", "it began when I woke up today"),
    ),
    ("1 day", ("since yesterday", "since yesterday evening"), ("it started yesterday", "it began yesterday")),
    (
        "2 days",
        ("since the day before yesterday", "for the last two days or so"),
        ("it started the day before yesterday", "it's been a couple of days", "a couple of days now"),
    ),
    ("1 week", ("since this time last week", "all week"), ("it started a week ago today", "it started last week")),
    ("2 weeks", ("for a fortnight", "for the past fortnight"), ("it started a fortnight ago", "it's been a fortnight")),
    ("6 months", ("for half a year",), ("it's been half a year", "it started half a year ago")),
    ("1 month", ("for a whole month", "since last month"), ("it started last month",)),
)
_UNSEEN_SPECIAL: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "today",
        ("since breakfast today", "since getting up this morning"),
        ("it was there when I woke up this morning",),
    ),
    ("1 day", ("since yesterday morning",), ("yesterday it started", "it came on yesterday")),
    ("2 days", ("for a couple of days now",), ("a couple of days ago it began",)),
    ("1 week", ("since last week",), ("last week it came on",)),
    ("2 weeks", ("for about a fortnight",), ("a fortnight ago it came on",)),
    ("6 months", ("for about half a year",), ("half a year ago it began",)),
    ("1 month", ("for one whole month",), ("last month it began",)),
)
_FEW = ("few days", "few hours", "few weeks", "few months")


@dataclass(frozen=True)
class Duration:
    """A duration as said: `adverbial` ends or begins a clause, `sentence` stands alone."""

    value: str
    adverbial: str
    sentence: str


NOT_SAID = Duration("unspecified", "", "")


def draw(rng: random.Random, unseen: bool = False) -> Duration:
    """One duration and one way to say it; `unseen` takes the ways that are never taught."""
    kind = rng.random()
    if kind < 0.16:
        value, adverbials, sentences = rng.choice(_UNSEEN_SPECIAL if unseen else _SPECIAL)
        return Duration(value, rng.choice(adverbials), rng.choice(sentences))
    if kind < 0.22:
        value = rng.choice(_FEW)
        quantity = f"a {value}"
    else:
        unit = rng.choice(_UNITS)
        low, high = _RANGES[unit]
        count = rng.randint(low, high)
        plural = unit if count == 1 else f"{unit}s"
        value = f"{count} {plural}"
        quantity = f"{_count(rng, count)} {plural}"
        if count == 2 and rng.random() < 0.3:
            quantity = f"a couple of {plural}"
    if quantity.startswith(("a ", "one ", "1 ")):
        adverbial = rng.choice(UNSEEN_SINGLE if unseen else SINGLE)
    else:
        adverbial = rng.choice(UNSEEN_ADVERBIALS if unseen else ADVERBIALS)
    sentence = rng.choice(UNSEEN_SENTENCES if unseen else SENTENCES)
    return Duration(value, adverbial.replace("{q}", quantity), sentence.replace("{q}", quantity))


def _count(rng: random.Random, count: int) -> str:
    if count == 1:
        return rng.choice(("a", "one", "1")) if rng.random() < 0.9 else "one"
    return str(count) if rng.random() < 0.5 else WORDS[count]
