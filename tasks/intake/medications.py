"""What people say about what they took: taken, with what effect, nothing, or refused."""

from __future__ import annotations

import random

from tasks.intake.pattern import expand

ARTICLES = {
    "antihistamine": "an antihistamine",
    "antacid": "an antacid",
    "laxative": "a laxative",
    "inhaler": "an inhaler",
    "nasal spray": "a nasal spray",
    "decongestant": "a decongestant",
    "beta blocker": "a beta blocker",
    "ice pack": "an ice pack",
    "fibre drink": "a fibre drink",
    "multivitamin": "a multivitamin",
}

SEEN: dict[str, tuple[str, ...]] = {
    "": (
        *expand("I [took|have taken|am taking|have been taking|am on|used|started] {m}[| for it]"),
        "took {m} earlier",
        "I took {m} this morning",
        "currently on {m}",
        "the pharmacist gave me {m}",
        "taking {m} at the moment",
    ),
    "no effect": (
        *expand(
            "[I took|I tried|tried|took] {m} but [it did nothing|no change|it didn't help|nothing changed|no luck]"
        ),
        *expand("{m} [did nothing|didn't help|made no difference|has not helped|was useless|didn't touch it]"),
        "even {m} didn't help",
        "no relief from {m}",
        "I've tried {m}, no use",
    ),
    "some relief": (
        *expand("{m} [helped a bit|helped a little|took the edge off|only helped a little|helped for a while]"),
        *expand("I [took|tried] {m} and it [helped a bit|eased a little|helped somewhat]"),
        "a little better after {m}",
        "{m} gave some relief",
    ),
    "relief": (
        *expand("{m} [helped|worked|worked well|helped a lot|did the trick|sorted it for a while]"),
        *expand("I [took|tried] {m} and it [helped|worked|went away for a time|got much better]"),
        "much better after {m}",
        "{m} really helped",
        "thankfully {m} helped",
    ),
    "none": (
        *expand("I [haven't|have not] [taken|tried] [anything|any medicine|any medication|any tablets][| for it| yet]"),
        *expand("I [didn't|did not] take [anything|any medicine|any tablets][| for it]"),
        "no medicine so far",
        "nothing taken yet",
        "not taking anything for it",
        "no medication",
        "I've taken nothing",
        "haven't taken anything",
        "no tablets so far",
    ),
    "refused": (
        *expand("I [don't want|do not want|refuse] to take [any medicine|tablets|pills|any medication|drugs]"),
        *expand("I [won't|will not|would rather not] take [any medicine|tablets|pills|anything|drugs]"),
        "I was offered {m} but said no",
        "the doctor wanted to give me {m} but I refused",
        "I refuse medication",
        "no pills for me please, I don't want them",
        "I don't like taking tablets and won't",
    ),
}
UNSEEN: dict[str, tuple[str, ...]] = {
    "": (
        "I've had {m} for it",
        "my doctor put me on {m}",
        "been using {m}",
        "I swallowed {m} earlier",
        "I take {m} for it",
    ),
    "no effect": (
        "{m} has made no difference at all",
        "I used {m} without any luck",
        "took {m}, nothing changed",
        "{m} was no use",
        "there was no change after {m}",
    ),
    "some relief": (
        "{m} eased it a bit",
        "with {m} it got a little better",
        "{m} took some of the edge off",
        "{m} helped only for a while",
    ),
    "relief": ("{m} fixed it", "it got better with {m}", "since {m} it is much better", "{m} did help a lot"),
    "none": (
        "so far I've taken nothing",
        "I took nothing for it",
        "without any medicine so far",
        "no pills or tablets yet",
    ),
    "refused": (
        "I said no to {m}",
        "please don't give me pills, I won't take them",
        "I refused {m}",
        "medicine is not for me, I won't take any",
    ),
}
_STATUSES = ("", "", "no effect", "no effect", "some relief", "relief", "none", "none", "refused")


def draw(rng: random.Random, remedies: tuple[str, ...], unseen: bool = False) -> tuple[str, str]:
    """The note's value for the medication and a sentence that says it."""
    status = rng.choice(_STATUSES)
    name = rng.choice(remedies)
    text = rng.choice((UNSEEN if unseen else SEEN)[status])
    sentence = text.replace("{m}", _said(rng, name, text))
    if status in ("none", "refused"):
        return status, sentence
    return (f"{name}: {status}" if status else name), sentence


def _said(rng: random.Random, name: str, text: str) -> str:
    if name in ARTICLES:
        return ARTICLES[name]
    return f"some {name}" if text.startswith(("I took", "took", "I have taken")) and rng.random() < 0.3 else name
