"""A version's mean on the tuning rows, by the path that evaluation answers with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from components import chat, label_head
from components.config import EvaluateSettings
from components.evaluation.answers import Answers
from components.evaluation.generation import load_merged
from components.evaluation.metrics import metric_of, value_of
from components.evaluation.parts import How, answered, divided
from components.schema import Example, Message
from components.scoring import score
from components.task import Task

Prompt = tuple[Message, ...]


class Rows:
    """The tuning rows of a task and how they are answered."""

    def __init__(
        self,
        task: Task,
        target: Sequence[Example],
        guard: Sequence[Example],
        base: Path,
        tokenizer: PreTrainedTokenizerBase,
        settings: EvaluateSettings,
        threads: int,
    ) -> None:
        """Args: both sets, not empty, and the base and the tokenizer that all versions share."""
        self.task, self.target, self.guard = task, target, guard
        self._base, self._tokenizer = base, tokenizer
        self._settings, self._threads = settings, threads
        answers = {row.prompt: row.answer for row in (*target, *guard)}
        self._ids = dict(zip(answers, chat.prompts_ids(tokenizer, list(answers)), strict=True))
        self._drafts = dict(zip(answers, chat.answers_ids(tokenizer, list(answers.values())), strict=True))

    def means(self, version: Path, *, remember: bool = False) -> tuple[float, float]:
        """Mean of the verdict's metric on target and guard; see `values`."""
        target, guard = self.values(version, remember=remember)
        return sum(target) / len(target), sum(guard) / len(guard)

    def values(self, version: Path, *, remember: bool = False) -> tuple[list[float], list[float]]:
        """The verdict's metric of every row of target and guard.

        Args:
            remember: take answers that were given before, and keep new ones: for a version that comes again.

        Raises:
            ModelError: the version is damaged.
        """
        texts = self._labels(version) if label_head.there(version) else self._answers(version, remember)
        metric = metric_of(self.task)
        target, guard = (
            [value_of(score(self.task, "tuning", row, texts[row.prompt]), metric) for row in rows]
            for rows in (self.target, self.guard)
        )
        return target, guard

    def _answers(self, version: Path, remember: bool) -> dict[Prompt, str]:
        known = Answers(self._base, version, self._settings.max_new_tokens) if remember else None
        texts = {p: text for p, ids in self._ids.items() if known and (text := known.of(ids)) is not None}
        fresh = [prompt for prompt in self._ids if prompt not in texts]
        if not fresh:
            return texts
        named = {tuple(self._ids[prompt]): prompt for prompt in fresh}
        size = self._settings.batch_size
        parts = divided([self._ids[p] for p in fresh], [self._drafts[p] for p in fresh], size)
        how = How(chat.end_of_turn_id(self._tokenizer), self._settings.max_new_tokens, size)
        for part, answers in answered(load_merged(self._base, version), parts, how, self._threads):
            spelled = [str(self._tokenizer.decode(ids, skip_special_tokens=True)) for ids in answers]
            texts |= {named[tuple(ids)]: text for ids, text in zip(part.prompts, spelled, strict=True)}
            if known:
                known.keep(part.prompts, spelled)
        return texts

    def _labels(self, version: Path) -> dict[Prompt, str]:
        head = label_head.read(version)
        scored = label_head.logprobs(load_merged(self._base, version), head, list(self._ids.values()))
        return {p: head.labels[label] for p, label in zip(self._ids, scored.argmax(-1).tolist(), strict=True)}
