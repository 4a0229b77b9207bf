"""`mlflow.pyfunc.load_model("models:/intake@champion").predict([...])`: a version as a plain Python callable.

MLflow calls `_load_pyfunc` with the folder of the version's files. The base is found by its hash: in this
machine's cache, else in the registry; nothing depends on the working directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components import label_head
from components.schema import Message


class Answers:
    """Greedy answers of one version, or its likeliest labels."""

    def __init__(self, base: Path, adapter: Path, max_new_tokens: int = 256) -> None:
        from components.evaluation.answering import version_tokenizer
        from components.evaluation.generation import load_merged
        from components.models import read_manifest

        self.system = read_manifest(adapter).system
        self.max_new_tokens = max_new_tokens
        self.tokenizer = version_tokenizer(base, adapter)
        self.model = load_merged(base, adapter)
        self.head = label_head.read(adapter) if label_head.there(adapter) else None

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[str]:
        """One answer a row.

        Args:
            model_input: texts, or conversations (`[{"role": …, "content": …}, …]`), or a DataFrame whose
                column `messages` or whose only column holds either. The task's system message is put
                before what has none.
            params: `max_new_tokens`, `batch_size`.
        """
        from components import chat
        from components.evaluation.generation import generate

        given = params or {}
        prompts = [chat.prompt_ids(self.tokenizer, self._messages(row)) for row in _rows(model_input)]
        if self.head is not None:
            chosen = label_head.logprobs(self.model, self.head, prompts, int(given.get("batch_size", 64))).argmax(1)
            return [self.head.labels[at] for at in chosen.tolist()]
        answers = generate(
            self.model,
            prompts,
            end=chat.end_of_turn_id(self.tokenizer),
            max_new_tokens=int(given.get("max_new_tokens", self.max_new_tokens)),
            batch_size=int(given.get("batch_size", 64)),
        )
        return [str(self.tokenizer.decode(ids, skip_special_tokens=True)) for ids in answers]

    def _messages(self, row: str | Sequence[Mapping[str, str]]) -> list[Message]:
        if isinstance(row, str):
            messages = [Message(role="user", content=row)]
        else:
            messages = [Message.model_validate(dict(message)) for message in row]
        if self.system and messages[0].role != "system":
            messages.insert(0, Message(role="system", content=self.system))
        return messages


def _rows(model_input: Any) -> list[Any]:
    """Texts or conversations, whatever they came wrapped in."""
    if hasattr(model_input, "columns"):
        columns = list(model_input.columns)
        if "messages" not in columns and len(columns) != 1:
            raise ValueError(f"a DataFrame needs a column `messages` or one column only; these are {columns}")
        return list(model_input["messages" if "messages" in columns else columns[0]])
    if isinstance(model_input, str):
        return [model_input]
    rows = list(model_input)
    if rows and isinstance(rows[0], Mapping) and "role" in rows[0]:
        return [rows]
    if rows and isinstance(rows[0], Mapping):
        return [row["messages"] for row in rows]
    return rows


def _load_pyfunc(path: str) -> Answers:
    from components.models import read_manifest
    from components.registry.local import base_by_reference

    adapter = Path(path)
    return Answers(base_by_reference(read_manifest(adapter).base), adapter)
