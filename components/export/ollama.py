"""A version as an Ollama model: the GGUF file and the Modelfile that `ollama create` reads.

https://github.com/ollama/ollama/blob/main/docs/modelfile.md: TEMPLATE is a Go template, SYSTEM the message that is
put before a chat without one, PARAMETER stop the texts that end an answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from components import golden, models
from components.export import single_file
from components.export.template import Shape, portable, shape_of
from components.export.whole import end_ids


def write(version: Path, base: Path, into: Path) -> list[str]:
    """Write the GGUF file and a Modelfile beside it.

    Raises:
        ExportError: the chat template cannot be said in Go, or as `single_file.write`.
        ModelError: GGUF cannot hold this kind of model, or the version is damaged.
    """
    manifest = models.read_manifest(version)
    tokenizer = models.load_tokenizer(version)
    assert isinstance(tokenizer.chat_template, str)
    tokenizer.chat_template = portable(tokenizer.chat_template)
    shape = shape_of(tokenizer, [prompt.messages for prompt in golden.read(version)])
    said = single_file.write(version, base, into)
    stops = [str(tokenizer.convert_ids_to_tokens(id)) for id in end_ids(tokenizer, None)]
    context = manifest.created_by.get("model", {}).get("context")
    text = modelfile(manifest.task, single_file.file_name(version), shape, manifest.system, stops, context)
    (into / "Modelfile").write_text(text, encoding="utf-8")
    return [*said, "Modelfile: its template writes every golden prompt as the version's own chat template does"]


def modelfile(task: str, file: str, shape: Shape, system: str, stops: Sequence[str], context: int | None = None) -> str:
    """The text of a Modelfile.

    A system message that Ollama's reader would change (it leaves out what is not printable) or that cannot be quoted
    stands in the template, as what begins a chat without one.
    """
    if '"""' in system or not system.replace("\n", "").isprintable():
        before, after = shape.around["system"]
        shape, system = dataclasses.replace(shape, without_system=before + system + after), ""
    lines = [
        f"# ollama create {task} -f Modelfile",
        f"FROM ./{file}",
        f'TEMPLATE """{shape.go()}"""',
        *([f'SYSTEM """{system}"""'] if system else []),
        *(f'PARAMETER stop "{stop}"' for stop in stops),
        *([f"PARAMETER num_ctx {context}"] if context else []),
        "# The likeliest token at every step, as the version was taught and measured.",
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
    ]
    return "\n".join(lines) + "\n"
