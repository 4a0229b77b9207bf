"""How much of what is taught in a turn is new.

A turn brings a hundred corrections beside thousands of replayed rows: the task's own and, of earlier turns'
corrections, as many as a turn rehearses (components/curation/rehearsal.py). Seen as often as the
old ones the corrections are hardly learned; with few old rows beside them the old ones are
forgotten. So corrections are repeated until they make up their share, and each old row is
seen about once.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.schema import Example


def mixed(examples: Sequence[Example], feedback_share: float) -> list[Example]:
    """The examples with this turn's feedback repeated until it is at least `feedback_share` of all.

    Whole repetitions only; without new feedback, or with enough of it, nothing is repeated.
    """
    new = [example for example in examples if example.is_new]
    old = len(examples) - len(new)
    if not new or not old:
        return list(examples)
    times = 1
    while len(new) * times < feedback_share * (len(new) * times + old):
        times += 1
    return [*examples, *new * (times - 1)]
