"""Argilla's JSON: what `dataset.records.to_json()` of Argilla 2 writes and `from_json()` reads.

A dataset with the text (or chat) field `prompt`, the text field `answer`, and the questions `right`
(labels yes and no), `correction` and `comment` (text):

    [{"id": "chatcmpl-1", "fields": {"prompt": [{"role": "user", "content": "…"}], "answer": "…"},
      "metadata": {"version": "3"}, "suggestions": {}, "vectors": {}, "status": "completed",
      "responses": {"right": [{"value": "no", "user_id": "ann"}],
                    "correction": [{"value": "…", "user_id": "ann"}]}}]
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components import files
from components.feedback.exchange.line import Line, Place, joined
from components.schema import FeedbackRow

THUMBS = {"yes": "thumb_up", "no": "thumb_down"}


def read(path: Path) -> Iterator[tuple[Place, Line | str]]:
    """One row for each response to a question; a person's comment belongs to their correction or thumb.

    Raises:
        files.DataError: it is no JSON array.
    """
    for number, record in enumerate(array(path), 1):
        place = f"record {number}"
        if not isinstance(record, dict) or not isinstance(record.get("fields"), dict):
            yield place, "no record of Argilla: it has no `fields`"
            continue
        fields, responses, metadata = record["fields"], record.get("responses") or {}, record.get("metadata")
        about = {
            "interaction_id": str(record["id"]) if record.get("id") else None,
            "messages": messages_of(fields.get("prompt")),
            "answer": fields.get("answer"),
            "model_version": metadata.get("version") if isinstance(metadata, dict) else None,
        }
        if not isinstance(responses, dict):
            yield place, "`responses` must map each question to its responses"
            continue
        together: list[tuple[Place, dict[str, Any]]] = []
        for question, given in responses.items():
            for which, response in enumerate(given if isinstance(given, list) else [given], 1):
                where = f"{place}, response {which} to {question!r}"
                if not isinstance(response, dict) or not response.get("user_id"):
                    yield where, "a response needs `value` and `user_id`"
                    continue
                said = _said(question, response.get("value"))
                if isinstance(said, str):
                    yield where, said
                else:
                    together.append((where, {**about, **said, "rater": str(response["user_id"])}))
        yield from joined(together)


def write(path: Path, rows: Sequence[FeedbackRow]) -> None:
    """One record an answer, one response an event that stands; comments are responses of their own."""
    by_answer: defaultdict[str, list[FeedbackRow]] = defaultdict(list)
    for row in rows:
        by_answer[row.interaction_id].append(row)
    records = []
    for id, of in by_answer.items():
        responses: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        for row in of:
            if row.kind in ("thumb_up", "thumb_down"):
                value = "yes" if row.kind == "thumb_up" else "no"
                responses["right"].append({"value": value, "user_id": row.rater})
            if row.correction is not None:
                responses["correction"].append({"value": row.correction, "user_id": row.rater})
            if row.comment:
                responses["comment"].append({"value": row.comment, "user_id": row.rater})
        prompt = [message.model_dump() for message in of[0].messages]
        records.append(
            {
                "id": id,
                "fields": {"prompt": prompt, "answer": of[0].answer},
                "metadata": {"version": of[0].model_version},
                "suggestions": {},
                "responses": dict(responses),
                "vectors": {},
                "status": "completed",
            }
        )
    files.write_json(path, records)


def _said(question: str, value: Any) -> dict[str, Any] | str:
    match question:
        case "right" if isinstance(value, str) and value in THUMBS:
            return {"kind": THUMBS[value]}
        case "right":
            return f"`right` must be yes or no, and is {value!r}"
        case "correction" | "comment":
            return {"kind": question, question: value}
        case _:
            return f"question {question!r} is none of right, correction and comment"


def array(path: Path) -> list[Any]:
    """A file's JSON array.

    Raises:
        files.DataError: it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise files.DataError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, list):
        raise files.DataError(f"{path} must be a JSON array of records")
    return found


def messages_of(prompt: Any) -> Any:
    """A chat as it is, or one text as the user's message."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if isinstance(prompt, list):
        return [
            {"role": m.get("role"), "content": m.get("content")} if isinstance(m, dict) else {"content": m}
            for m in prompt
        ]
    return []
