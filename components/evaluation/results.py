"""What `evaluate` leaves behind, as records that the report, the registry and DVC read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from components import layout
from components.evaluation.baseline import Answered
from components.evaluation.calibration import Calibration, calibration
from components.evaluation.metrics import macro_f1, metric_of, summary, value_of
from components.evaluation.preferences import SET, TITLE
from components.evaluation.verdict import SetResult
from components.files import replacing_folder, write_json, write_rows, write_text
from components.schema import Record, Score, Verdict
from components.sentences import say
from components.task import Task

if TYPE_CHECKING:
    from components.evaluation.answering import ModelResult


BASELINE = "baseline"
"""In calibration.json and metrics: the linear model that label tasks are held against."""


class Result(Score):
    """One line of results.jsonl: a score, and whose."""

    model: Literal["candidate", "champion", "base"]


class Moved(Record):
    """One line of moved.jsonl: an example whose answer got better or worse, or is still wrong."""

    kind: Literal["fixed", "broken", "still_wrong"]
    set: str
    example_id: str
    group: str | None
    message: str
    truth: str
    before: str
    after: str


def write(
    task: Task,
    results: Sequence[SetResult],
    verdict: Verdict,
    after: ModelResult,
    before: ModelResult,
    before_name: str,
    simple: Sequence[Answered] | None = None,
) -> dict[str, float]:
    """Write reports/<task>/evaluation/ and evaluation.json; return the flat metrics.

    Everything is a function of the inputs except latency.json, which holds this machine's times.

    Args:
        simple: a linear model's answers to each set, where the answers are labels.
    """
    metrics = flat_metrics(task, results, after, before)
    believed = _calibrations(results, after, before, before_name, simple)
    if simple is not None:
        metrics |= _simple_metrics(results, simple)
    for model, end in (("candidate", ""), (before_name, ".before"), (BASELINE, ".baseline")):
        for name, found in believed.get(model, {}).items():
            metrics |= {f"{name}.ece{end}": found.ece, f"{name}.nll{end}": found.nll}
    folder = layout.evaluation(task.name)
    with replacing_folder(folder) as temporary:
        write_json(temporary / "verdict.json", verdict)
        write_json(temporary / "metrics.json", metrics)
        write_rows(
            temporary / "results.jsonl",
            (
                Result(model=model, **s.model_dump())
                for r in results
                for model, scores in (("candidate", r.after), (before_name, r.before))
                for s in scores
            ),
        )
        write_rows(temporary / "moved.jsonl", moved(task, results))
        write_text(temporary / "scores.csv", _scores_csv(verdict))
        if believed:
            write_json(
                temporary / "calibration.json",
                {m: {s: c.model_dump() for s, c in of.items()} for m, of in believed.items()},
            )
        write_json(
            temporary / "about.json",
            {
                "compared_with": before_name,
                "titles": {r.name: r.title for r in results}
                | {c.set: TITLE for c in verdict.comparisons if c.set == SET}
                | {c.set: say(f"set_{c.set}") for c in (verdict.guards, verdict.since_best) if c},
                "answer": task.answer,
                "metric": metric_of(task),
            },
        )
        write_json(
            temporary / "latency.json",
            {"candidate": latency(after.seconds), before_name: latency(before.seconds)},
        )
    write_json(folder.with_suffix(".json"), metrics)
    return metrics


def flat_metrics(task: Task, results: Sequence[SetResult], after: ModelResult, before: ModelResult) -> dict[str, float]:
    """`<set>.<metric>` of the candidate and `<set>.<metric>.before`, and what a set says of both (`win_rate`)."""
    found: dict[str, float] = {}
    for r in results:
        for end, scores, model in (("", r.after, after), (".before", r.before, before)):
            for name, value in summary(task, r.examples, scores).items():
                found[f"{r.name}.{name}{end}"] = round(value, 6)
            if r.name in model.perplexity:
                found[f"{r.name}.perplexity{end}"] = round(model.perplexity[r.name], 4)
        found[f"{r.name}.examples"] = len(r.examples)
        if r.examples:
            found[f"{r.name}.win_rate"] = round(win_rate(task, r), 6)
    for end, model in (("", after), (".before", before)):
        if model.prefers:
            found[f"{SET}.accuracy{end}"] = round(sum(model.prefers) / len(model.prefers), 6)
    if after.prefers:
        found[f"{SET}.pairs"] = len(after.prefers)
    return found


def _calibrations(
    results: Sequence[SetResult],
    after: ModelResult,
    before: ModelResult,
    before_name: str,
    simple: Sequence[Answered] | None,
) -> dict[str, dict[str, Calibration]]:
    """By model and set, of every model that gives its labels probabilities."""
    found: dict[str, dict[str, Calibration]] = {}
    for position, r in enumerate(results):
        truths = [" ".join(e.answer.split()) for e in r.examples]
        given = {
            "candidate": (after.labels, after.probabilities.get(r.name)),
            before_name: (before.labels, before.probabilities.get(r.name)),
            BASELINE: (simple[position].labels, simple[position].probabilities) if simple else ((), None),
        }
        for model, (labels, rows) in given.items():
            if rows is not None and (measured := calibration(labels, rows, truths)) is not None:
                found.setdefault(model, {})[r.name] = measured
    return found


def _simple_metrics(results: Sequence[SetResult], simple: Sequence[Answered]) -> dict[str, float]:
    """`<set>.exact.baseline` and `<set>.macro_f1.baseline`: what a linear model of the same rows reaches."""
    found = {}
    for r, answered in zip(results, simple, strict=True):
        if r.examples:
            truths = [" ".join(e.answer.split()) for e in r.examples]
            right = sum(a == b for a, b in zip(truths, answered.answers, strict=True))
            found[f"{r.name}.exact.baseline"] = round(right / len(truths), 6)
            found[f"{r.name}.macro_f1.baseline"] = round(macro_f1(truths, answered.answers), 6)
    return found


def win_rate(task: Task, r: SetResult) -> float:
    """Share of the examples on which the candidate's answer is nearer the truth than the other model's, ties half."""
    metric = metric_of(task)
    gains = [value_of(new, metric) - value_of(old, metric) for old, new in zip(r.before, r.after, strict=True)]
    return sum(1.0 if gain > 0 else 0.5 if gain == 0 else 0.0 for gain in gains) / len(gains)


def moved(task: Task, results: Sequence[SetResult]) -> list[Moved]:
    """What changed. Free text moves when ROUGE-L does by 0.1, and is still wrong below 0.3."""
    metric = metric_of(task)
    rows = []
    for r in results:
        for example, old, new in zip(r.examples, r.before, r.after, strict=True):
            a, b = value_of(old, metric), value_of(new, metric)
            kind: Literal["fixed", "broken", "still_wrong"]
            if b - a >= 0.1:
                kind = "fixed"
            elif a - b >= 0.1:
                kind = "broken"
            elif b < 0.3:
                kind = "still_wrong"
            else:
                continue
            rows.append(
                Moved(
                    kind=kind,
                    set=r.name,
                    example_id=example.id,
                    group=example.group,
                    message=example.question,
                    truth=example.answer,
                    before=old.answer,
                    after=new.answer,
                )
            )
    return rows


def latency(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds of one answer at batch 1: median and 95th percentile."""
    if not seconds:
        return {}
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1), "prompts": len(seconds)}


def _scores_csv(verdict: Verdict) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", "role", "examples", "before", "after", "gain", "lower", "upper"])
    for c in verdict.comparisons:
        writer.writerow([c.set, c.role, c.examples, c.champion, c.candidate, c.gain, c.lower, c.upper])
    return text.getvalue()


def read_results(folder: Path) -> list[Result]:
    """Read results.jsonl of an evaluation.

    Raises:
        DataError: it is missing or damaged.
    """
    from components.files import read_rows

    return read_rows(folder / "results.jsonl", Result)
