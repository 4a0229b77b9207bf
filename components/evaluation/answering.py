"""One model as it answers evaluation sets: answers, perplexity, parity, preferences, latency."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from components import chat, golden, label_head
from components.config import EvaluateSettings, places
from components.evaluation.answers import Answers
from components.evaluation.generation import answer_losses, latencies, load_merged
from components.evaluation.parts import How, answered, divided
from components.evaluation.preferences import prefers
from components.evaluation.sets import EvaluationSet
from components.models import ModelError, load_tokenizer, read_base, read_manifest
from components.schema import Message, Preference

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Prompt = tuple[Message, ...]
LATENCY_PROMPTS = 10


@dataclass
class ModelResult:
    """What one model made of every set."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    perplexity: dict[str, float] = field(default_factory=dict)
    """exp of the mean negative log-likelihood per token of the reference answers, by set."""
    labels: tuple[str, ...] = ()
    """What a label head chooses among; empty where answers are generated."""
    probabilities: dict[str, list[list[float]]] = field(default_factory=dict)
    """Of every label, an example a row, by set; only of a label head."""
    seconds: list[float] = field(default_factory=list)
    """Latency of single prompts."""
    parity: list[str] = field(default_factory=list)
    prefers: list[float] = field(default_factory=list)
    """A held-out preference pair each: 1.0 where the chosen answer is the likelier one."""


class Spelling:
    """Every prompt and every expected answer as token ids; two versions that spell alike share them."""

    def __init__(self, sets: Sequence[EvaluationSet]) -> None:
        self.prompts = list(dict.fromkeys(e.prompt for s in sets for e in s.examples))
        self.answers = list(dict.fromkeys(e.answer for s in sets for e in s.examples))
        self._known: dict[tuple[str, str], tuple[dict[Prompt, list[int]], dict[str, list[int]]]] = {}

    def by(self, tokenizer: PreTrainedTokenizerBase) -> tuple[dict[Prompt, list[int]], dict[str, list[int]]]:
        """Prompts and answers in a tokenizer's ids."""
        fast = getattr(tokenizer, "backend_tokenizer", None)
        how = (fast.to_str() if fast else str(id(tokenizer)), str(tokenizer.chat_template))
        if how not in self._known:
            prompts = chat.prompts_ids(tokenizer, self.prompts)
            answers = chat.answers_ids(tokenizer, self.answers)
            self._known[how] = (
                dict(zip(self.prompts, prompts, strict=True)),
                dict(zip(self.answers, answers, strict=True)),
            )
        return self._known[how]


