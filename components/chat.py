"""From messages to token ids, in one place, for training and serving alike.

A model answers well only when it is asked in exactly the tokens it was taught with. Both
sides call these functions, and the golden prompts stored with every version prove at the
service's start that they still agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.schema import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END_OF_TURN = "<|im_end|>"
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", END_OF_TURN)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{ message['content'] + '<|im_end|>' }}{%- endgeneration -%}{{ '\n' }}"
    "{%- else -%}"
    "{{ message['content'] + '<|im_end|>\n' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
"""ChatML with TRL's generation markers around what the assistant says, its end of turn included."""

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{ message['content'] + eos_token }}{%- endgeneration -%}{{ '\n' }}"
    "{%- else -%}"
    "{{ message['role'] | capitalize + ': ' + message['content'] + '\n' }}"
    "{%- endif -%}"
    "{%- if loop.last and add_generation_prompt -%}{{ 'Assistant: ' }}{%- endif -%}"
    "{%- endfor -%}"
)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids that ask for the next assistant turn."""
    text = tokenizer.apply_chat_template([m.model_dump() for m in messages], tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Token ids of an answer and of the end of its turn, which is learned too: else the model never stops."""
    ids = list(tokenizer(answer, add_special_tokens=False)["input_ids"])
    return [*ids, end_of_turn_id(tokenizer)]


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an assistant turn: `<|im_end|>` where the vocabulary has it, else EOS."""
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    if isinstance(end, int) and end >= 0 and end != tokenizer.unk_token_id:
        return end
    assert isinstance(tokenizer.eos_token_id, int), "the tokenizer has neither <|im_end|> nor an EOS token"
    return tokenizer.eos_token_id


def example_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[list[int], int]:
    """Token ids of a whole example and the length of its prompt (the loss starts there)."""
    prompt = prompt_ids(tokenizer, messages[:-1])
    return prompt + answer_ids(tokenizer, messages[-1].content), len(prompt)
