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
    "burst": (
        "rater {rater} said more than {events} things within {seconds} s (curate.trust.burst_events): a program whose "
        "answers are right belongs in curate.trusted_raters"
    ),
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
    "gain_by_chance": (
        "the gain on {set} could be chance: {before} → {after}, gain {gain} ({confidence} interval {lower} to {upper}, "
        "{examples} examples); so few rows move that chance alone gives as much with probability {chance}"
    ),
    "no_gain": (
        "no proven gain on {set}: {before} → {after}, gain {gain} ({confidence} interval {lower} to {upper}, "
        "{examples} examples); the lower bound must be above 0"
    ),
    "loss_excluded": (
        "a loss of more than {bound} on {set} is excluded: gain {gain} ({confidence} interval {lower} to {upper}, "
        "{examples} examples)"
    ),
    "loss_proven": (
        "worse on {set}: gain {gain} ({confidence} interval {lower} to {upper}, {examples} examples); more than "
        "{bound} is surely lost"
    ),
    "loss_likely": (
        "probably worse on {set}: gain {gain} ({confidence} interval {lower} to {upper}, {examples} examples); the "
        "loss is about {bound} or more, and more rows would hardly change that"
    ),
    "loss_not_excluded": (
        "not proven on {set}: gain {gain} ({confidence} interval {lower} to {upper}, {examples} examples); that is no "
        "loss of {bound}, but so few rows cannot exclude one"
    ),
    "no_guard": "no guard set has any example: that nothing was forgotten cannot be shown",
    "fixed_hold": (
        "fixed cases hold: of {fixed} that the champion answers right {broken} break, {mended} others are mended; at "
        "most {upper} break ({limit} may)"
    ),
    "fixed_break": (
        "breaks more fixed cases than it mends: of {fixed} that the champion answers right {broken} break, {mended} "
        "others are mended (share that breaks at most {upper}, {limit} may): {ids}"
    ),
    "fixed_may_break": (
        "too many fixed cases may break: of {fixed} that the champion answers right {broken} break, {mended} others "
        "are mended (share that breaks at most {upper}, {limit} may): {ids}"
    ),
    "critical_hold": "none of {cases} critical cases breaks",
    "critical_break": "breaks {count} of {cases} critical cases, of which none may break: {ids}",
    # What the rows at hand can prove (components.evaluation.plan)
    "plan_enough": (
        "{examples} rows of old tests: a loss of {provable} or more will be seen; at most {bound} may be lost "
        "(promotion.delta)"
    ),
    "plan_few": (
        "{examples} rows of old tests: a loss below {provable} cannot be excluded, so {bound} may be lost; {needed} "
        "rows would do for {least}"
    ),
    "plan_too_few": (
        "only {examples} rows of old tests: a loss below {provable} cannot be excluded and at most {bound} may be lost "
        "(promotion.delta), so most candidates will be refused; {needed} rows would do"
    ),
    "plan_target": "{examples} rows of new feedback to test with: a gain below {provable} may go unproven",
    "plan_fixed": "{fixed} fixed cases: a share of {limit} may break again, and no more may break than are mended",
    # What would change a refusal (components.feedback.unserved)
    "need_corrections": "{count} more corrections of the same kind",
    "need_corrections_one": "one more correction of the same kind",
    "need_guard_rows_one": "one more held-out row of the task's own",
    "need_guard_rows": "{count} more held-out rows of the task's own",
    "need_look": "a person's look at {ids}",
    "unserved_one": "{need} would let it decide",
    "unserved_two": "{need}, or {other}, would let it decide",
    "unserved_three": "{need}, or {other}, or {own}, would let it decide",
    "unserved_none": "the next turn learns them again beside what is new",
    "introduced": "built from nothing: the candidate is introduced, not compared with a champion",
    "parity": "the train/serve parity proof fails: {what}",
    "quality_exact": "exact match {mean} on {set}: {word}",
    "quality_similarity": "ROUGE-L {mean} on {set}: {word}",
    "poor": "poor",
    "weak": "weak",
    "fair": "fair",
    "good": "good",
    "beaten": "{word}; always answering {answer} would score {share}",
    "partly_valid": "{word}; only {share} of the answers are valid",
    # Reasons of verdicts that an earlier rule gave: no longer said, still read
    "nothing_lost": (
        "nothing lost on {set}: {before} → {after}, gain {gain} ({confidence} interval {lower} to {upper}, {examples} "
        "examples)"
    ),
    "worse": (
        "worse on {set}, or not proven otherwise: {before} → {after}, gain {gain} ({confidence} interval {lower} to "
        "{upper}, {examples} examples); the lower bound must be above {least}"
    ),
    "breaks": "breaks {count} of {fixed} fixed regression cases again: {ids}",
    "none_broken": "none of {fixed} regression cases that the champion answers right is broken",
    # What the sets of examples are called; a task's own titles are sentences only where they are one of these
    "set_target": "this turn's corrections",
    "set_regression": "earlier fixes",
    "set_critical": "critical cases",
    "set_together": "all old tests together",
    "set_best": "all old tests since the best version that served",
    "set_replay": "old rows",
    "set_test": "same kind",
    "set_unseen": "unseen phrasings",
    "set_new": "new families",
    "set_new_unseen": "new families, unseen phrasings",
    "set_default": "test",
    "set_preferences": "held-out preference pairs",
    # What happened to a version (components.registry.aliases), and by whom
    "promoted": "promoted by {by}",
    "promoted_against": "promoted by {by} against the verdict",
    "another_promoted": "no longer canary: version {version} was promoted",
    "another_tried": "no longer canary: version {version} is tried",
    "rolled_back": "rolled back by {by} to version {version}",
    "brought_back": "brought back by {by} in place of version {version}",
    "tried": "canary with {share} of the traffic, by {by}",
    "refused": "refused: {why}",
    "withdrawn": "withdrawn as canary: {why}",
    "withdrawn_by": "withdrawn as canary by {by}",
    "not_approved": "not approved by {by}",
    "not_approved_because": "not approved by {by}: {said}",
    "by_verdict": "the verdict",
    "by_verdict_and": "the verdict and {name}",
    "by_person": "a person",
    "by_first": "being the first",
    "by_canary": "its canary: {why}",
    # What speaks for a canary and against it (components.canary)
    "fails_more": "it fails more often: {own}; the champion {other}",
    "fails_less": "it fails less often: {own}; the champion {other}",
    "nothing_against": "nothing spoke against it in {answers} answers: {own}; the champion {other}",
    "so_far": "{answers} of {wanted} answers: {own}; the champion {other}",
    "failed": "failed {share} of {answers} ({lower} to {upper})",
    "no_answers": "gave no answers",
    # Why what somebody said is not taken (components.feedback.review, serving.feedback, components.feedback.battles)
    "open_elsewhere": "{reviewer} has this answer open now: take the next one",
    "not_open": "this answer is not open for you any more: take the next one",
    "nothing_right": "a fix needs the right answer",
    "no_valid_answer": "this is no valid answer of task {task}: {text}",
    "empty": "the right answer must not be empty",
    "no_label": "{text} is no label of this task; labels: {labels}",
    "no_json": "not valid JSON: {what}",
    "critical_full": (
        "{count} cases of this task are critical, as many as may be (curate.critical_most): take the mark of one back "
        "first"
    ),
    "critical_unsure": "a critical case needs its right answer: accept the answer or write another one",
    "voted": "{voter} has voted {vote} on this battle already; votes are not changed",
}
FIGURES = (
    "broken mended limit bound cases provable needed chance "
    "logprob agreed compared least events seconds questions kappa overlap consistency both count before after gain "
    "confidence lower upper examples fixed mean share answers wanted"
)
"""What is filled in here is a number, of one word, so that a sentence within another is not taken for the whole."""
NESTED = {"set", "word", "by", "why", "own", "other", "need"}
"""What is filled in here may be a sentence itself."""


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
    return "".join(_hole(part) if number % 2 else re.escape(part) for number, part in enumerate(parts))


def _hole(name: str) -> str:
    return rf"(?P<{name}>\S+?)" if name in FIGURES.split() else f"(?P<{name}>.+?)"
