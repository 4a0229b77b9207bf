"""How often a model answers exactly what a task's rows say: one figure a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components import chat, layout
from components.files import read_rows
from components.schema import Example


def exact(task: str, sets: Sequence[str], base: Path, adapter: Path | None, max_new_tokens: int) -> dict[str, float]:
    """The share of each set's rows, in the working directory, that the model answers to the letter."""
    from components.evaluation.generation import generate, load_merged
    from components.models import load_tokenizer

    tokenizer, model, found = load_tokenizer(base), load_merged(base, adapter), {}
    for name in sets:
        rows = read_rows(layout.examples(task) / f"{name}.jsonl", Example)
        answers = generate(
            model,
            [chat.prompt_ids(tokenizer, row.prompt) for row in rows],
            end=chat.end_of_turn_id(tokenizer),
            max_new_tokens=max_new_tokens,
            drafts=chat.answers_ids(tokenizer, [row.answer for row in rows]),
        )
        texts = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in answers]
        found[name] = sum(row.answer == text for row, text in zip(rows, texts, strict=True)) / len(rows)
    return found
