"""Stage `evaluate`: candidate against champion on every set, and the verdict."""

from __future__ import annotations

import logging

from components import layout, stage
from components.config import Settings
from components.files import read_rows
from components.schema import Example
from components.task import load

log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Read models and sets from the working directory; write reports/<task>/evaluation/ and evaluation.json."""
    import torch

    from components.evaluation import baseline
    from components.evaluation.compare import compare, load_sets
    from components.evaluation.results import write
    from components.evaluation.verdict import judge

    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    task = load(settings.task)
    sets = load_sets(task)
    adapter = layout.adapter(task.name)
    results, after, before, before_name = compare(
        task, sets, settings.evaluate, layout.BASE, adapter, layout.CHAMPION, settings.threads
    )
    verdict = judge(
        task,
        results,
        settings.promotion,
        settings.seed,
        has_champion=before_name == "champion",
        parity=after.parity,
    )
    simple = None
    if task.answer == "label":
        taught = read_rows(layout.curated(task.name) / "train.jsonl", Example)
        simple = baseline.answered(taught, [s.examples for s in sets], settings.seed)
    write(task, results, verdict, after, before, before_name, simple)
    log.info("verdict: %s", verdict.decision)
    for reason in verdict.reasons:
        log.info("  %s", reason)


if __name__ == "__main__":
    stage.run(main)
