"""Stage `pretrain`: data/corpus and models/tokenizer → models/pretrained."""

from __future__ import annotations

import logging
from pathlib import Path

from components import config, layout, stage
from components.files import read_texts, replacing_folder, write_json, write_text
from components.models import load_tokenizer

log = logging.getLogger(__name__)

REPORT = Path("reports/base/pretrain")


def main(settings: config.Settings) -> None:
    if settings.model.base != "local":
        stage.write_not_used(layout.PRETRAINED, settings.model.base)
        write_json(REPORT / "metrics.json", {"used": False})
        write_text(REPORT / "loss.csv", "step,loss\n")
        return
    from components.optimization.checkpoints import Checkpoints, digest_of
    from components.optimization.loop import write_losses
    from components.pretraining.train import heldout_loss, pretrain
    from components.tokenizer.bpe import END_OF_TEXT

    tokenizer = load_tokenizer(layout.TOKENIZER)
    separator = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    assert isinstance(separator, int)
    texts = read_texts(layout.CORPUS / "text.jsonl")
    heldout = read_texts(layout.CORPUS / "heldout.jsonl")
    checkpoints = Checkpoints(
        digest_of(
            stage="pretrain",
            settings=settings.model_dump(mode="json", include={"seed", "threads", "pretrain", "model"}),
            text=layout.CORPUS,
            tokenizer=layout.TOKENIZER / "tokenizer.json",
        ),
        every=settings.pretrain.checkpoint_every,
    )
    model, history = pretrain(settings, tokenizer, texts, heldout, separator, checkpoints)
    with replacing_folder(layout.PRETRAINED) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    loss, per_byte = heldout_loss(model, tokenizer, heldout, separator, settings.model.context)
    write_losses(REPORT / "loss.csv", history)
    write_json(
        REPORT / "metrics.json",
        {
            "used": True,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": settings.pretrain.steps,
            "loss": round(loss, 5),
            "bits_per_byte": round(per_byte, 5),
            "tokens": history.tokens,
            "seconds": round(history.seconds, 2),
            "tokens_per_second": round(history.tokens / max(history.seconds, 1e-9), 1),
        },
    )
    checkpoints.remove()
    log.info("held-out loss %.3f, %.3f bits a byte", loss, per_byte)


if __name__ == "__main__":
    stage.run(main)
