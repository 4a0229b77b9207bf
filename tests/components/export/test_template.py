"""Chat templates in other programs' words: what can be said so is exact, what cannot is refused."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from components.chat import CHAT_TEMPLATE, PLAIN_TEMPLATE
from components.export import ExportError
from components.export.ollama import modelfile
from components.export.template import portable, shape_of
from components.schema import Message

QWEN = (
    "{%- if messages[0]['role'] == 'system' -%}{{ '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else -%}{{ '<|im_start|>system\nYou are \"Qwen\".<|im_end|>\n' }}{%- endif -%}"
    "{%- for m in messages -%}{%- if m.role != 'system' or not loop.first -%}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
LLAMA3 = (
    "{%- for m in messages -%}{{ '<|start|>' + m.role + '<|end|>\n\n' + m.content | trim + '<|eot|>' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|start|>assistant<|end|>\n\n' }}{%- endif -%}"
)
CHATS = [
    [Message(role="user", content="What now?")],
    [Message(role="system", content="Be\nbrief."), Message(role="user", content='Say "{{ hi }}".')],
]


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", chat_template=template)


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, PLAIN_TEMPLATE])
def test_a_template_without_training_marks_writes_the_same(template: str) -> None:
    other = portable(template)
    assert "generation -%}" not in other.replace("add_generation_prompt -%}", "")
    for chat in [*CHATS, [*CHATS[0], Message(role="assistant", content="Rest.")]]:
        rows = [message.model_dump() for message in chat]
        one, two = (tokenizer(t).apply_chat_template(rows, tokenize=False) for t in (template, other))
        assert one == two


def test_chatml_in_go() -> None:
    """This text was rendered by Ollama's own code to the same prompts (docs/how-to/export.md)."""
    assert shape_of(tokenizer(portable(CHAT_TEMPLATE)), CHATS).go() == (
        "{{- range .Messages }}\n"
        '{{- if eq .Role "system" }}\n{{- "<|im_start|>system\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}\n'
        '{{- else if eq .Role "user" }}\n{{- "<|im_start|>user\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}\n'
        '{{- else if eq .Role "assistant" }}\n{{- "<|im_start|>assistant\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}\n'
        "{{- end }}\n{{- end }}\n"
        '{{- "<|im_start|>assistant\\n" }}'
    )


def test_what_stands_at_the_beginning_and_at_the_end_is_seen() -> None:
    qwen = shape_of(tokenizer(QWEN), CHATS)
    assert qwen.without_system == '<|im_start|>system\nYou are "Qwen".<|im_end|>\n'
    assert qwen.go().startswith(
        '{{- if not .System }}{{ "<|im_start|>system\\nYou are \\"Qwen\\".<|im_end|>\\n" }}{{ end }}\n'
    )
    plain = shape_of(tokenizer(portable(PLAIN_TEMPLATE)), CHATS)
    assert plain.around["assistant"] == ("", "<|end|>\n")
    assert plain.answer == "Assistant: "
    assert shape_of(tokenizer(LLAMA3), CHATS).around["user"] == ("<|start|>user<|end|>\n\n", "<|eot|>")


def test_a_system_message_that_a_modelfile_cannot_hold_stands_in_the_template() -> None:
    shape = shape_of(tokenizer(portable(CHAT_TEMPLATE)), CHATS)
    plain = modelfile("clinic", "clinic.gguf", shape, 'Be\n"brief".', ["<|im_end|>"], 256)
    assert 'SYSTEM """Be\n"brief"."""\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 256\n' in plain
    for system, quoted in (("a\tb", r"a\tb"), ('"""', r"\"\"\""), ("a\u00a0b", r"a\U000000a0b")):
        text = modelfile("clinic", "clinic.gguf", shape, system, [])
        assert "SYSTEM" not in text
        assert f'{{{{- if not .System }}}}{{{{ "<|im_start|>system\\n{quoted}<|im_end|>\\n" }}}}{{{{ end }}}}' in text


@pytest.mark.parametrize(
    "template",
    [
        "{%- if messages[0].role == 'system' -%}{{ raise_exception('no system') }}{%- endif -%}" + LLAMA3,
        "{%- for m in messages -%}{{ loop.index ~ m.role + ': ' + m.content }}{%- endfor -%}",
        "{%- for m in messages -%}{{ m.content | upper }}{%- endfor -%}",
        "{{ messages[-1].content }}",
    ],
)
def test_a_template_that_is_more_than_text_around_messages_is_refused(template: str) -> None:
    with pytest.raises(ExportError, match=r"the chat template .*export it as gguf"):
        shape_of(tokenizer(template), CHATS)
