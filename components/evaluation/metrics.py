"""How good one answer is, and how good many are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from components.schema import Example, Score
from components.task import Task

Metric = Literal["exact", "similarity"]


def metric_of(task: Task) -> Metric:
    """The metric that the verdict uses: equality where the answer is structured, ROUGE-L for free text."""
    return "similarity" if task.answer == "text" else "exact"


def value_of(score: Score, metric: Metric) -> float:
    """A score's number under a metric."""
    return float(score.exact) if metric == "exact" else score.similarity


def macro_f1(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Mean over the true labels of each label's F1 (harmonic mean of precision and recall)."""
    labels = sorted(set(truths))
    if not labels:
        return 0.0
    hit = Counter(t for t, a in zip(truths, answers, strict=True) if t == a)
    true, given = Counter(truths), Counter(answers)
    return sum(2 * hit[label] / (true[label] + given[label]) for label in labels) / len(labels)


def summary(task: Task, examples: Sequence[Example], scores: Sequence[Score]) -> dict[str, float]:
    """The means over one set: exact, valid, and per kind of task similarity, fields.<name>, macro_f1."""
    if not scores:
        return {}
    found = {"exact": _mean([s.exact for s in scores])}
    if task.answer != "text":
        found["valid"] = _mean([s.valid for s in scores])
    if task.answer == "text":
        found["similarity"] = _mean([s.similarity for s in scores])
    if task.answer == "label":
        truths = [" ".join(e.answer.split()) for e in examples]
        found["macro_f1"] = macro_f1(truths, [" ".join(s.answer.split()) for s in scores])
    for name in sorted({name for s in scores for name in s.fields}):
        found[f"fields.{name}"] = _mean([s.fields[name] for s in scores if name in s.fields])
    return found


def commonest(examples: Sequence[Example]) -> tuple[str, float]:
    """The answer given most often and its share: what always saying one thing would score."""
    counts = Counter(" ".join(e.answer.split()) for e in examples)
    answer, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return answer, count / len(examples)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
