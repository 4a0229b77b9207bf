"""A version's mean on the tuning rows, by the path that evaluation answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from components import chat, label_head
from components.config import EvaluateSettings
from components.evaluation.answers import Answers
from components.evaluation.generation import load_merged
from components.evaluation.metrics import metric_of, value_of
from components.evaluation.parts import How, answered, divided
from components.schema import Example
from components.scoring import score
from components.task import Task


@dataclass(frozen=True)
class Rows:
    """The tuning rows of a task and how they are answered."""

    task: Task
    target: Sequence[Example]
    guard: Sequence[Example]
    base: Path
    tokenizer: PreTrainedTokenizerBase
    settings: EvaluateSettings
    threads: int

    def means(self, version: Path, *, remember: bool = False) -> tuple[float, float]:
        """Mean of the verdict's metric on target and guard.

        Args:
            remember: take answers that were given before, and keep new ones: for a version that comes again.

        Raises:
            ModelError: the version is damaged.
        """
        texts = self._labels(version) if label_head.there(version) else self._answers(version, remember)
        metric = metric_of(self.task)

        def mean(rows: Sequence[Example]) -> float:
            values = [value_of(score(self.task, "tuning", row, texts[self._ids(row)]), metric) for row in rows]
            return sum(values) / len(values)

        return mean(self.target), mean(self.guard)

    def _ids(self, row: Example) -> tuple[int, ...]:
        return tuple(chat.prompt_ids(self.tokenizer, row.prompt))

    def _answers(self, version: Path, remember: bool) -> dict[tuple[int, ...], str]:
        known = Answers(self.base, version, self.settings.max_new_tokens) if remember else None
        rows = {self._ids(row): row.answer for row in (*self.target, *self.guard)}
        texts = {ids: text for ids in rows if known and (text := known.of(ids)) is not None}
        fresh = [ids for ids in rows if ids not in texts]
        drafts = chat.answers_ids(self.tokenizer, [rows[ids] for ids in fresh])
        how = How(chat.end_of_turn_id(self.tokenizer), self.settings.max_new_tokens, self.settings.batch_size)
        parts = divided(fresh, drafts, self.settings.batch_size)
        model = load_merged(self.base, version) if parts else None
        for part, answers in answered(model, parts, how, self.threads) if model is not None else ():
            spelled = [str(self.tokenizer.decode(ids, skip_special_tokens=True)) for ids in answers]
            texts |= dict(zip(map(tuple, part.prompts), spelled, strict=True))
            if known:
                known.keep(part.prompts, spelled)
        return texts

    def _labels(self, version: Path) -> dict[tuple[int, ...], str]:
        model, head = load_merged(self.base, version), label_head.read(version)
        prompts = list({self._ids(row) for row in (*self.target, *self.guard)})
        scored = label_head.logprobs(model, head, prompts).argmax(-1).tolist()
        return {ids: head.labels[label] for ids, label in zip(prompts, scored, strict=True)}
