"""Which rows of the independent draw a version answers rightly, each asked once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.turns.families import Draws
from components import chat, config
from components.evaluation.generation import load_merged
from components.evaluation.parts import How, answered, divided
from components.files import write_json
from components.models import load_tokenizer
from components.schema import Example
from components.scoring import score
from components.task import Task


def answer(base: Path, adapter: Path, examples: Sequence[Example], settings: config.Settings) -> list[str]:
    """A version's answers, as the stage evaluate and the served engine give them: greedy, unconstrained."""
    tokenizer, model = load_tokenizer(base), load_merged(base, adapter)
    tokenizer.chat_template = (adapter / "chat_template.jinja").read_text(encoding="utf-8")
    expected = {row.prompt: row.answer for row in examples}
    prompts = chat.prompts_ids(tokenizer, list(expected))
    drafts = chat.answers_ids(tokenizer, list(expected.values()))
    how = How(chat.end_of_turn_id(tokenizer), settings.evaluate.max_new_tokens, settings.evaluate.batch_size)
    texts = {}
    for part, answers in answered(model, divided(prompts, drafts, how.batch_size), how, settings.threads):
        for prompt, ids in zip(part.prompts, answers, strict=True):
            texts[tuple(prompt)] = str(tokenizer.decode(ids, skip_special_tokens=True))
    by_prompt = dict(zip(expected, prompts, strict=True))
    return [texts[tuple(by_prompt[row.prompt])] for row in examples]


class Scores:
    """Right or wrong, by version and kind, kept in a file a version; a longer look asks only what is new."""

    def __init__(self, folder: Path, draws: Draws, task: Task, settings: config.Settings) -> None:
        self._folder, self._draws, self._task, self._settings = folder, draws, task, settings

    def of(self, name: str, base: Path, adapter: Path, counts: Mapping[str, int]) -> dict[str, list[bool]]:
        """Whether the version called `name` (unique) answers the first rows of each kind rightly."""
        file = self._folder / f"{name}.json"
        scored: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        new = {kind: self._draws.rows(kind, count)[len(scored.get(kind, "")) :] for kind, count in counts.items()}
        examples = [row for rows in new.values() for row in rows]
        if examples:
            answers = iter(answer(base, adapter, examples, self._settings))
            for kind, rows in new.items():
                right = (score(self._task, kind, row, next(answers)).exact for row in rows)
                scored[kind] = scored.get(kind, "") + "".join("01"[value] for value in right)
            write_json(file, scored)
        return {kind: [mark == "1" for mark in scored[kind][:count]] for kind, count in counts.items()}
