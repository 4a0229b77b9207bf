"""Tables, a plot and one JSON file of what the wheels did; made from their state files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.turns.families import OLD
from benchmarks.turns.truth import clopper_pearson
from components import files

State = Mapping[str, Any]
LEAST, LOST, BELOW_ORACLE = 0.85, 0.01, 0.02
"""What is reached: every family at least so good, the old kinds at most so much worse, so near to the oracle."""


def show(console: Console, states: Mapping[int, State], folder: Path) -> None:
    """Print the tables of all seeds, and write turns.json and turns.png."""
    files.write_json(folder / "turns.json", {str(seed): state for seed, state in states.items()})
    for seed, state in states.items():
        console.print(turns_table(seed, state))
        if "final" in state:
            console.print(final_table(seed, state))
    console.print(verdicts(list(states.values())))
    if any(state["turns"] and "scores" in state["turns"][-1] for state in states.values()):
        plot(states, folder / "turns.png")
        console.print(f"{folder / 'turns.png'}, {folder / 'turns.json'}", soft_wrap=True)


def turns_table(seed: int, state: State) -> Table:
    """One seed, a turn a row."""
    table = Table(title=f"seed {seed}")
    for column in ("turn", "family", "corrections", "verdict", "true gain", "truly", "judgement", "before → after"):
        table.add_column(column)
    for column in ("old kinds", "worst taught", "s"):
        table.add_column(column, justify="right")
    before: Mapping[str, float] = state.get("first", {})
    for number, entry in enumerate(state["turns"], 1):
        if "scores" not in entry:
            continue
        real, scores = entry.get("truth") or {}, entry["scores"]
        taught = [e["family"] for e in state["turns"][:number]]
        gain = f"{real['target']['gain']:+.3f}" if real else "–"
        then = before.get(entry["family"])
        table.add_row(
            str(entry["turn"]),
            entry["family"],
            str(entry["feedback"]["corrections"]),
            entry["decision"],
            gain,
            real.get("is", "–"),
            real.get("judgement", "–"),
            f"{'–' if then is None else f'{then:.3f}'} → {scores[entry['family']]:.3f}",
            f"{scores[OLD]:.3f}",
            f"{min(scores[name] for name in taught):.3f}",
            seconds_of([entry]),
        )
        before = scores
    return table


def final_table(seed: int, state: State) -> Table:
    """The last version beside version 1 and the oracle, and whether it reaches what was asked for."""
    oracle = state.get("oracle", {}).get("scores")
    table = Table(title=f"seed {seed}, exact match at the end")
    for column in ("kind", "version 1", "after the turns", "oracle", ""):
        table.add_column(column)
    for kind in (OLD, *(entry["family"] for entry in state["turns"])):
        value = state["final"][kind]
        least = state["first"][OLD] - LOST if kind == OLD else LEAST
        behind = oracle is not None and value < oracle[kind] - BELOW_ORACLE
        wrong = [*(["below " + f"{least:.3f}"] if value < least else []), *(["behind the oracle"] if behind else [])]
        table.add_row(
            kind,
            f"{state['first'][kind]:.3f}",
            f"{value:.3f}",
            "–" if oracle is None else f"{oracle[kind]:.3f}",
            ", ".join(wrong) or "reached",
        )
    return table


def verdicts(states: Sequence[State]) -> Table:
    """How many verdicts were right, by turn."""
    table = Table(title="verdicts by turn, all seeds")
    names = ("right promotion", "right refusal", "wrong promotion", "wrong refusal", "undecidable", "no candidate")
    for column in ("turn", *names, "of the truly better, promoted", "seconds"):
        table.add_column(column, justify="right")
    turns = max((len(state["turns"]) for state in states), default=0)
    for number in range(turns):
        entries = [s["turns"][number] for s in states if len(s["turns"]) > number and "truth" in s["turns"][number]]
        if entries:
            table.add_row(str(number + 1), *_cells(entries, names))
    every = [entry for state in states for entry in state["turns"] if "truth" in entry]
    if every:
        table.add_row("all", *_cells(every, names))
    return table


def _cells(entries: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    counts = Counter((e["truth"] or {}).get("judgement", "no candidate") for e in entries)
    better = counts["right promotion"] + counts["wrong refusal"]
    share = share_of(counts["right promotion"], better)
    return [*(str(counts[name]) for name in names), share, seconds_of(entries)]


def seconds_of(entries: Sequence[Mapping[str, Any]]) -> str:
    """The mean of those turns that were made in one go and not taken from DVC's cache."""
    timed = [entry["seconds"] for entry in entries if entry["timed"]]
    return f"{sum(timed) / len(timed):.0f}" if timed else "–"


