"""The narrow frame of preference pairs: what is wrong with each, in words, and how long its answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.chat import examples_ids
from components.curation.near import asked, question_key
from components.quality.lines import Line
from components.quality.overlap import nearest
from components.schema import Message, Preference
from components.task import Task

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

FAULTS = ("record", "roles", "answer", "equal", "decided", "overlap")
COLUMNS = ("where", "id", *FAULTS, "chosen_tokens", "rejected_tokens")


def frame_of_pairs(
    lines: Sequence[Line[Preference]],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    tested: Sequence[tuple[str, str]],
    near: float,
) -> pd.DataFrame:
    """Derive the columns. `tested` are (place, question) of everything that no pair may be near to."""
    pairs = [line.row for line in lines if line.row is not None]
    tokens = [_tokens(tokenizer, pairs, answer) for answer in ("chosen", "rejected")]
    near_to = nearest([asked(pair.prompt) for pair in pairs], [question for _, question in tested], near)
    found = iter(zip(*tokens, near_to, strict=True))
    decided = {_decision(pair, turned=False): line.where for line in lines if (pair := line.row) is not None}
    records: list[dict[str, Any]] = []
    for line in lines:
        pair = line.row
        record: dict[str, Any] = dict.fromkeys(COLUMNS)
        record |= {"where": line.where, "record": line.fault}
        if pair is not None:
            chosen, rejected, hit = next(found)
            turned = decided.get(_decision(pair, turned=True))
            record |= {
                "id": pair.id,
                "roles": roles(pair.prompt),
                "answer": _answers(pair, task),
                "equal": "chosen and rejected are the same" if _same(pair) else None,
                "decided": f"{turned} prefers the other answer" if turned and not _same(pair) else None,
                "overlap": None if hit is None else f"near {tested[hit[0]][0]}, similarity {hit[1]:.2f}",
                "chosen_tokens": float(chosen),
                "rejected_tokens": float(rejected),
            }
        records.append(record)
    return narrow(records, COLUMNS, FAULTS)


def narrow(records: Sequence[dict[str, Any]], columns: Sequence[str], faults: Sequence[str]) -> pd.DataFrame:
    """Records as a frame whose faults name their place and whose columns `…tokens` are numbers."""
    import pandas as pd

    for record in records:
        record |= {fault: f"{record['where']}: {record[fault]}" for fault in faults if record[fault]}
    table = pd.DataFrame(records, columns=list(columns)).astype(object)
    numbers = {column: "float64" for column in columns if column.endswith("tokens")}
    return table.where(table.notna(), None).astype(numbers)


def _tokens(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Preference], answer: str) -> list[int]:
    """Tokens of each pair's prompt with one of its answers."""
    whole = [(*pair.prompt, Message(role="assistant", content=getattr(pair, answer))) for pair in pairs]
    return [len(ids) for ids, _ in examples_ids(tokenizer, whole)]


def _same(pair: Preference) -> bool:
    return pair.chosen.split() == pair.rejected.split()


def _decision(pair: Preference, turned: bool) -> tuple[str, str, str]:
    answers = (pair.rejected, pair.chosen) if turned else (pair.chosen, pair.rejected)
    return (question_key(asked(pair.prompt)), *answers)


def roles(prompt: Sequence[Message]) -> str | None:
    """System first if at all, then user and assistant in turn, the user last, nobody silent."""
    said = [message for message in prompt if message.role != "system"]
    if any(message.role == "system" for message in prompt[1:]):
        return "a system message that is not the first"
    if not said or said[-1].role != "user":
        return "the prompt does not end with the user's message"
    for position, message in enumerate(said):
        if message.role != ("user" if position % 2 == 0 else "assistant"):
            return f"turn {position + 1} is the {message.role}'s"
        if not message.content.strip():
            return f"turn {position + 1} is empty"
    return None


def _answers(pair: Preference, task: Task) -> str | None:
    """The chosen answer is one that the task allows; a rejected one may be wrong in any way but silence."""
    if not pair.chosen.strip() or not pair.rejected.strip():
        return "an answer is empty"
    return None if task.parse(pair.chosen) is not None else f"{pair.chosen[:60]!r} is no answer of this task"
