"""The names of all strings on the pages. Braces are filled in by `str.format`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Frame:
    """What surrounds every page."""

    name: str
    """Of the language itself, for the switch."""
    direction: Literal["ltr", "rtl"]
    pages: Mapping[str, str]
    """Path of a page → its name."""
    navigation: str
    other_language: str
    theme: str
    skip: str
    simulated: str
    your_name: str
    your_name_hint: str
    not_allowed: str
    refused: str
    no_key: str
    no_key_about: str
    ask_for_key: str
    """{command}: what makes one"""
    back: str
    yes: str
    no: str
    none: str
    version: str
    """A version's number, in a sentence or alone."""
    seconds: str
    milliseconds: str
    list_comma: str


@dataclass(frozen=True)
class Chat:
    """Ask, and say what is right."""

    answers: str
    refused: str
    nothing_yet: str
    loading: str
    registry_unreadable: str
    which: str
    champion: str
    single_turn: str
    grounds: str
    conversation: str
    tries: str
    message: str
    send: str
    new: str
    right: str
    wrong: str
    write: str
    the_right_answer: str
    whole_answer: str
    comment: str
    save: str
    saved: str
    thanks: str
    ask_first: str
    not_saved: str


@dataclass(frozen=True)
class Form:
    """A right answer as fields."""

    as_json: str
    as_fields: str
    json_hint: str
    not_given: str
    given: str
    one_a_line: str
    as_json_value: str
    all_right: str
    faults: str
    """{fields}: the names of the fields at fault."""
    not_an_object: str
    unreadable: str
    errors: Mapping[str, str]
    """pydantic's kind of error → what is wrong, with the error's own context in braces."""


@dataclass(frozen=True)
class Wheel:
    """The state of the loop."""

    title: str
    about: str
    champion: str
    no_champion: str
    candidate: str
    canary: str
    canary_share: str
    nobody_judges: str
    made: str
    waiting: str
    corrections: str
    """{count} of {limit}"""
    starts_at: str
    unserved: str
    """{count}"""
    unserved_turn: str
    """{count}, {turn}, {outcome}"""
    others: str
    """{up}, {down}, {comments}"""
    start: str
    ask_name: str
    nothing_to_learn: str
    turn_runs: str
    asked: str
    no_worker: str
    taken: str
    unreadable: str
    turns: str
    no_turns: str
    turn: str
    events: str
    decisions: Mapping[str, str]
    """State or decision of a turn → what it is called."""
    reasons: str
    sets: str
    examples: str
    before: str
    after: str
    gain: str
    history: str
    prefect: str
    mlflow: str
    report: str
    data_docs: str
    simulated: str


@dataclass(frozen=True)
class Evidence:
    """What speaks for a turn besides corrections."""

    failures: str
    no_looks: str
    wrong: str
    """{rate}: {wrong} of {looked}"""
    surely: str
    failures_start: str
    """{above}, {looks}, {early}"""
    off: str
    drift: str
    no_window: str
    bits: str
    drifted: str
    known: str
    still_there: str
    """{turn}, {version}"""
    alike: str
    held: str
    """{messages}, {version}"""
    commoner: str
    drift_start: str
    """{least}, {messages}, {early}"""
    plot: str
    """{windows}: for those who hear the page"""


@dataclass(frozen=True)
class Arena:
    """Two versions, one prompt, and who is better."""

    title: str
    about: str
    prompt: str
    ask: str
    versions: str
    versions_hint: str
    one_version: str
    name_needed: str
    empty: str
    answering: str
    a: str
    b: str
    vote_a: str
    vote_b: str
    vote_tie: str
    vote_bad: str
    same: str
    revealed: str
    """{a}, {b}: the versions; {vote}: what was voted."""
    saved: str
    votes: Mapping[str, str]
    """Place that was voted for → in words."""
    leaderboard: str


@dataclass(frozen=True)
class Board:
    """The leaderboard."""

    title: str
    about: str
    versions: str
    versions_hint: str
    length: str
    length_hint: str
    length_effect: str
    """{effect} ({lower} to {upper})"""
    no_battles: str
    to_arena: str
    counted: str
    """{votes}, {battles}"""
    place: str
    version: str
    rating: str
    elo: str
    wins: str
    votes: str
    matrix: str
    matrix_hint: str
    met: str
    """{count}: votes that a cell of the matrix rests on"""
    judges: str
    judge: str
    counts: str
    does_not_count: str
    why: str


@dataclass(frozen=True)
class Review:
    """What waits for a look."""

    title: str
    about: str
    name_needed: str
    begin: str
    nothing: str
    nothing_for_you: str
    reasons: Mapping[str, str]
    question: str
    conversation: str
    answer: str
    roles: Mapping[str, str]
    said: str
    kinds: Mapping[str, str]
    proposal: str
    """{name}: who wrote it."""
    use_proposal: str
    accept: str
    fix: str
    reject: str
    skip: str
    save: str
    cancel: str
    comment: str
    critical: str
    """Beside the box that marks the case in front of the reviewer."""
    critical_now: str
    """{count} cases are marked, {most} may be."""
    not_critical: str
    """Button: take the mark of the chosen case back."""
    unmarked: str
    done: Mapping[str, str]
    """Action → what was noted."""
    not_saved: str
    progress: str
    reviewer: str
    looks: str
    kinds_of_looks: str
    corrections: str
    in_versions: str
    now_right: str
    known: str
    no_progress: str
    yours: str
    """{count} corrections in {version}"""
    yours_right: str
    agreement: str
    no_agreement: str
    estimate: str
    no_estimate: str


@dataclass(frozen=True)
class Words:
    """A whole language."""

    told: Mapping[str, str]
    """What components say, by its code in components.sentences, with the same braces."""

    frame: Frame
    chat: Chat
    form: Form
    wheel: Wheel
    evidence: Evidence
    arena: Arena
    board: Board
    review: Review
