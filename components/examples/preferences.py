"""Reading what a user brings of judgements: which of two answers to a prompt was preferred, or what one is worth.

Known forms, JSON Lines or one JSON array:

| form | keys |
|---|---|
| TRL | `prompt`, `chosen`, `rejected`: texts, or messages; without `prompt`, what both share |
| ShareGPT, LLaMA-Factory's preference variant | `conversations`, `chosen`, `rejected` ({"from": …, "value": …}) |
| Alpaca | `instruction`, `input`, `chosen`, `rejected` |
| judged answers (KTO) | `messages` or `prompt` and `completion`, and `label` true or false |
| Saqia's own | a `Preference` or a `Judged` a line |

TRL's forms are described at https://huggingface.co/docs/trl/dataset_formats. Answers judged one by one make a pair
where one prompt has a good answer and a bad one; the others stay by themselves. Theirs are `source`, `rater` and
`version` too, as a pair's are `source`, `rater`, `chosen_version` and `rejected_version`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from components.examples.formats import alpaca, openai_messages, reading, sharegpt
from components.examples.formats.records import Imported, Record, Skipped, Unusable, filled
from components.files import DataError
from components.schema import Example, Judged, Message, Preference, content_id

RATER = "imported"
"""Who preferred the chosen answer where the file does not say."""
_LOOKED_AT = 50


@dataclass(frozen=True)
class ImportedPairs:
    """What was understood of a file, and what was not and why."""

    pairs: tuple[Preference, ...]
    skipped: tuple[Skipped, ...] = ()
    judged: tuple[Judged, ...] = ()
    """Answers without a counterpart."""

    @property
    def imported(self) -> Imported:
        """The chosen and the good answers as examples to learn, each distinct prompt and answer once, and the pairs
        and judged answers beside them."""
        good = [(pair.prompt, pair.chosen) for pair in self.pairs]
        good += [(row.prompt, row.answer) for row in self.judged if row.desirable]
        examples = {
            (id := content_id(*(f"{m.role}\x1e{m.content}" for m in prompt), answer)): Example(
                id=id, messages=(*prompt, Message(role="assistant", content=answer))
            )
            for prompt, answer in good
        }
        counts = ((len(self.pairs), "preference pairs"), (len(self.judged), "answers judged by themselves"))
        found = " and ".join(f"{count} {what}" for count, what in counts if count)
        notes = (f"{found}; the chosen and the good answers are the examples",)
        name = "preference pairs" if self.pairs else "judged answers"
        return Imported(tuple(examples.values()), name, self.skipped, notes, self.pairs, self.judged)


def holds_judgements(path: Path) -> bool:
    """Whether most of a file's first records compare two answers, or say what one is worth.

    Raises:
        DataError: the file cannot be read.
    """
    reading.check(path)
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        return False
    found = [record for record in islice(_records(path), _LOOKED_AT) if isinstance(record, Record)]
    judging = [row for row in found if {"chosen", "rejected"} <= set(row.value) or _is_judged(row.value)]
    return len(judging) > len(found) / 2


def read(path: Path) -> ImportedPairs:
    """Read a file of comparisons; a row that is none is kept with its line and reason.

    Raises:
        DataError: the file cannot be read, or none of its rows is usable.
    """
    reading.check(path)
    pairs: list[Preference] = []
    skipped: list[Skipped] = []
    judged: defaultdict[tuple[Message, ...], list[Judged]] = defaultdict(list)
    for record in _records(path):
        if isinstance(record, Skipped):
            skipped.append(record)
            continue
        try:
            if _is_judged(record.value):
                answer = _judged(record.value)
                judged[answer.prompt].append(answer)
            else:
                pairs.append(_pair(record.value))
        except Unusable as error:
            skipped.append(Skipped(record.line, str(error)))
    alone: list[Judged] = []
    for answers in judged.values():
        made, left = _matched(answers)
        pairs += made
        alone += left
    if not pairs and not alone:
        first = f"; first: {skipped[0]}" if skipped else ""
        raise DataError(f"{path}: none of its {len(skipped)} rows is a usable comparison{first}")
    return ImportedPairs(tuple(pairs), tuple(skipped), tuple(alone))


def _records(path: Path) -> Iterable[Record | Skipped]:
    return reading.json_array(path) if reading.is_array(path) else reading.json_lines(path)


def _is_judged(value: dict[str, Any]) -> bool:
    if isinstance(value.get("desirable"), bool):
        return "prompt" in value and "answer" in value
    return isinstance(value.get("label"), bool) and ("messages" in value or "completion" in value)


def _pair(value: dict[str, Any]) -> Preference:
    for key in ("chosen", "rejected"):
        if key not in value:
            raise Unusable(f"{key} is missing; it holds {', '.join(islice(map(str, value), 12)) or 'nothing'}")
    # Each answer is read as an example of its own, so that what an example is refused for, a pair is refused for, too.
    chosen, rejected = (_answered(value, key) for key in ("chosen", "rejected"))
    if chosen.prompt != rejected.prompt:
        raise Unusable("chosen and rejected do not answer the same prompt")
    versions = {key: str(value[key]) for key in ("chosen_version", "rejected_version") if value.get(key)}
    return _preference(chosen.prompt, chosen.answer, rejected.answer, **_who(value)).model_copy(update=versions)


def _who(value: dict[str, Any]) -> dict[str, Any]:
    """Whose judgement it is: `source` and `rater`."""
    source = value.get("source", "human")
    if source not in ("human", "ai"):
        raise Unusable(f"source {source!r} is neither human nor ai")
    return {"source": source, "rater": filled(value.get("rater") or RATER, "rater")}


def _preference(prompt: tuple[Message, ...], chosen: str, rejected: str, **who: Any) -> Preference:
    id = content_id("pair", *(f"{m.role}\x1e{m.content}" for m in prompt), chosen, rejected, *map(str, who.values()))
    return Preference(id=id, prompt=prompt, chosen=chosen, rejected=rejected, **who)


def _answered(value: dict[str, Any], key: str) -> Example:
    """A record's prompt with one of its answers."""
    answer = value[key]
    if sharegpt.matches(value):
        return sharegpt.read({**{k: v for k, v in value.items() if k != "rejected"}, "chosen": answer})
    if "instruction" in value:
        return alpaca.read({**value, "output": answer})
    answers = answer if isinstance(answer, list) else [{"role": "assistant", "content": filled(answer, key)}]
    prompt = value.get("prompt", [])
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": filled(prompt, "prompt")}]
    if not isinstance(prompt, list):
        raise Unusable("prompt is neither text nor a list of messages")
    return openai_messages.read({"messages": [*_system(value), *prompt, *answers]})


