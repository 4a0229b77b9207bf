"""A tokenizer with as many words as the bandit has arms; TRL's trainers want one."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.components.training.rl.toy import ARMS


def tokenizer() -> PreTrainedTokenizerFast:
    words = {word: number for number, word in enumerate(["<end>", *"abcdefgh"[: ARMS - 1]])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<end>")
