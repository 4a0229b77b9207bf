"""Sentences that components say and pages show to people: one place for their English, each under a code.

What a component says is kept as text (with a version in MLflow, with a lease in the store), and read by people in other
languages years later. So a page finds the sentence and what was filled in again in the text, and says it anew
(`serving.pages.said`); `read` is the inverse of `say`.
"""

from __future__ import annotations

import re
from functools import cache

SENTENCES: dict[str, str] = {
    # Why an answer waits for a look (components.feedback.waiting)
    "complained": "{names} said it is wrong",
    "unsure": "mean log-probability {logprob}, among the lowest of version {version}",
    "invalid": "no valid answer of this task",
    "differing": "versions {versions} answered the same question differently",
    "drawn": "drawn at random",
    # Why something is suspicious (components.feedback.suspicion)
    "secret": "it seems to hold {secret}",
    "to_the_model": "the answer {speaks}",
    "contradicts": "contradicts event {event} on the same question by {rater}, who is trusted",
    "disreputable_trusted": (
        "rater {rater} agreed with trusted people on {agreed} of {compared} questions: surely below {least}"
    ),
    "disreputable_others": "rater {rater} agreed with others on {agreed} of {compared} questions: surely below {least}",
    "burst": "rater {rater} said more than {events} things within {seconds} s",
    "copies": "rater {rater} gave this answer, or nearly, to {questions} different questions",
    # Whether a judge's votes count (components.feedback.judges)
    "trusted": "kappa {kappa} with people on {overlap} battles; the same in both orders on {consistency} of {both}",
    "one_order": "not trusted, because it has not voted on any battle in both orders",
    "inconsistent": (
        "not trusted, because it votes the same in both orders on only {consistency} of the battles "
        "(arena.min_consistency is {least}): it judges the place, not the answer"
    ),
    "no_overlap": "not trusted, because people voted on only {overlap} of its battles (arena.min_overlap is {least})",
    "no_kappa": (
        "not trusted, because people, or it, always voted the same, so nothing can be said of their agreement"
    ),
    "low_kappa": "not trusted, because its kappa with people is {kappa} (arena.min_kappa is {least})",
    # What ratings do not know (components.evaluation.arena)
    "never_met": "these never met, directly or through others, so their ratings cannot be compared: {parts}",
    "only_a_bound": "some version has won, or lost, every vote against the rest: its rating is only a bound",
    # A verdict's reasons (components.evaluation.verdict)
    "too_few": (
        "too few target examples: {count}, at least {least} are needed to prove anything (promotion.min_target)"
    ),
    "better": (
        "better on {set}: {before} → {after}, gain {gain} ({confidence} interval {lower} to {upper}, {examples} "
        "examples)"
    ),
    "no_gain": (
        "no proven gain on {set}: {before} → {after}, gain {gain} ({confidence} interval {lower} to {upper}, "
        "{examples} examples); the lower bound must be above 0"
    ),
    "nothing_lost": (
        "nothing lost on {set}: {before} → {after}, gain {gain} ({confidence} interval {lower} to {upper}, {examples} "
        "examples)"
    ),
    "worse": (
        "worse on {set}, or not proven otherwise: {before} → {after}, gain {gain} ({confidence} interval {lower} to "
        "{upper}, {examples} examples); the lower bound must be above {least}"
    ),
    "no_guard": "no guard set has any example: that nothing was forgotten cannot be shown",
    "breaks": "breaks {count} of {fixed} fixed regression cases again: {ids}",
    "none_broken": "none of {fixed} regression cases that the champion answers right is broken",
}


def say(code: str, **values: object) -> str:
    """The sentence in English."""
    return SENTENCES[code].format(**values)


def read(text: str) -> tuple[str, dict[str, str]] | None:
    """Code and what was filled in of a sentence that `say` made; None of any other text."""
    for code, pattern in _patterns().items():
        found = pattern.fullmatch(text)
        if found is not None:
            return code, found.groupdict()
    return None


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """The longest first, so that a sentence which continues another is not taken for it."""
    ordered = sorted(SENTENCES.items(), key=lambda one: -len(re.sub(r"\{\w+\}", "", one[1])))
    return {code: re.compile(_pattern(template), re.DOTALL) for code, template in ordered}


def _pattern(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
