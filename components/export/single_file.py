"""A version as one GGUF file, tried with openvino-genai."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from components import chat, golden
from components.export import ExportError, gguf
from components.export.whole import end_ids, load, until_end
from components.models import read_manifest


def write(version: Path, base: Path, into: Path) -> list[str]:
    """Write `<task>.gguf` (f16) and answer the golden prompts with it.

    Rounding to f16 may turn a nearly even choice between two tokens, so an answer or two may differ in a large
    model: that is said, not refused. A file that answers none of them as the version did is broken.

    Raises:
        ExportError: no golden prompt is answered in the version's tokens, or the file cannot be loaded.
        ModelError: GGUF cannot hold this kind of model, or the version is damaged.
    """
    model, tokenizer = load(version, base)
    gguf.split_of(tokenizer)
    prompts = golden.read(version)
    texts = chat.prompt_texts(tokenizer, [prompt.messages for prompt in prompts])
    file = into / file_name(version)
    gguf.write(model, tokenizer, file)
    ends = end_ids(tokenizer, model.generation_config)
    answers = answered(file, texts, [len(prompt.answer_ids) for prompt in prompts], ends)
    differing = [
        number
        for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), 1)
        if answer != until_end(prompt.answer_ids, ends)
    ]
    if len(differing) == len(prompts):
        raise ExportError(
            f"none of the {len(prompts)} golden prompts is answered as by the version: nothing was written"
        )
    said = [f"{file.name}: {file.stat().st_size / 1e6:.1f} MB, f16"]
    same = len(prompts) - len(differing)
    said.append(f"checked: openvino-genai answers {same} of {len(prompts)} golden prompts in the version's own tokens")
    if differing:
        said.append(f"note: rounding to f16 changes the answer to golden prompt {', '.join(map(str, differing))}")
    return said


def file_name(version: Path) -> str:
    """What the file of a version is called."""
    return f"{read_manifest(version).task}.gguf"


def answered(file: Path, texts: Sequence[str], most: Sequence[int], ends: Sequence[int]) -> list[list[int]]:
    """Greedy answers by openvino-genai, which reads weights and tokenizer from the file by code of its own.

    In a process of its own: native threads have been seen to hang on the way out.

    Args:
        texts: rendered prompts.
        most: longest answers, in tokens.
        ends: tokens that end an answer.

    Raises:
        ExportError: it cannot load the file; with its own words.
    """
    asked = {"file": str(file.resolve()), "ends": list(ends), "prompts": list(zip(texts, most, strict=True))}
    done = subprocess.run(
        [sys.executable, "-m", "components.export.trial"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        raise ExportError(f"openvino-genai cannot use the file that was written: {said}")
    answers: list[list[int]] = json.loads(lines[-1])
    return answers
