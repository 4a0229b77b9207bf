"""Stage `examples`: one `<set>.jsonl` per set of the task, proved disjoint, and skipped.jsonl.

python -m components.examples
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from components import config, files, layout, stage, task
from components.examples import disjoint, split
from components.examples.lengths import Context, without_long
from components.schema import Dropped, Example

log = logging.getLogger("examples")

LEFT_OUT = {
    "too long": "left out because they are longer than model.context (raise it in the task's params.yaml)",
    "examples": "left out as empty, repeated or no valid answer",
    "teacher": "of a teacher left out: near a test question, or answered by a person",
}


def rows(name: str, settings: config.Settings) -> tuple[dict[str, list[Example]], list[Dropped]]:
    """The task's sets and the rows that could not be used.

    Raises:
        stage.StageError: the task has neither a generator nor rows, or its sets are not disjoint.
        task.TaskError: task.yaml is missing or wrong.
        files.DataError: examples.jsonl holds a line that is no example.
    """
    settings_of_task = task.load(name)
    generator = task.generator(name)
    skipped: list[Dropped] = []
    if generator is not None:
        try:
            sets = generator.example_sets(settings.seed, settings.examples.model_dump(exclude={"held_out_share"}))
        except ValueError as error:
            raise stage.StageError(f"tasks/{name}/generator.py: {error}") from None
    else:
        path = layout.task_folder(name) / "examples.jsonl"
        if not path.exists():
            raise stage.StageError(
                f"tasks/{name} has neither generator.py nor examples.jsonl: bring rows with saqia init"
            )
        brought = files.read_rows(path, Example)
        asked = [_with_system(row, settings_of_task) for row in brought]
        fitting, long = without_long(asked, Context(settings.model.context))
        if brought and not fitting:
            raise stage.StageError(
                f"{path}: none of its {len(brought)} rows fits into the model; the first has {long[0].reason}: "
                f"raise it in tasks/{name}/params.yaml, or shorten the rows"
            )
        sets, skipped = split.split(settings_of_task, fitting, settings.seed, settings.examples.held_out_share)
        skipped = [*long, *skipped]
    if generator is not None and settings_of_task.system:
        sets = {set_: [_with_system(row, settings_of_task) for row in found] for set_, found in sets.items()}
    disjoint.check(sets)
    return sets, skipped


def write(name: str, sets: Mapping[str, Sequence[Example]], skipped: Sequence[Dropped]) -> None:
    """Write the sets' files as one folder, whole or not at all."""
    with files.replacing_folder(layout.examples(name)) as folder:
        for set_, found in sets.items():
            files.write_rows(folder / f"{set_}.jsonl", found)
        files.write_rows(folder / "skipped.jsonl", skipped)


def main(settings: config.Settings) -> None:
    sets, skipped = rows(settings.task, settings)
    write(settings.task, sets, skipped)
    log.info("examples of %s: %s", settings.task, ", ".join(f"{name} {len(found)}" for name, found in sets.items()))
    for step, count in Counter(row.step for row in skipped).items():
        why = LEFT_OUT.get(step, "skipped")
        log.info("examples: %d rows %s, each named in %s/skipped.jsonl", count, why, layout.examples(settings.task))


def _with_system(row: Example, of: task.Task) -> Example:
    """The row as it is taught: with the task's system message where it has none of its own."""
    if any(message.role == "system" for message in row.messages):
        return row
    return row.model_copy(update={"messages": (*of.prompt("")[:-1], *row.messages)})


if __name__ == "__main__":
    stage.run(main)
