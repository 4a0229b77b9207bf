"""Alpaca: {"instruction": …, "input": …, "output": …}, with `system` and `history` as LLaMA-Factory has them."""

from __future__ import annotations

from typing import Any

from components.examples.formats.records import Unusable, example, filled, text_of, with_system
from components.schema import Example, Role

NAME = "Alpaca"


def matches(record: dict[str, Any]) -> bool:
    return "instruction" in record and ("output" in record or "response" in record or "input" in record)


def read(record: dict[str, Any]) -> Example:
    """One record as an example: instruction and input are the question, with an empty line between.

    Raises:
        Unusable: which key is missing, empty or no text.
    """
    instruction = filled(record.get("instruction"), "instruction")
    given = text_of(record.get("input") or "", "input")
    answer = filled(record["output"] if "output" in record else record.get("response"), "output")
    turns: list[tuple[Role, str]] = []
    for number, pair in enumerate(record.get("history") or [], 1):
        if not (isinstance(pair, list) and len(pair) == 2):
            raise Unusable(f"history {number} is no pair of question and answer")
        turns += [("user", filled(pair[0], f"history {number}")), ("assistant", filled(pair[1], f"history {number}"))]
    turns += [("user", f"{instruction}\n\n{given}" if given.strip() else instruction), ("assistant", answer)]
    return example(with_system(record.get("system"), turns))
