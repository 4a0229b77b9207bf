"""No single person speaks for everybody: a bound on one rater's share of a turn's rows, and of the pairs and judged
answers to teach."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TypeVar

from components.curation.settled import Settled
from components.feedback.triage import drop
from components.schema import Dropped, Judged, Preference

Row = TypeVar("Row", Preference, Judged)
STEP = "rater cap"


def allowance(counts: Sequence[int], share: float, free: int) -> int:
    """Most rows that one rater may give, so that nobody gives more than `share` of what is then kept.

    `counts` are rows per rater. With R raters no bound below 1/R can be met, so the larger of
    the two holds. `free` rows are always allowed: so few do no harm, and one stranger's single
    row must not silence a team. With a single rater there is nobody to be weighed against.
    """
    if len(counts) < 2:
        return max(counts, default=0)
    share = max(share, 1 / len(counts))
    for allowed in range(max(counts), 0, -1):
        kept = sum(min(count, allowed) for count in counts)
        if min(allowed, max(counts)) <= share * kept + 1e-9:
            return max(allowed, free)
    return free


def capped(
    rows: Sequence[Settled], share: float, free: int, trusted: Collection[str]
) -> tuple[list[Settled], list[Dropped]]:
    """Keep each rater's first rows of a turn up to the allowance; `trusted` raters are not bounded.

    Trusted raters' rows count in what the others' share is taken of.
    """
    counts = Counter(row.row.rater for row in rows)
    allowed = allowance(list(counts.values()), share, free)
    given: defaultdict[str, int] = defaultdict(int)
    kept: list[Settled] = []
    dropped: list[Dropped] = []
    for row in rows:
        rater = row.row.rater
        given[rater] += 1
        if rater in trusted or given[rater] <= allowed:
            kept.append(row)
        else:
            reason = (
                f"rater {rater} gave {counts[rater]} of this turn's {len(rows)} rows; at most {allowed} may be used"
            )
            dropped.append(drop(row.row, reason, STEP))
    return kept, dropped


def capped_votes(
    rows: Sequence[Row], votes: Collection[str], share: float, free: int, trusted: Collection[str], what: str
) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Keep each person's first pairs, or judged answers, up to the allowance, and tell of each other one why it is
    not taught.

    Bounded are the rows whose ids are in `votes`. Corrections (which `capped` has bounded turn by turn), the task's own
    rows, a judge's (which count while it may be trusted) and trusted people's are not: they count in what the others'
    share is taken of. `what` names the rows.
    """
    counts = Counter(row.rater for row in rows)
    allowed = allowance(list(counts.values()), share, free)
    given: Counter[str] = Counter()
    kept: list[Row] = []
    dropped: list[tuple[Row, str]] = []
    for row in rows:
        rater = row.rater
        given[rater] += 1
        free_of_it = row.id not in votes or row.source == "ai" or rater in trusted
        if free_of_it or given[rater] <= allowed:
            kept.append(row)
        else:
            why = f"rater {rater} gave {counts[rater]} of {len(rows)} {what}; at most {allowed} may be taught"
            dropped.append((row, why))
    return kept, dropped
