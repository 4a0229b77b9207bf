"""What the gate lets through: the probability of promotion by the true gain and the true losses.

    python -m benchmarks.gate [--turns 2000] [--seed 1] [--plot docs/img/gate.png]

Simulated candidates meet the gate's own code (components/evaluation/gate.py, the looks of compare.py): rows are drawn
with a true gain or loss and a share of rows that both models answer differently. No model is involved, so each figure
is the rule's alone. Beside it stands what the rule before it would have done with the same draws: each guard by itself
by a 95 % interval over 800 and 1,000 rows, and no fixed case broken.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from components.config import EvaluateSettings, PromotionSettings
from components.evaluation.gate import Guard, judge_fixed, judge_guards, judge_target
from components.noninferiority import Gains, allowed_loss, look_errors, look_sizes, paired_interval, share_upper

OLD_ROWS, OLD_DELTA = (800, 1000), 0.02
"""Of the two guards that the rule before had, and what each might lose."""
DEFAULT_GUARDS = {"replay": 1200, "test": 4000}
"""Rows of the default task's guards."""
Random = np.random.Generator


@dataclass(frozen=True)
class Candidate:
    """What is true of a candidate, and how many rows there are to find out."""

    gain: float = 0.5
    """Of the target."""
    target: int = 190
    losses: Mapping[str, float] = field(default_factory=lambda: {"replay": 0.0, "test": 0.0})
    guards: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_GUARDS))
    discordant: float = 0.03
    """Share of guard rows that both models answer differently, apart from a loss."""
    fixed: int = 0
    """Fixed cases that the champion answers right."""
    broken: float = 0.03
    """Share of them that the candidate breaks ..."""
    mended: float = 0.03
    """... and of as many others that it mends."""


def drawn(rng: Random, rows: int, gain: float, discordant: float) -> Gains:
    """Paired gains of `rows` rows with this mean; `discordant` rows differ beside what the mean takes."""
    wins, losses = discordant / 2 + max(gain, 0.0), discordant / 2 + max(-gain, 0.0)
    return rng.choice([1.0, -1.0, 0.0], size=rows, p=[wins, losses, 1 - wins - losses])


def decided(rng: Random, candidate: Candidate, promotion: PromotionSettings, first_look: int) -> tuple[bool, int]:
    """Whether the gate promotes this candidate, and how many guard rows it looked at."""
    error = (1 - promotion.confidence) / 2
    rows_in_turn = sorted((rank, name) for name, rows in candidate.guards.items() for rank in range(rows))
    names = np.array([name for _, name in rows_in_turn])  # as components.evaluation.sets.look_order has them
    gains = {
        name: drawn(rng, rows, -candidate.losses.get(name, 0.0), candidate.discordant)
        for name, rows in candidate.guards.items()
    }
    target = drawn(rng, candidate.target, candidate.gain, 0.04)
    before, after = fixed_cases(rng, candidate)
    delta = allowed_loss(promotion.delta, len(names), error)
    status, size = "open", 0
    sizes = look_sizes(len(names), first_look)
    for size, spent in zip(sizes, look_errors(len(sizes), error), strict=True):
        seen = names[:size]
        guards = [
            Guard(name, gains[name][: int((seen == name).sum())], rows) for name, rows in candidate.guards.items()
        ]
        status = judge_guards(guards, delta, spent, error).status
        if status != "open":
            break
    passed = (
        status == "kept"
        and judge_target(target, promotion.min_target, error, 0).status == "better"
        and judge_fixed(before, after, promotion.broken, error).status == "kept"
    )
    return passed, size