def _system(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "system", "content": value["system"]}] if value.get("system") else []


def _judged(value: dict[str, Any]) -> Judged:
    messages, own = value.get("messages"), "desirable" in value
    if messages is None:
        found = _answered(value, "answer" if own else "completion")
    else:
        found = openai_messages.read({"messages": messages})
    label, who = value["desirable" if own else "label"], _who(value)
    said = (*(f"{m.role}\x1e{m.content}" for m in found.messages), str(label), *who.values())
    version = str(value["version"]) if value.get("version") else None
    return Judged(
        id=content_id("judged", *said),
        prompt=found.prompt,
        answer=found.answer,
        desirable=label,
        version=version,
        **who,
    )


def _matched(answers: list[Judged]) -> tuple[list[Preference], list[Judged]]:
    """A prompt's good answers beside its bad ones, first with first; those without a partner."""
    good = [answer for answer in answers if answer.desirable]
    bad = [answer for answer in answers if not answer.desirable]
    made = [
        _preference(
            one.prompt,
            one.answer,
            other.answer,
            source="ai" if "ai" in (one.source, other.source) else "human",
            rater=one.rater,
        ).model_copy(update={"chosen_version": one.version, "rejected_version": other.version})
        for one, other in zip(good, bad, strict=False)
    ]
    return made, good[len(bad) :] + bad[len(good) :]
