"""Stage `tokenizer`: data/corpus → models/tokenizer, a Hugging Face tokenizer folder.

With a base that is not `local` it is that base's own tokenizer, so that the data gate can
count tokens without waiting for a base.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from components import config, layout, stage
from components.files import read_rows, read_texts, replacing_folder
from components.models import external_base, load_tokenizer
from components.schema import Example

log = logging.getLogger(__name__)


def main(settings: config.Settings) -> None:
    if settings.model.base != "local":
        tokenizer = load_tokenizer(external_base(settings.model.base, settings.model.revision))
        with replacing_folder(layout.TOKENIZER) as folder:
            tokenizer.save_pretrained(folder)
        log.info("the tokenizer of %s, %d entries", settings.model.base, len(tokenizer))
        return
    from components.tokenizer.bpe import train_tokenizer
    from components.tokenizer.frames import frames

    rows = read_rows(layout.CORPUS / "instruct.jsonl", Example)
    texts = list(corpus_texts(layout.CORPUS))
    tokenizer = train_tokenizer(
        texts, settings.tokenizer.vocab_size, settings.model.context, frames(r.answer for r in rows)
    )
    with replacing_folder(layout.TOKENIZER) as folder:
        tokenizer.save_pretrained(folder)
    sample = texts[:: max(1, len(texts) // 1000)]
    ids = sum(len(encoded) for encoded in tokenizer(sample, add_special_tokens=False)["input_ids"])
    log.info(
        "%d entries from %d texts; %.2f bytes a token",
        len(tokenizer),
        len(texts),
        sum(len(text.encode()) for text in sample) / max(1, ids),
    )


def corpus_texts(corpus: Path) -> Iterator[str]:
    """Pre-training text, then every message of the instruction rows: all that the tokenizer will meet.

    Raises:
        DataError: a line is no {"text": …} or no Example; file and line are named.
    """
    yield from read_texts(corpus / "text.jsonl")
    prompts: set[str] = set()  # one system message heads thousands of rows: it would outweigh the language
    for example in read_rows(corpus / "instruct.jsonl", Example):
        for message in example.messages:
            if message.role != "system":
                yield message.content
            elif message.content not in prompts:
                prompts.add(message.content)
                yield message.content


if __name__ == "__main__":
    stage.run(main)