def fixed_cases(rng: Random, candidate: Candidate) -> tuple[Gains, Gains]:
    """Both models' values on fixed cases: those that the champion has right, and a tenth more that it has not."""
    right = np.ones(candidate.fixed)
    wrong = np.zeros(candidate.fixed // 10)
    mended = min(1.0, candidate.mended * candidate.fixed / max(1, len(wrong)))
    after = [*(rng.random(len(right)) >= candidate.broken), *(rng.random(len(wrong)) < mended)]
    return np.concatenate([right, wrong]), np.array(after, dtype=np.float64)


def decided_before(rng: Random, candidate: Candidate) -> bool:
    """What the rule before did: every guard by itself, the target's lower bound above 0, no fixed case broken."""
    losses = list(candidate.losses.values())
    guards = [
        paired_interval(drawn(rng, rows, -loss, candidate.discordant), 0.025)
        for rows, loss in zip(OLD_ROWS, losses, strict=False)
    ]
    target = paired_interval(drawn(rng, candidate.target, candidate.gain, 0.04), 0.025)
    before, after = fixed_cases(rng, candidate)
    broken = int(((before == 1) & (after == 0)).sum())
    return all(guard.lower > -OLD_DELTA for guard in guards) and target.lower > 0 and broken == 0


@dataclass(frozen=True)
class Measured:
    """How often a candidate is promoted."""

    promoted: float
    upper: float
    """Upper bound of that (Clopper-Pearson, 97.5 %)."""
    before: float
    """By the rule before."""
    rows: float
    """Guard rows that a turn looks at in the mean."""


def measured(candidate: Candidate, turns: int, seed: int, promotion: PromotionSettings | None = None) -> Measured:
    """Simulate `turns` turns with this candidate."""
    promotion = promotion or PromotionSettings()
    first_look = EvaluateSettings().look_rows
    rng, again = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    outcomes = [decided(rng, candidate, promotion, first_look) for _ in range(turns)]
    promoted = sum(passed for passed, _ in outcomes)
    old = sum(decided_before(again, candidate) for _ in range(turns))
    rows = sum(size for _, size in outcomes) / turns
    return Measured(promoted / turns, share_upper(promoted, turns, 0.025), old / turns, rows)


def lost(loss: float, candidate: Candidate | None = None) -> Candidate:
    """The candidate, losing so much on every guard."""
    candidate = candidate or Candidate()
    return replace(candidate, losses=dict.fromkeys(candidate.guards, loss))


SMALL = Candidate(target=30, guards={"test": 60})
MIDDLE = Candidate(target=60, guards={"replay": 200, "test": 400})
TEN = Candidate(guards={f"guard {number}": 400 for number in range(10)})
ONE_OF_TEN = replace(TEN, losses={"guard 0": 0.06})
LOSSES = (0.0, 0.003, 0.007, 0.01, 0.015, 0.02, 0.025, 0.03)


def scenarios() -> list[tuple[str, Candidate]]:
    """What is printed: a line each."""
    return [
        *((f"loses {loss:g} on both guards", lost(loss)) for loss in LOSSES),
        *((f"loses {loss:g} on test alone", replace(Candidate(), losses={"test": loss})) for loss in (0.02, 0.03)),
        *((f"gains {gain:g} on the target of 190", replace(Candidate(), gain=gain)) for gain in (0.0, 0.03, 0.1)),
        *((f"gains {gain:g} on a target of 30", replace(Candidate(), gain=gain, target=30)) for gain in (0.0, 0.2)),
        *(
            (f"breaks {share:.0%} of {cases} fixed cases, mends 3%", replace(Candidate(), fixed=cases, broken=share))
            for cases, share in (
                (30, 0.03),
                (200, 0.03),
                (1000, 0.03),
                (200, 0.06),
                (1000, 0.06),
                (200, 0.15),
                (1000, 0.12),
            )
        ),
        ("ten guards of 400, nothing lost", TEN),
        ("ten guards of 400, one loses 0.06", ONE_OF_TEN),
        ("guards of 200 and 400, nothing lost", MIDDLE),
        ("guards of 200 and 400, 0.02 lost", lost(0.02, MIDDLE)),
        ("one guard of 60, nothing lost", SMALL),
        ("one guard of 60, 0.07 lost", lost(0.07, SMALL)),
    ]


def plot(path: str, turns: int, seed: int) -> None:
    """The operating curve as a picture: P(promoted) by the true loss, now and before."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    losses = np.linspace(0, 0.03, 13)
    curves = [measured(lost(float(loss)), turns, seed) for loss in losses]
    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.plot(losses, [c.promoted for c in curves], "o-", label="now: 5,200 guard rows, looked at as far as needed")
    axes.plot(
        losses, [c.before for c in curves], "s--", label="before: two guards of 800 and 1,000 rows, each by itself"
    )
    axes.axvline(OLD_DELTA, color="grey", linewidth=1)
    axes.axhline(0.05, color="grey", linewidth=1, linestyle=":")
    axes.set(xlabel="true loss on old tests", ylabel="share of candidates promoted", ylim=(-0.02, 1.02))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2000, help="simulated turns a line")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", help="also draw the operating curve into this file")
    arguments = parser.parse_args()
    table = Table(title=f"Share of candidates promoted, {arguments.turns} simulated turns a line", title_justify="left")
    for column in ("what is true of the candidate", "promoted", "rule before", "guard rows looked at"):
        table.add_column(column, justify="left" if column.startswith("what") else "right")
    for name, candidate in scenarios():
        result = measured(candidate, arguments.turns, arguments.seed)
        comparable = candidate.guards == DEFAULT_GUARDS
        before = f"{result.before:.3f}" if comparable else "–"
        table.add_row(name, f"{result.promoted:.3f}", before, f"{result.rows:,.0f}")
    Console(highlight=False).print(table)
    if arguments.plot:
        plot(arguments.plot, arguments.turns, arguments.seed)


if __name__ == "__main__":
    main()
