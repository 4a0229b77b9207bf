"""How people say how bad it is, in words and as a number out of ten."""

from __future__ import annotations

import random

from tasks.intake.durations import WORDS
from tasks.intake.pattern import expand
from tasks.intake.rules import severity_of_number
from tasks.intake.schema import Severity

ADJECTIVES: dict[Severity, tuple[str, ...]] = {
    "mild": ("mild", "slight", "minor"),
    "moderate": ("moderate", "fairly bad", "medium"),
    "severe": ("severe", "terrible", "awful", "really bad"),
}
UNSEEN_ADJECTIVES: dict[Severity, tuple[str, ...]] = {
    "mild": ("light",),
    "moderate": ("middling",),
    "severe": ("dreadful",),
}
SENTENCES: dict[Severity, tuple[str, ...]] = {
    "mild": (
        *expand("it's [|only |quite |pretty |very ][mild|slight|minor]"),
        *expand("it's not [too|that|so] [bad|serious]"),
        "I can live with it",
        "it doesn't bother me much",
        "I barely notice it",
        "nothing too serious",
        "just a mild thing",
        "I can get on with my day",
        "it's more of a nuisance",
        "hardly worth mentioning really",
        "it's bearable, just mild",
    ),
    "moderate": (
        *expand("it's [moderate|medium|fairly bad|so so|bearable but annoying]"),
        *expand("it's [bad|annoying] enough to [bother me|slow me down|notice]"),
        "it's somewhere in the middle",
        "it's getting in the way of my work",
        "not mild but not terrible",
        "I manage, but it's tiring",
        "it's moderate I'd say",
        "it bothers me a fair bit",
        "some days I have to stop and rest",
        "it's uncomfortable but I cope",
    ),
    "severe": (
        *expand("it's [severe|terrible|awful|unbearable|really bad|very bad|so bad]"),
        *expand("it's so bad I can't [work|think|function|do anything|get out of bed]"),
        "I can't stand it any more",
        "it's the worst I've ever had",
        "I'm in agony",
        "I can't take it any more",
        "it's driving me to tears",
        "it stops me doing anything",
        "I've never had it this bad",
        "it is horrible",
        "it's really severe",
    ),
}
UNSEEN_SENTENCES: dict[Severity, tuple[str, ...]] = {
    "mild": (
        "it's a minor nuisance",
        "it hardly bothers me",
        "I can live with it, it's slight",
        "not bad at all really",
        "it doesn't stop me doing anything",
        "I barely notice it most of the day",
    ),
    "moderate": (
        "I'd call it moderate",
        "it's in the middle, not mild, not severe",
        "it slows me down a fair bit",
        "it's a medium sort of thing",
        "annoying, but I cope",
        "it's bad enough that I have to rest",
    ),
    "severe": (
        "I can't function, it's that bad",
        "it's so awful I am in tears",
        "the worst ever",
        "I'm unable to do anything because of it",
        "it's beyond bearable, just terrible",
        "never had anything so bad",
    ),
}
NUMBERS = (
    "{k} out of 10",
    "it's a {k} out of 10",
    "I'd give it a {k} out of 10",
    "about {k}/10",
    "{k}/10",
    "I'd say {k} out of 10",
    "on a scale of 1 to 10 it's a {k}",
    "on a scale from one to ten I'd say {k}",
    "around a {k} out of 10",
    "it's maybe {k}/10",
    "{w} out of ten",
    "it's about {w} out of ten",
    "I'd rate it {w} out of ten",
)
UNSEEN_NUMBERS = (
    "I'd put it at {k} out of 10",
    "I rate it {k}/10",
    "it's {w} on a scale of one to ten",
    "if 10 is the worst, it's a {k}",
    "a {k} on the scale from 1 to 10",
)
_LEVELS: tuple[Severity, ...] = ("mild", "moderate", "severe")


def draw(rng: random.Random, unseen: bool = False) -> tuple[Severity, str]:
    """A severity and a sentence that says it, in words or as a number."""
    if rng.random() < 0.4:
        number = rng.randint(1, 10)
        text = rng.choice(UNSEEN_NUMBERS if unseen else NUMBERS)
        if number == 8:
            text = text.replace("a {k}", "an {k}")
        return severity_of_number(number), text.replace("{k}", str(number)).replace("{w}", WORDS[number])
    level = rng.choice(_LEVELS)
    return level, rng.choice((UNSEEN_SENTENCES if unseen else SENTENCES)[level])
