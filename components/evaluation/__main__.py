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
    from components.evaluation.compare import compare
    from components.evaluation.preferences import comparison, load_pairs
    from components.evaluation.results import write
    from components.evaluation.sets import load_sets
    from components.evaluation.verdict import judge

    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    task = load(settings.task)
    compared = compare(
        task,
        load_sets(task),
        settings.evaluate,
        settings.promotion,
        layout.BASE,
        layout.adapter(task.name),
        layout.CHAMPION,
        best=layout.BEST if (layout.BEST / "manifest.json").exists() else None,
        threads=settings.threads,
        seed=settings.seed,
        pairs=load_pairs(task.name),
    )
    preferred = comparison(compared.before.prefers, compared.after.prefers, settings.promotion, settings.seed)
    verdict = judge(
        task,
        compared.results,
        settings.promotion,
        settings.seed,
        has_champion=compared.before_name == "champion",
        error=compared.error,
        locked_share=settings.curate.regression_share,
        parity=compared.after.parity,
        shown=[preferred] if preferred else [],
    )
    simple = None
    if task.answer == "label":
        taught = read_rows(layout.curated(task.name) / "train.jsonl", Example)
        simple = baseline.answered(taught, [r.examples for r in compared.results], settings.seed)
    write(task, compared.results, verdict, compared.after, compared.before, compared.before_name, simple)
    log.info("verdict: %s", verdict.decision)
    for reason in verdict.reasons:
        log.info("  %s", reason)


if __name__ == "__main__":
    stage.run(main)