def share_of(successes: int, trials: int) -> str:
    """A count with its share and exact interval."""
    if not trials:
        return "–"
    lower, upper = clopper_pearson(successes, trials)
    return f"{successes} of {trials} ({successes / trials:.2f}, {lower:.2f} to {upper:.2f})"


def show_demo(console: Console, runs: Mapping[str, Mapping[int, State]], folder: Path) -> None:
    """How often the demo's first turn ended promoted, by threads."""
    files.write_json(
        folder / "demo.json", {name: {str(k): v for k, v in states.items()} for name, states in runs.items()}
    )
    table = Table(title="the demo's first turn")
    for column in ("threads", "promoted", "truly better", "of these promoted", "judgements", "turn s"):
        table.add_column(column)
    for name, states in runs.items():
        entries = [state["turns"][0] for state in states.values() if state["turns"] and "truth" in state["turns"][0]]
        if not entries:
            continue
        promoted = sum(e["decision"] == "promoted" for e in entries)
        better = [e for e in entries if (e["truth"] or {}).get("is") == "better"]
        judgements = Counter((e["truth"] or {}).get("judgement", "no candidate") for e in entries)
        table.add_row(
            name,
            share_of(promoted, len(entries)),
            str(len(better)),
            share_of(sum(e["decision"] == "promoted" for e in better), len(better)),
            ", ".join(f"{count} {judgement}" for judgement, count in judgements.items()),
            seconds_of(entries),
        )
    console.print(table)


def show_planted(console: Console, states: Mapping[int, State], folder: Path) -> None:
    """Of every kind of bad candidate, how many were promoted, and whether those were bad at all."""
    files.write_json(folder / "planted.json", {str(seed): state for seed, state in states.items()})
    results = [result for state in states.values() for result in state.get("planted", {}).values()]
    table = Table(title="planted bad candidates")
    for column in (
        "kind",
        "candidates",
        "refused",
        "stopped",
        "promoted",
        "of these truly better",
        "truly not better",
        "first reasons",
    ):
        table.add_column(column)
    for kind in dict.fromkeys(result["kind"] for result in results):
        of = [result for result in results if result["kind"] == kind]
        decisions = Counter(result["decision"] for result in of)
        mended = sum(r.get("truth", {}).get("is") == "better" for r in of if r["decision"] == "promote")
        reasons = Counter(r["reasons"][0][:60] for r in of if r["decision"] != "promote" and r["reasons"])
        table.add_row(
            kind,
            str(len(of)),
            str(decisions["refuse"]),
            str(decisions["stopped"]),
            str(decisions["promote"]),
            str(mended),
            str(sum(r.get("truth", {}).get("is") == "not better" for r in of)),
            "; ".join(f"{count}× {reason}" for reason, count in reasons.most_common(2)),
        )
    console.print(table)


def plot(states: Mapping[int, State], file: Path) -> None:
    """Quality a family by turn, and the seconds of each turn; a column a seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {seed: state for seed, state in states.items() if any("scores" in e for e in state["turns"])}
    figure, axes = pyplot.subplots(
        2, len(shown), figsize=(1 + 5 * len(shown), 7), squeeze=False, height_ratios=(3, 1), sharex="col"
    )
    for (top, bottom), (seed, state) in zip(axes.T, shown.items(), strict=True):
        entries = [entry for entry in state["turns"] if "scores" in entry]
        numbers = [entry["turn"] for entry in entries]
        for place, name in enumerate([OLD, *(entry["family"] for entry in entries)]):
            line = {"color": "black", "linewidth": 2} if name == OLD else {"color": f"C{(place - 1) % 10}"}
            top.plot(numbers, [entry["scores"][name] for entry in entries], label=name, **line)
        if "first" in state:
            top.axhline(state["first"][OLD], color="grey", linestyle=":", label="old kinds, version 1")
        if "oracle" in state:
            scores = state["oracle"]["scores"]
            top.axhline(scores[OLD], color="grey", linestyle="--", label="old kinds, oracle")
            mean = sum(scores[entry["family"]] for entry in entries) / len(entries)
            top.axhline(mean, color="grey", linestyle="-.", label="new families, oracle (mean)")
        top.axhline(LEAST, color="red", linewidth=0.5)
        top.set(title=f"seed {seed}", ylim=(-0.02, 1.02), ylabel="exact match of what serves")
        top.legend(fontsize=6, loc="lower right")
        colours = {"promoted": "C2", "refused": "C3"}
        bottom.bar(
            numbers,
            [entry["seconds"] if entry["timed"] else 0 for entry in entries],
            color=[colours.get(entry["decision"], "grey") for entry in entries],
        )
        bottom.set(xlabel="turn (green: promoted, red: refused)", ylabel="seconds")
        bottom.set_xticks(numbers)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
