"""Stage `corpus`: pre-training text and instruction examples for the local base.

    python -m components.corpus

Writes text.jsonl, heldout.jsonl ({"text": …} a line) and instruct.jsonl (rows of the corpus
task's train kind). With another base than the local one there is nothing to pre-train: only
not-used.json, which says so.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from components import config, files, layout, stage, task
from components.corpus import overlap

log = logging.getLogger("corpus")

HELD_OUT_EVERY = 50
"""One document in so many is kept from training, to measure the loss on."""


def main(settings: config.Settings) -> None:
    if settings.model.base != "local":
        with files.replacing_folder(layout.CORPUS) as folder:
            files.write_json(
                folder / "not-used.json", {"reason": f"model.base is {settings.model.base}: not pre-trained here"}
            )
        log.info("model.base is %s: no corpus needed", settings.model.base)
        return
    name = settings.corpus.task
    generator = task.generator(name)
    if generator is None:
        raise stage.StageError(f"corpus.task: {name} has no generator.py to write pre-training text: name one that has")
    sizes = settings.examples.model_dump(exclude={"held_out_share"}) | {"train": settings.corpus.instructions}
    sets = generator.example_sets(settings.seed, sizes)
    held_back = [row.question for set_, rows in sets.items() if set_ != "train" for row in rows]
    documents = list(dict.fromkeys(generator.corpus(settings.seed, settings.corpus.documents)))
    kept = list(overlap.without(documents, held_back))
    with files.replacing_folder(layout.CORPUS) as folder:
        _write(folder / "text.jsonl", [d for i, d in enumerate(kept) if i % HELD_OUT_EVERY])
        _write(folder / "heldout.jsonl", kept[::HELD_OUT_EVERY])
        files.write_rows(folder / "instruct.jsonl", sets["train"])
    log.info(
        "corpus of %s: %d documents, %.1f million characters; left out as repeats or near an evaluation message: %d",
        name,
        len(kept),
        sum(map(len, kept)) / 1e6,
        settings.corpus.documents - len(kept),
    )


def _write(path: Path, documents: list[str]) -> None:
    files.write_text(path, "".join(json.dumps({"text": d}, ensure_ascii=False) + "\n" for d in documents))


if __name__ == "__main__":
    stage.run(main)
