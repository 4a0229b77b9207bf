"""The report of an evaluation: one offline HTML file that says what happened, and shows it.

Written from the files that the stages left (reports/<task>/ and reports/base/), so that it can be
made again years later from a kept folder, without models or data.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.curation.sources import share_of_teachers
from components.evaluation import baseline, charts
from components.evaluation.frontier import frontier
from components.evaluation.results import BASELINE, Moved, Result, read_results
from components.evaluation.verdict import signed
from components.files import DataError, read_rows, write_text
from components.noninferiority import paired_interval
from components.schema import Comparison, Verdict

SIMULATED = (
    "The corrections were written by a simulated person, from the generator's truth: no human corrected anything."
)
ROLES = {
    "target": "must gain",
    "guard": "must not lose",
    "regression": "must stay fixed",
    "critical": "none may break",
    "shown": "shown only",
}
HEADLINES = {
    "promote": "Better, and proven: the candidate replaces the champion",
    "refuse": "Refused: the champion stays",
    "first": "The first version: introduced, not compared",
}
METRICS = {"exact": "exact match", "similarity": "ROUGE-L"}
SHOWN = 6
"""Examples of each kind that are shown; all are in moved.jsonl."""
BROKEN_SHOWN = 40
"""Of fixed and critical cases that break so many are shown: each is a reason to look."""


def write_report(
    reports: Path,
    task: str,
    into: Path,
    *,
    title: str | None = None,
    lineage: Mapping[str, str] | None = None,
    created_at: datetime | None = None,
) -> Path:
    """Write the report; return its path.

    Args:
        reports: the folder with evaluation/, and beside it training/, quality/, curation.json where they
            exist; the base's losses are looked for in `reports`/base and in the folder beside `reports`.
        into: the file to write, or a folder that gets report.html.
        lineage: rows of the table at the end: version, hashes, commit, ….

    Raises:
        DataError: there is no evaluation in `reports`.
    """
    folder = reports / "evaluation"
    verdict, about = read_verdict(folder), _json(folder / "about.json") or {}
    file = into if into.suffix == ".html" else into / "report.html"
    results = read_results(folder)
    metrics = _json(folder / "metrics.json") or {}
    before = "before" if about.get("compared_with") == "champion" else "bare base"
    titles: dict[str, str] = about.get("titles", {})
    moved = read_rows(folder / "moved.jsonl", Moved)
    page = _environment().get_template("report.html.jinja")
    html = page.render(
        title=title or f"{task}: {HEADLINES[verdict.decision].split(':')[0].lower()}",
        task=task,
        css=Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8")),
        headline=HEADLINES[verdict.decision],
        verdict=verdict,
        simulated=SIMULATED if verdict.simulated_feedback else None,
        before=before,
        metric=METRICS[about.get("metric", "exact")],
        sets=[_set(c, titles, results, about, metrics, verdict) for c in verdict.table],
        frontier=frontier(*(_json(reports / "selection" / f"{n}.json") for n in ("selection", "seconds"))),
        labels=_labels(folder, metrics, verdict, titles, before),
        losses=_losses(reports),
        moved=_moved(moved, titles, about),
        fields=_fields(metrics, verdict, titles),
        groups=_groups(results, about, verdict, titles),
        curation=_curation(reports),
        teachers=share_of_teachers(_json(reports / "curation.json") or {}),
        latency=_latency(folder),
        docs=_link(reports / "quality" / "docs" / "index.html", file),
        lineage=lineage or {},
        created_at=created_at,
        signed=signed,
    )
    write_text(file, html)
    return file


def read_verdict(folder: Path) -> Verdict:
    """Read verdict.json of an evaluation.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        return Verdict.model_validate_json((folder / "verdict.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}/verdict.json does not exist: run the stage that makes it (dvc repro)") from None
    except ValueError as error:
        raise DataError(f"{folder}/verdict.json is damaged: {str(error).splitlines()[0]}") from None


def summary(reports: Path) -> list[dict[str, str]]:
    """Rows of the table on the terminal: every set before and after, with the gain's interval."""
    folder = reports / "evaluation"
    about = _json(folder / "about.json") or {}
    titles = about.get("titles", {})
    return [
        {
            "set": titles.get(c.set, c.set),
            "role": ROLES[c.role],
            "examples": examples(c),
            "before": f"{c.champion:.3f}",
            "after": f"{c.candidate:.3f}",
            "gain": signed(c.gain),
            "interval": f"{signed(c.lower)} to {signed(c.upper)}",
        }
        for c in read_verdict(folder).table
    ]


def markdown(verdict: Verdict) -> str:
    """The verdict for a page that renders Markdown."""
    lines = [f"## {HEADLINES[verdict.decision]}", ""]
    lines += [f"- {reason}" for reason in verdict.reasons]
    lines += ["", f"| set | role | examples | before | after | gain | {verdict.confidence:.0%} interval |"]
    lines += ["|---|---|--:|--:|--:|--:|---|"]
    lines += [
        f"| {c.set} | {ROLES[c.role]} | {examples(c)} | {c.champion:.3f} | {c.candidate:.3f} | {signed(c.gain)} "
        f"| {signed(c.lower)} to {signed(c.upper)} |"
        for c in verdict.table
    ]
    if verdict.simulated_feedback:
        lines += ["", f"*{SIMULATED}*"]
    return "\n".join(lines) + "\n"


def examples(comparison: Comparison) -> str:
    """How many rows were looked at, and of how many where that is not all."""
    looked, available = comparison.examples, comparison.available
    return f"{looked} of {available}" if available and available > looked else str(looked)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _set(
    c: Comparison,
    titles: Mapping[str, str],
    results: Sequence[Result],
    about: Mapping[str, Any],
    metrics: Mapping[str, float],
    verdict: Verdict,
) -> dict[str, Any]:
    bars = []
    for model, value in ((about.get("compared_with", "champion"), c.champion), ("candidate", c.candidate)):
        values = [
            r.similarity if c.metric == "similarity" else float(r.exact)
            for r in results
            if (r.set, r.model) == (c.set, model)
        ]
        interval = paired_interval(values, (1 - verdict.confidence) / 2) if values else None
        bars.append(
            {
                "value": value,
                "lower": interval.lower if interval else value,
                "upper": interval.upper if interval else value,
            }
        )
    return {
        "name": c.set,
        "title": titles.get(c.set, c.set),
        "role": ROLES[c.role],
        "examples": examples(c),
        "c": c,
        "bars": bars,
        "forest": charts.forest(c.gain, c.lower, c.upper, c.bound),
        "valid": metrics.get(f"{c.set}.valid"),
        "wins": metrics.get(f"{c.set}.win_rate"),
        "perplexity": (metrics.get(f"{c.set}.perplexity.before"), metrics.get(f"{c.set}.perplexity")),
    }


def _labels(
    folder: Path, metrics: Mapping[str, float], verdict: Verdict, titles: Mapping[str, str], before: str
) -> dict[str, Any] | None:
    """Candidate, what it is compared with, and the linear model: how often right, and how far to be believed."""
    believed = _json(folder / "calibration.json")
    if not believed:
        return None
    models = [("", "candidate"), (".before", before), (".baseline", baseline.NAME)]
    rows = [
        {
            "set": titles.get(c.set, c.set),
            "model": name,
            "numbers": [metrics.get(f"{c.set}.{value}{end}") for value in ("exact", "macro_f1", "ece", "nll")],
        }
        for c in verdict.comparisons
        for end, name in models
    ]
    largest = max(verdict.comparisons, key=lambda c: c.examples).set
    named = {"candidate": "candidate", BASELINE: baseline.NAME}
    charted = [
        {
            "name": named.get(model, before),
            "chart": charts.reliability([(b["confidence"], b["accuracy"], b["rows"]) for b in of[largest]["bins"]]),
        }
        for model, of in believed.items()
        if largest in of
    ]
    return {"baseline": baseline.NAME, "rows": rows, "charts": charted, "on": titles.get(largest, largest)}


def _losses(reports: Path) -> list[dict[str, Any]]:
    base = next((f for f in (reports / "base", reports.parent / "base") if f.exists()), reports / "base")
    curves = []
    for name, says, file in (
        ("Pre-training", "the local base, from scratch", base / "pretrain" / "loss.csv"),
        ("Instruction tuning", "the base learns to answer", base / "instruct" / "loss.csv"),
        ("This version", "the adapter, on curated rows", reports / "training" / "loss.csv"),
    ):
        points, heldout = _curve(file)
        if len(points) > 1:
            curves.append({"name": name, "says": says, "chart": charts.curve(points, heldout), "last": points[-1]})
    return curves


def _curve(file: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    if not file.exists():
        return [], []
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    points = [(float(r["step"]), float(r["loss"])) for r in rows]
    return points, [(float(r["step"]), float(r["heldout"])) for r in rows if r.get("heldout")]


def _moved(moved: Sequence[Moved], titles: Mapping[str, str], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = about.get("answer") == "text"
    kinds = (
        ("fixed", "Better" if text else "Fixed", "wrong before, right now"),
        ("broken", "Worse" if text else "Broken", "right before, wrong now"),
        ("still_wrong", "Still poor" if text else "Still wrong", "wrong before and now"),
    )
    parts = []
    for kind, name, says in kinds:
        rows = [m for m in moved if m.kind == kind]
        parts.append(
            {
                "kind": kind,
                "name": name,
                "says": says if not text else "",
                "count": len(rows),
                "by_set": [
                    (titles.get(s, s), sum(m.set == s for m in rows)) for s in dict.fromkeys(m.set for m in rows)
                ],
                "rows": [_example(m, titles) for m in _chosen(rows)],
            }
        )
    return parts


def _chosen(rows: Sequence[Moved]) -> list[Moved]:
    """Fixed and critical cases that break, and a few of all others."""
    named = [m for m in rows if m.kind == "broken" and m.set in ("regression", "critical")][:BROKEN_SHOWN]
    return [*named, *_spread([m for m in rows if m not in named])]


def _spread(rows: Sequence[Moved]) -> list[Moved]:
    """A few of each set in turn, so that one large set does not hide the others."""
    queues = [[m for m in rows if m.set == s] for s in dict.fromkeys(m.set for m in rows)]
    taken: list[Moved] = []
    while len(taken) < SHOWN and any(queues):
        taken += [queue.pop(0) for queue in queues if queue]
    return taken[:SHOWN]


def _example(m: Moved, titles: Mapping[str, str]) -> dict[str, Any]:
    return {
        "set": titles.get(m.set, m.set),
        "group": m.group,
        "message": m.message,
        "answers": [
            ("truth", charts.answer(m.truth, None)),
            ("before", charts.answer(m.before, m.truth)),
            ("after", charts.answer(m.after, m.truth)),
        ],
    }


def _fields(metrics: Mapping[str, float], verdict: Verdict, titles: Mapping[str, str]) -> dict[str, Any] | None:
    """Per-field accuracy, one row a field and one column a set."""
    sets = [c.set for c in verdict.comparisons]
    names = sorted({k.split(".", 2)[2] for k in metrics if ".fields." in k and not k.endswith(".before")})
    if not names:
        return None
    return {
        "sets": [titles.get(s, s) for s in sets],
        "rows": [
            (n, [(metrics.get(f"{s}.fields.{n}.before"), metrics.get(f"{s}.fields.{n}")) for s in sets]) for n in names
        ],
    }


def _groups(
    results: Sequence[Result], about: Mapping[str, Any], verdict: Verdict, titles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Accuracy by group (symptom family, label) over all sets; the most changed first."""
    tally: dict[str, dict[str, list[float]]] = {}
    for r in results:
        value = r.similarity if about.get("metric") == "similarity" else float(r.exact)
        if r.group is not None:
            tally.setdefault(r.group, {}).setdefault(r.model, []).append(value)
    other = about.get("compared_with", "champion")
    rows = [
        {"name": g, "examples": len(v["candidate"]), "before": _mean(v[other]), "after": _mean(v["candidate"])}
        for g, v in tally.items()
        if "candidate" in v and other in v
    ]
    return sorted(rows, key=lambda r: (-abs(r["after"] - r["before"]), r["name"]))


def _curation(reports: Path) -> list[dict[str, Any]]:
    """What curation did, ledger by ledger."""
    found = _json(reports / "curation.json") or {}
    parts = []
    for name, title in (
        ("own", "The task's own rows"),
        ("feedback", "Feedback"),
        ("pairs", "Preference pairs"),
        ("judged", "Judged answers"),
    ):
        ledger = found.get(name)
        if isinstance(ledger, dict) and (ledger.get("in") or (name in ("own", "feedback") and "in" in ledger)):
            steps = [
                (step.replace("_", " "), {k: v for k, v in counts.items() if v})
                for step, counts in ledger.get("steps", {}).items()
                if any(counts.values())
            ]
            left_out = found.get("skipped", {}) if name == "own" else {}
            steps = [(f"left out: {why}", {"dropped": count}) for why, count in left_out.items()] + steps
            rows_in = ledger["in"] + sum(left_out.values())
            parts.append({"title": title, "in": rows_in, "steps": steps, "out": ledger.get("out", {})})
    return parts


def _latency(folder: Path) -> list[tuple[str, float, float]]:
    found = _json(folder / "latency.json") or {}
    return [(name, v["p50_ms"], v["p95_ms"]) for name, v in found.items() if v]


def _link(target: Path, page: Path) -> str | None:
    return Path(os.path.relpath(target, page.parent)).as_posix() if target.exists() else None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{file} is no JSON: {error}") from None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
