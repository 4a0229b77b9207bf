"""Stage `instruct`: full instruction tuning of the pre-trained model → models/base.

What comes out is the local stand-in for a downloaded instruct model: it knows the chat
markers and the form of the answers, so that adapters need not learn them. For any other
`model.base` the stage writes down which model that is, and its hash.
"""

from __future__ import annotations

import logging
from pathlib import Path

from components import config, layout, stage
from components.files import read_rows, replacing_folder, write_json, write_text
from components.models import BaseReference, load_tokenizer, resolve_base, tensor_hash
from components.schema import Example

log = logging.getLogger(__name__)

REPORT = Path("reports/base/instruct")


def main(settings: config.Settings) -> None:
    if settings.model.base != "local":
        found = resolve_base(settings.model.base, settings.model.revision)
        with replacing_folder(layout.BASE) as folder:
            write_json(folder / "base.json", found)
        write_json(REPORT / "metrics.json", {"used": False})
        write_text(REPORT / "loss.csv", "step,loss\n")
        log.info("base %s %s, weights %s", found.kind, found.location, found.sha256[:12])
        return
    import torch

    from components.cores import processes
    from components.models import load_weights
    from components.optimization import loop, optimizers
    from components.optimization.checkpoints import Checkpoints, digest_of
    from components.training.batches import Batches, encode, share
    from components.training.completion import completion_loss

    wanted = settings.instruct
    device = loop.prepare(settings.seed, settings.threads)
    tokenizer = load_tokenizer(layout.PRETRAINED)
    model = load_weights(layout.PRETRAINED, "float32")
    torch.nn.Module.to(model, device)
    examples = read_rows(layout.CORPUS / "instruct.jsonl", Example)
    batches = Batches(
        encode(tokenizer, examples, settings.model.context), wanted.batch_size, settings.seed, tokenizer.pad_token_id
    )
    checkpoints = Checkpoints(
        digest_of(
            stage="instruct",
            settings=settings.model_dump(mode="json", include={"seed", "threads", "instruct", "model"}),
            examples=layout.CORPUS / "instruct.jsonl",
            weights=tensor_hash(layout.PRETRAINED),
        ),
        every=wanted.checkpoint_every,
    )
    choose = optimizers.muon if wanted.optimizer == "muon" else optimizers.adamw
    history = loop.fit(
        model,
        choose(model, wanted.lr),
        loop.Plan(
            section="instruct",
            steps=wanted.steps,
            warmup=wanted.warmup,
            seed=settings.seed,
            batch=batches.step,
            loss=completion_loss,
            share=share,
            replicas=processes(model, batches.size, settings.threads),
        ),
        checkpoints,
    )
    with replacing_folder(layout.BASE) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(
            folder / "base.json",
            BaseReference(
                kind="local",
                location=".",
                sha256=tensor_hash(folder),
                note=f"pre-trained and instruction-tuned here on text of task {settings.corpus.task}; no general model",
            ),
        )
    loop.write_losses(REPORT / "loss.csv", history)
    write_json(REPORT / "metrics.json", {"used": True, "examples": len(examples), **loop.summary(history)})
    checkpoints.remove()


if __name__ == "__main__":
    stage.run(main)
