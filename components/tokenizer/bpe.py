"""Training a byte-level BPE tokenizer that other programs split alike.

Text is first split by Qwen2's pattern (digits one by one, contractions, words with their
leading space), then merged bytewise. Declared as `qwen2`, the same tokenizer in a GGUF
file gives the same ids (GPT-2's pattern with a digit splitter does not).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from components.chat import CHAT_TEMPLATE, END_OF_TURN, SPECIAL_TOKENS
from components.stage import StageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pre-tokenizer pattern in Qwen2's tokenizer.json."""

END_OF_TEXT = SPECIAL_TOKENS[0]
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, context: int, frames: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Train a BPE of at most `vocab_size` entries, special tokens, `frames` and the 256 bytes included.

    Equal texts in equal order give equal files. A small corpus may run out of pairs to merge;
    the vocabulary is then smaller than asked for.

    Args:
        frames: strings that become one token each wherever they stand (components/tokenizer/frames.py); those that
            the vocabulary has no room for are left out.

    Raises:
        StageError: there is no text.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    frames = list(frames)[: max(0, vocab_size - SMALLEST_VOCABULARY)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(frames),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    longest_first = sorted((*SPECIAL_TOKENS, *frames), key=len, reverse=True)
    spelled = re.compile("|".join(map(re.escape, longest_first)))
    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for text in texts:
            seen += 1
            # The spelling of a special token or a frame in the text is that token, and no merge to be learned.
            yield from spelled.split(text)

    tokenizer.train_from_iterator(counted(), trainer=trainer)
    if not seen:
        raise StageError("the corpus holds no text to train a tokenizer on: check corpus.documents in params.yaml")
    tokenizer.add_tokens([AddedToken(frame, normalized=False) for frame in frames])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        additional_special_tokens=list(SPECIAL_TOKENS),
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
