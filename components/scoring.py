"""How good one answer is beside the right one: what evaluation counts, and what reinforcement learning may reward."""

from __future__ import annotations

from collections.abc import Sequence

from components.schema import Example, Score
from components.task import Task


def score(task: Task, set_name: str, example: Example, answer: str) -> Score:
    """Compare one answer with the example's own."""
    truth, given = task.parse(example.answer), task.parse(answer)
    exact = same(task, example.answer, answer)
    structured = task.answer == "json" and truth is not None
    return Score(
        example_id=example.id,
        set=set_name,
        group=example.group,
        answer=answer,
        exact=exact,
        valid=given is not None,
        fields={k: given is not None and given.get(k) == v for k, v in truth.items()} if structured and truth else {},
        similarity=rouge_l(example.answer, answer) if task.answer == "text" else float(exact),
    )


def same(task: Task, truth: str, answer: str) -> bool:
    """Whether two answers are one, normalised as the task says; where one cannot be, word by word."""
    try:
        return task.normalise(truth) == task.normalise(answer)
    except ValueError:  # of pydantic, or of json where the task has no schema
        return " ".join(truth.split()) == " ".join(answer.split())


def rouge_l(reference: str, answer: str) -> float:
    """ROUGE-L F1 on lower-cased words (Lin 2004, section 3.1, with beta = 1), 0 to 1.

    Two empty texts are alike.
    """
    a, b = reference.lower().split(), answer.lower().split()
    if not a or not b:
        return float(a == b)
    common = _longest_common_subsequence(a, b)
    return 2 * common / (len(a) + len(b))


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Its length, by one big-integer addition a word (Hyyrö 2004, "Bit-parallel LCS-length computation revisited")."""
    places: dict[str, int] = {}
    for i, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for word in b:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(a) - row.bit_count()
