"""Stage `validate`: the Great Expectations gate. A failed rule fails the stage, with rules and rows named.

python -m components.quality
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict

from components import config, files, layout, stage
from components import task as tasks
from components.curation.evaluation_sets import evaluation_files
from components.curation.near import asked, question
from components.models import load_tokenizer
from components.quality import gate
from components.quality.docs import make_offline
from components.quality.frame import frame
from components.quality.judged import frame_of_judged
from components.quality.lines import Line, read_lines
from components.quality.pairs import frame_of_pairs
from components.schema import Example, Judged, Preference

log = logging.getLogger("validate")


class GateError(stage.StageError):
    """The data may not be taught."""


def sets(name: str) -> tuple[list[Line[Example]], dict[str, list[Line[Example]]]]:
    """The training rows, and every evaluation set by name, as lines.

    Raises:
        files.DataError: a file that curate writes is missing.
    """
    curated = layout.curated(name)
    evaluation = {path.stem: read_lines(path, Example) for path in evaluation_files(layout.examples(name))}
    for locked in ("replay", "target", "regression", "tuning_target", "tuning_guard"):
        evaluation[locked] = read_lines(curated / f"{locked}.jsonl", Example)
    return read_lines(curated / "train.jsonl", Example), evaluation


def main(settings: config.Settings) -> None:
    task = tasks.load(settings.task)
    training, evaluation = sets(settings.task)
    tokenizer = load_tokenizer(layout.TOKENIZER)
    near = settings.curate.near_duplicate
    tested = [line for lines in evaluation.values() for line in lines]
    log.info("validate: %d training rows, %d evaluation rows in %d sets", len(training), len(tested), len(evaluation))
    frames = {
        "training": frame(training, task, tokenizer, settings.quality.languages, evaluation, near),
        "evaluation": frame(tested, task, tokenizer, [], {}, near),
    }
    curated = layout.curated(settings.task)
    critical = read_lines(curated / "critical.jsonl", Example)
    if critical:  # what is taught may be critical, so nothing is kept apart from these rows
        frames["critical"] = frame(critical, task, tokenizer, [], {}, near)
    pairs, pairs_heldout = (read_lines(curated / f"preferences{which}.jsonl", Preference) for which in ("", "_heldout"))
    judged, judged_heldout = (read_lines(curated / f"judged{which}.jsonl", Judged) for which in ("", "_heldout"))
    apart = [(line.where, question(line.row)) for line in tested if line.row is not None]
    apart += [(line.where, asked(line.row.prompt)) for line in pairs_heldout if line.row is not None]
    apart += [(line.where, asked(line.row.prompt)) for line in judged_heldout if line.row is not None]
    if pairs or pairs_heldout:
        frames["preference"] = frame_of_pairs(pairs, task, tokenizer, apart, near)
        frames["held-out-preference"] = frame_of_pairs(pairs_heldout, task, tokenizer, (), near)
    if judged or judged_heldout:
        every = [*pairs, *pairs_heldout]
        frames["judged"] = frame_of_judged(judged, every, task, tokenizer, apart, near)
        frames["held-out-judged"] = frame_of_judged(judged_heldout, every, task, tokenizer, (), near)
    with files.replacing_folder(layout.quality(settings.task)) as folder:
        rules = gate.run(frames, settings.quality, settings.model.context, folder / "docs")
        make_offline(folder / "docs")
        passed = all(rule.passed for rule in rules)
        files.write_json(
            folder / "quality.json",
            {
                "passed": passed,
                "training_rows": len(training),
                "evaluation_rows": len(tested),
                "critical_cases": len(critical),
                "preference_pairs": len(pairs),
                "held_out_pairs": len(pairs_heldout),
                "judged_answers": len(judged),
                "held_out_judged_answers": len(judged_heldout),
                "rules": [asdict(rule) for rule in rules],
            },
        )
    for rule in rules:
        log.info("%s  %s: %s", "ok  " if rule.passed else "FAIL", rule.rule, rule.says)
    if not passed:
        raise GateError(_why([rule for rule in rules if not rule.passed], settings.task))


def _why(failed: Sequence[gate.Rule], name: str) -> str:
    """One line with every failed rule and the first of its rows."""
    parts = []
    for rule in failed:
        if rule.rows:
            named = "; ".join(f"{row['where']} ({row['id'] or 'no id'}) {row['what']}"[:160] for row in rule.rows[:3])
            more = f"; and {rule.failures - 3} more" if rule.failures > 3 else ""
            parts.append(f"[{rule.rule}] {rule.failures} {rule.suite.replace('-', ' ')}: {named}{more}")
        else:
            observed = "" if rule.observed is None else f", but it is {rule.observed:.4g}"
            parts.append(f"[{rule.rule}] {rule.says}{observed}")
    return (
        f"the data may not be taught: {' | '.join(parts)} — all rows are in {layout.quality(name)}/quality.json, "
        f"pages in {layout.quality(name)}/docs/index.html"
    )


if __name__ == "__main__":
    stage.run(main)