class AnsweringModel:
    """One model as it answers: greedily, and what it was asked before is not asked again.

    The model is loaded where something new is asked and let go of afterwards, so that two large models never lie in
    memory together.
    """

    def __init__(
        self,
        spelling: Spelling,
        settings: EvaluateSettings,
        base: Path,
        version: Path | None,
        name: str,
        threads: int,
    ) -> None:
        """`version`: the version's folder; None: the bare base."""
        self.name = name
        self._settings, self._threads = settings, threads
        self._base, self._version = base, version
        self._tokenizer = version_tokenizer(base, version)
        self._prompts, self._expected = spelling.by(self._tokenizer)
        self._head = label_head.read(version) if version is not None and label_head.there(version) else None
        self._cache = Answers(base, version, settings.max_new_tokens)
        self._probabilities: dict[Prompt, list[float]] = {}

    def answers(self, sets: Sequence[EvaluationSet]) -> dict[str, list[str]]:
        """The answer to every row, by set."""
        if self._head is not None:
            self._classify(sets)
            labels = self._head.labels
            likeliest = {
                prompt: labels[max(range(len(row)), key=row.__getitem__)] for prompt, row in self._probabilities.items()
            }
            return {s.name: [likeliest[e.prompt] for e in s.examples] for s in sets}
        self._generate(sets)
        return {s.name: [self._cache.of(self._prompts[e.prompt]) or "" for e in s.examples] for s in sets}

    def result(self, sets: Sequence[EvaluationSet], pairs: Sequence[Preference]) -> ModelResult:
        """Answers, and what else is measured: parity, perplexity, preferences, latency."""
        result = ModelResult(answers=self.answers(sets))
        model = load_merged(self._base, self._version)
        if self._version is not None:
            result.parity = golden.differences(model, self._tokenizer, golden.read(self._version), self._head)
        asked = {e.prompt: self._prompts[e.prompt] for s in sets for e in s.examples}
        if self._head is not None:
            result.labels = self._head.labels
            result.probabilities = {s.name: [self._probabilities[e.prompt] for e in s.examples] for s in sets}
            for prompt in [*_some(asked)[:1], *_some(asked)]:
                started = time.perf_counter()
                label_head.logprobs(model, self._head, [prompt])
                result.seconds.append(time.perf_counter() - started)
            result.seconds = result.seconds[1:]  # the first one warms up
            return result
        for s in sets:
            sample = sorted(s.examples, key=lambda e: e.id)[: self._settings.perplexity_rows]
            if sample:
                losses = answer_losses(
                    model, [self._prompts[e.prompt] for e in sample], [self._expected[e.answer] for e in sample]
                )
                tokens = sum(count for _, count in losses)
                result.perplexity[s.name] = math.exp(min(sum(nll for nll, _ in losses) / tokens, 50))
        result.prefers = prefers(model, self._tokenizer, pairs)
        end = chat.end_of_turn_id(self._tokenizer)
        result.seconds = latencies(model, _some(asked), end, self._settings.max_new_tokens)
        return result

    def _generate(self, sets: Sequence[EvaluationSet]) -> None:
        """Ask what the cache does not hold, and keep it there."""
        asked = {e.prompt for s in sets for e in s.examples}
        new = {prompt for prompt in asked if self._cache.of(self._prompts[prompt]) is None}
        if len(new) < len(asked):
            log.info("%d of %d answers of the %s are known", len(asked) - len(new), len(asked), self.name)
        if not new:
            return
        parts = []
        for s in sets:
            fresh = {e.prompt: e.answer for e in s.examples if e.prompt in new}
            new -= fresh.keys()
            drafts = [self._expected[answer] for answer in fresh.values()]
            parts += divided([self._prompts[prompt] for prompt in fresh], drafts, self._settings.batch_size)
        end = chat.end_of_turn_id(self._tokenizer)
        how = How(end, self._settings.max_new_tokens, self._settings.batch_size)
        progress = Progress(f"answers of the {self.name}", sum(len(part.prompts) for part in parts))
        model = load_merged(self._base, self._version)
        for part, ids in answered(model, parts, how, self._threads):
            texts = [str(self._tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in ids]
            self._cache.keep(part.prompts, texts)
            progress.advance(len(ids))
        progress.close()

    def _classify(self, sets: Sequence[EvaluationSet]) -> None:
        """The probability of every label for each new prompt: one pass a prompt."""
        assert self._head is not None
        new = [
            prompt
            for prompt in dict.fromkeys(e.prompt for s in sets for e in s.examples)
            if prompt not in self._probabilities
        ]
        if new:
            model = load_merged(self._base, self._version)
            rows = label_head.logprobs(model, self._head, [self._prompts[prompt] for prompt in new]).exp().tolist()
            self._probabilities |= dict(zip(new, rows, strict=True))


def _some(prompts: Mapping[Prompt, list[int]]) -> list[list[int]]:
    """A few prompts of all lengths, to measure how long one takes."""
    return sorted(prompts.values(), key=len)[:: max(1, len(prompts) // LATENCY_PROMPTS)][:LATENCY_PROMPTS]


def version_tokenizer(base: Path, adapter: Path | None) -> PreTrainedTokenizerBase:
    """The base's tokenizer with the version's own chat template."""
    tokenizer = load_tokenizer(base)
    if adapter is not None and (adapter / "chat_template.jinja").exists():
        tokenizer.chat_template = (adapter / "chat_template.jinja").read_text(encoding="utf-8")
    return tokenizer


def base_of(version: Path, base: Path) -> Path:
    """The base that a version stands on: `base`, or another one that the `champion` stage has fetched by its hash.

    Raises:
        ModelError: it is neither.
    """
    wanted = read_manifest(version).base.sha256
    if wanted == read_base(base).sha256:
        return base
    kept = places().home / "bases" / wanted
    if not (kept / "base.json").exists():
        raise ModelError(f"{version} stands on base {wanted[:12]}, which is not in {kept}: run dvc repro -f champion")
    return kept


class Progress:
    """A bar on a terminal, a line every quarter otherwise (Prefect captures lines)."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done, self.said = title, total, 0, 0
        self.bar = tqdm(total=total, desc=title, unit="row", disable=not sys.stderr.isatty())

    def advance(self, rows: int) -> None:
        self.done += rows
        self.bar.update(rows)
        if self.bar.disable and (self.done * 4 // max(1, self.total)) > self.said:
            self.said = self.done * 4 // max(1, self.total)
            log.info("%s: %d of %d", self.title, self.done, self.total)

    def close(self) -> None:
        self.bar.close()
