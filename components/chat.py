"""From messages to token ids, in one place, for training and serving alike.

A model answers well only when it is asked in exactly the tokens it was taught with. Both
sides call these functions, and the golden prompts stored with every version prove at the
service's start that they still agree.

What a person (or an example) says is text and nothing else: a control token written out in a
message, `<|im_end|>` say, would be read as the end of that message, and what follows it as
somebody else's. So it is taken apart (`< |im_end|>`) wherever messages become tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

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
    return list(tokenizer(prompt_texts(tokenizer, [messages])[0], add_special_tokens=False)["input_ids"])


def prompts_ids(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """`prompt_ids` of many conversations, in half the time that they take one by one."""
    if not conversations:
        return []
    return [
        list(ids) for ids in tokenizer(prompt_texts(tokenizer, conversations), add_special_tokens=False)["input_ids"]
    ]


def prompt_texts(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Message]]) -> list[str]:
    """What `prompt_ids` tokenizes, for many conversations at once: the template filled in with plain text."""
    filled = [
        [{**m.model_dump(), "content": plain_text(tokenizer, m.content)} for m in messages]
        for messages in conversations
    ]
    texts = tokenizer.apply_chat_template(filled, tokenize=False, add_generation_prompt=True)
    return [str(text) for text in texts]


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Token ids of an answer and of the end of its turn, which is learned too: else the model never stops."""
    return answers_ids(tokenizer, [answer])[0]


def answers_ids(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> list[list[int]]:
    """`answer_ids` of many answers at once."""
    if not answers:
        return []
    end = end_of_turn_id(tokenizer)
    texts = [plain_text(tokenizer, answer) for answer in answers]
    return [[*ids, end] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def plain_text(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text with a space in every control token that is written out in it; any other text as it is.

    The space (and not, say, `split_special_tokens`) keeps one text for everybody: the stages, the
    service, and a server elsewhere that renders the messages itself all make the same tokens of it.
    """
    controls = _controls(tokenizer)
    while (taken_apart := controls.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)) != text:
        text = taken_apart  # a space may complete another one, though no known vocabulary has such
    return text


_CONTROLS: WeakKeyDictionary[Any, re.Pattern[str]] = WeakKeyDictionary()


def _controls(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Matches every special token of a vocabulary, ChatML's always: a template may use them as mere text.

    Added tokens that are not special (Qwen's <think>, <tool_call>) end nobody's turn and may be taught.
    """
    if tokenizer not in _CONTROLS:
        special = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
        tokens = {token.strip() for token in (*SPECIAL_TOKENS, *tokenizer.all_special_tokens, *special)}
        longest_first = sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token))
        _CONTROLS[tokenizer] = re.compile("|".join(map(re.escape, longest_first)))
    return _CONTROLS[tokenizer]


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an assistant turn: `<|im_end|>` where the vocabulary has it, else EOS."""
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    if isinstance(end, int) and end >= 0 and end != tokenizer.unk_token_id:
        return end
    assert isinstance(tokenizer.eos_token_id, int), "the tokenizer has neither <|im_end|> nor an EOS token"
    return tokenizer.eos_token_id


def example_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[list[int], int]:
    """Token ids of a whole example and the length of its prompt (the loss starts there)."""
    return examples_ids(tokenizer, [messages])[0]


def examples_ids(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Message]]
) -> list[tuple[list[int], int]]:
    """`example_ids` of many examples at once."""
    if not conversations:
        return []
    prompts = prompts_ids(tokenizer, [messages[:-1] for messages in conversations])
    answers = answers_ids(tokenizer, [messages[-1].content for messages in conversations])
    return [([*prompt, *answer], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
