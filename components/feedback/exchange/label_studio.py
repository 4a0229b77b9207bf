"""Label Studio's JSON: what its export in format JSON writes and its import reads.

A project whose labelling interface has Choices named `right` (right, wrong) and TextAreas named
`correction` and `comment`:

    [{"id": 1, "data": {"interaction_id": "chatcmpl-1", "prompt": [{"role": "user", "content": "…"}],
                        "answer": "…", "version": "3"},
      "annotations": [{"completed_by": {"email": "ann@example.org"}, "created_at": "2026-05-01T12:00:00Z",
        "result": [{"from_name": "right", "to_name": "answer", "type": "choices", "value": {"choices": ["wrong"]}},
                   {"from_name": "correction", "to_name": "answer", "type": "textarea", "value": {"text": ["…"]}}]}]}]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components import files
from components.feedback.exchange.argilla import array, messages_of
from components.feedback.exchange.line import Line, Place, joined
from components.schema import FeedbackRow

THUMBS = {"right": "thumb_up", "wrong": "thumb_down"}


def read(path: Path) -> Iterator[tuple[Place, Line | str]]:
    """One row for each result of an annotation, where a comment belongs to the correction or thumb beside it.

    Cancelled annotations say nothing.

    Raises:
        files.DataError: it is no JSON array.
    """
    for number, task in enumerate(array(path), 1):
        place = f"task {number}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            yield place, "no task of Label Studio: it has no `data`"
            continue
        data = task["data"]
        about = {
            "interaction_id": data.get("interaction_id"),
            "messages": messages_of(data.get("prompt")),
            "answer": data.get("answer"),
            "model_version": data.get("version"),
        }
        for which, annotation in enumerate(_list(task.get("annotations")), 1):
            where = f"{place}, annotation {which}"
            if not isinstance(annotation, dict):
                yield where, "an annotation must be an object"
                continue
            if annotation.get("was_cancelled"):
                continue
            rater = _rater(annotation.get("completed_by"))
            if rater is None:
                yield where, "an annotation needs `completed_by`"
                continue
            together: list[tuple[Place, dict[str, Any]]] = []
            for nth, result in enumerate(_list(annotation.get("result")), 1):
                said = _said(result)
                if isinstance(said, str):
                    yield f"{where}, result {nth}", said
                else:
                    when = {"created_at": annotation["created_at"]} if annotation.get("created_at") else {}
                    together.append((f"{where}, result {nth}", {**about, **said, **when, "rater": rater}))
            yield from joined(together)


def write(path: Path, rows: Sequence[FeedbackRow]) -> None:
    """One task an answer, one annotation an event that stands."""
    by_answer: defaultdict[str, list[FeedbackRow]] = defaultdict(list)
    for row in rows:
        by_answer[row.interaction_id].append(row)
    tasks = [
        {
            "id": number,
            "data": {
                "interaction_id": id,
                "prompt": [message.model_dump() for message in of[0].messages],
                "answer": of[0].answer,
                "version": of[0].model_version,
            },
            "annotations": [_annotation(row) for row in of],
        }
        for number, (id, of) in enumerate(by_answer.items(), 1)
    ]
    files.write_json(path, tasks)


def _annotation(row: FeedbackRow) -> dict[str, Any]:
    results = []
    if row.kind in ("thumb_up", "thumb_down"):
        choice = "right" if row.kind == "thumb_up" else "wrong"
        results.append(("right", "choices", {"choices": [choice]}))
    if row.correction is not None:
        results.append(("correction", "textarea", {"text": [row.correction]}))
    if row.comment:
        results.append(("comment", "textarea", {"text": [row.comment]}))
    return {
        "completed_by": {"email": row.rater},
        "created_at": row.created_at.isoformat(),
        "result": [
            {"from_name": name, "to_name": "answer", "type": kind, "value": value} for name, kind, value in results
        ],
    }


def _said(result: Any) -> dict[str, Any] | str:
    if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
        return "a result needs `from_name` and `value`"
    name, value = result.get("from_name"), result["value"]
    if name == "right":
        choices = value.get("choices")
        chosen = choices[0] if isinstance(choices, list) and len(choices) == 1 else choices
        if not isinstance(chosen, str) or chosen not in THUMBS:
            return f"`right` must be right or wrong, and is {chosen!r}"
        return {"kind": THUMBS[chosen]}
    if name in ("correction", "comment"):
        text = value.get("text")
        return {"kind": name, name: "\n".join(map(str, text)) if isinstance(text, list) else text}
    return f"result {name!r} is none of right, correction and comment"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rater(by: Any) -> str | None:
    if isinstance(by, dict):
        by = by.get("email") or by.get("username") or by.get("id")
    return None if by is None else str(by)
