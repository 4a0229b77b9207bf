"""Answering every evaluation set with the candidate and with what it is compared with."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from components import chat, golden, label_head, layout
from components.config import EvaluateSettings, places
from components.evaluation.answers import Answers
from components.evaluation.generation import answer_losses, latencies, load_merged
from components.evaluation.parts import How, answered, divided
from components.evaluation.preferences import prefers
from components.evaluation.verdict import SetResult
from components.files import read_rows
from components.models import ModelError, load_tokenizer, read_base, read_manifest
from components.schema import Example, Message, Preference, Score
from components.scoring import score
from components.sentences import say
from components.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Prompt = tuple[Message, ...]
Role = Literal["target", "guard", "regression", "shown"]
LATENCY_PROMPTS = 10


@dataclass(frozen=True)
class EvaluationSet:
    """Examples that nothing was taught from."""

    name: str
    title: str
    role: Role
    examples: Sequence[Example]


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


def load_sets(task: Task, root: Path = Path(".")) -> list[EvaluationSet]:
    """This turn's target, the fixed regression cases, replay, and the task's own sets.

    Raises:
        DataError: a file is missing or a line is no example.
    """
    curated, own = root / layout.curated(task.name), root / layout.examples(task.name)
    every: tuple[tuple[str, Role], ...] = (("target", "target"), ("regression", "regression"), ("replay", "guard"))
    sets = [
        EvaluationSet(name, say(f"set_{name}"), role, read_rows(curated / f"{name}.jsonl", Example))
        for name, role in every
    ]
    sets += [EvaluationSet(s.name, s.title, s.role, read_rows(own / f"{s.name}.jsonl", Example)) for s in task.sets]
    return sets


def compare(
    task: Task,
    sets: Sequence[EvaluationSet],
    settings: EvaluateSettings,
    base: Path,
    candidate: Path,
    champion: Path,
    threads: int = 1,
    pairs: Sequence[Preference] = (),
) -> tuple[list[SetResult], ModelResult, ModelResult, str]:
    """Both models' answers to every set, scored; the second model's name is `champion` or `base`.

    Args:
        champion: the champion's folder; one that holds only none.json means that there is none.

    Raises:
        ModelError: a model is missing, damaged, or stands on a base that is not here.
    """
    spelling = Spelling(sets)
    after = answer(spelling, sets, settings, base, candidate, "candidate", threads, pairs)
    if (champion / "none.json").exists():
        name, before = "base", answer(spelling, sets, settings, base, None, "bare base", threads, pairs)
    elif _same_weights(candidate, champion):
        log.info("candidate and champion are the same tensors: answered once")
        name, before = "champion", after
    else:
        name = "champion"
        stands_on = base_of(champion, base)
        before = answer(spelling, sets, settings, stands_on, champion, "champion", threads, pairs)
    results = [
        SetResult(
            name=s.name,
            title=s.title,
            role=s.role,
            examples=s.examples,
            after=_scored(task, s, after),
            before=_scored(task, s, before),
        )
        for s in sets
    ]
    return results, after, before, name


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


def answer(
    spelling: Spelling,
    sets: Sequence[EvaluationSet],
    settings: EvaluateSettings,
    base: Path,
    adapter: Path | None,
    name: str,
    threads: int,
    pairs: Sequence[Preference] = (),
) -> ModelResult:
    """One model's greedy answer to every example; what it was asked before is not asked again."""
    tokenizer = version_tokenizer(base, adapter)
    model = load_merged(base, adapter)
    if adapter is not None and label_head.there(adapter):
        return _classified(spelling, sets, model, tokenizer, adapter)
    end = chat.end_of_turn_id(tokenizer)
    result = ModelResult()
    if adapter is not None:
        result.parity = golden.differences(model, tokenizer, golden.read(adapter))
    prompts, answers = spelling.by(tokenizer)
    known = Answers(base, adapter, settings.max_new_tokens)
    new = sum(known.of(ids) is None for ids in prompts.values())
    if new < len(prompts):
        log.info("%d of %d answers of the %s are known", len(prompts) - new, len(prompts), name)
    progress = Progress(f"answers of the {name}", new)
    how = How(end, settings.max_new_tokens, settings.batch_size)
    parts, asked = [], set()
    for s in sets:
        expected = {e.prompt: e.answer for e in s.examples if known.of(prompts[e.prompt]) is None}
        fresh = [prompt for prompt in expected if prompt not in asked]
        asked.update(fresh)
        drafts = [answers[expected[prompt]] for prompt in fresh]
        parts += divided([prompts[prompt] for prompt in fresh], drafts, settings.batch_size)
    for part, given in answered(model, parts, how, threads):
        known.keep(part.prompts, [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in given])
        progress.advance(len(given))
    progress.close()
    texts = {prompt: known.of(ids) or "" for prompt, ids in prompts.items()}
    for s in sets:
        result.answers[s.name] = [texts[e.prompt] for e in s.examples]
        sample = sorted(s.examples, key=lambda e: e.id)[: settings.perplexity_rows]
        if sample:
            losses = answer_losses(model, [prompts[e.prompt] for e in sample], [answers[e.answer] for e in sample])
            tokens = sum(count for _, count in losses)
            result.perplexity[s.name] = math.exp(min(sum(nll for nll, _ in losses) / tokens, 50))
    result.prefers = prefers(model, tokenizer, pairs)
    result.seconds = latencies(model, _some(prompts), end, settings.max_new_tokens)
    return result


def _classified(
    spelling: Spelling,
    sets: Sequence[EvaluationSet],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    adapter: Path,
) -> ModelResult:
    """A label head's likeliest label for every example, and the probability of each; one pass a prompt."""
    head = label_head.read(adapter)
    result = ModelResult(labels=head.labels)
    result.parity = golden.differences(model, tokenizer, golden.read(adapter), head)
    prompts, _ = spelling.by(tokenizer)
    scored = dict(zip(prompts, label_head.logprobs(model, head, list(prompts.values())).exp().tolist(), strict=True))
    for s in sets:
        rows = [scored[e.prompt] for e in s.examples]
        result.probabilities[s.name] = rows
        result.answers[s.name] = [head.labels[max(range(len(row)), key=row.__getitem__)] for row in rows]
    for prompt in [*_some(prompts)[:1], *_some(prompts)]:
        started = time.perf_counter()
        label_head.logprobs(model, head, [prompt])
        result.seconds.append(time.perf_counter() - started)
    result.seconds = result.seconds[1:]  # the first one warms up
    return result


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


def _same_weights(one: Path, other: Path) -> bool:
    a, b = read_manifest(one), read_manifest(other)
    return (a.adapter_sha256, a.chat_template_sha256, a.base) == (b.adapter_sha256, b.chat_template_sha256, b.base)


def _scored(task: Task, s: EvaluationSet, result: ModelResult) -> list[Score]:
    return [score(task, s.name, e, given) for e, given in zip(s.examples, result.answers[s.name], strict=True)]


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
