"""Files of four formats, out of one store and into another, twice; and files that are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.feedback.exchange.transfer import READERS, Format, export_file, format_of, import_file
from components.feedback.store import Store
from components.files import DataError
from components.schema import Message
from components.task import Task
from tests.components.feedback.conftest import Said, Served

TEXT = Task(name="intake", title="Intake", answer="text")
LABEL = Task(name="intake", title="Intake", answer="label", labels=("ham", "spam"))


def said_in(store: Store) -> list[tuple[object, ...]]:
    rows = store.rows("intake", 0, store.latest_seq("intake"))
    return sorted(
        (
            (row.rater, row.kind, row.correction, row.comment, row.answer, row.messages, row.model_version)
            for row in rows
        ),
        key=str,
    )


@pytest.mark.parametrize("form", READERS)
def test_what_one_store_writes_another_reads_once(form: Format, tmp_path: Path, served: Served, said: Said) -> None:
    with Store(f"sqlite:///{tmp_path / 'one.db'}") as one, Store(f"sqlite:///{tmp_path / 'two.db'}") as two:
        system = Message(role="system", content="Be brief.")
        for number in range(3):
            question = (system, Message(role="user", content=f"مرحبا {number}\n\"{{'"))
            one.add_interaction(served(f"c{number}", messages=question, model_version="7"))
        one.add_all([said("c0", "thumb_down", rater="bob"), said("c0", correction="two\nlines", rater="bob")])
        one.add_feedback(said("c1", "thumb_up", rater="eve@example.org"))
        one.add_feedback(said("c2", "comment", rater="eve@example.org"))
        one.add_feedback(said("c2", "thumb_down", rater="bob", comment="why not\nshorter?"))
        one.add_feedback(said("c1", correction="else", rater="zoe", comment="it was asked otherwise"))
        file = tmp_path / "feedback.json"
        assert export_file(one, "intake", file, form) == 6
        first, again = (import_file(two, TEXT, file, form) for _ in range(2))
        assert (first.stored, first.known, first.refused) == (6, 0, [])
        assert (again.stored, again.known, again.refused) == (0, 6, [])
        assert said_in(two) == said_in(one)
        back = import_file(one, TEXT, file, form)
        assert (back.stored, back.known, back.refused) == (0, 6, [])


@pytest.mark.parametrize("form", ["argilla", "label-studio"])
def test_what_somebody_no_longer_says_is_not_told_to_tools_that_ask_once(
    form: Format, tmp_path: Path, served: Served, said: Said
) -> None:
    with Store(f"sqlite:///{tmp_path / 'one.db'}") as one, Store(f"sqlite:///{tmp_path / 'two.db'}") as two:
        one.add_interaction(served("c0"))
        for kind in ("thumb_up", "thumb_down", "thumb_up"):
            one.add_feedback(said("c0", kind, rater="bob", comment=f"so {kind}"))
        one.add_feedback(said("c0", correction="first", rater="bob"))
        one.add_feedback(said("c0", correction="second", rater="bob"))
        one.add_feedback(said("c0", "comment", rater="bob", comment="by the way"))
        file = tmp_path / "feedback.json"
        assert export_file(one, "intake", file, form) == 3
        done = import_file(two, TEXT, file, form)
        now = {(row.kind, row.correction) for row in two.rows("intake", 0, two.latest_seq("intake"))}
        assert now >= {("thumb_up", None), ("correction", "second")}
        assert not now & {("thumb_down", None), ("correction", "first")}
        assert done.refused == []
        assert import_file(two, TEXT, file, form).stored == 0
        assert import_file(one, TEXT, file, form).stored == 0


def test_every_refused_row_is_named_with_its_line_and_reason_and_the_others_are_stored(
    store: Store, served: Served, tmp_path: Path
) -> None:
    store.add_interaction(served("c1"))
    store.add_interaction(served("d1", task="clinic"))
    file = tmp_path / "f.jsonl"
    lines: list[object] = [
        {"kind": "correction", "rater": "bob", "correction": "spam", "interaction_id": "c1"},
        {"kind": "correction", "rater": "bob", "correction": "eggs", "interaction_id": "c1"},
        {"kind": "thumb_up", "rater": "bob", "interaction_id": "gone"},
        {"kind": "thumb_up", "rater": "bob", "interaction_id": "d1"},
        {"kind": "thumb_up", "rater": "bob"},
        {"kind": "correction", "rater": "bob", "interaction_id": "c1"},
        {"kind": "praise", "rater": "bob", "interaction_id": "c1"},
        {"kind": "thumb_up", "interaction_id": "c1", "rater": "bob", "stars": 5},
        [],
        {"kind": "thumb_up", "rater": "bob", "messages": [{"role": "user", "content": "new"}], "answer": "ham"},
    ]
    file.write_text("\n".join([*map(json.dumps, lines), "", '{"kind": "thu']), encoding="utf-8")
    done = import_file(store, LABEL, file, "jsonl")
    assert done.stored == 2
    reasons = {int(place.removeprefix("line ")): why for place, why in done.refused}
    assert list(reasons) == [2, 3, 4, 5, 6, 7, 8, 9, 12]
    assert "no valid answer of task 'intake': 'eggs'" in reasons[2]
    assert "no answer with id 'gone' was served here" in reasons[3]
    assert "of task 'clinic'" in reasons[4]
    assert "give `messages` and `answer`" in reasons[5]
    assert "needs the right answer" in reasons[6]
    assert reasons[7].startswith("kind: ")
    assert reasons[8].startswith("stars: ")
    assert reasons[9] == "a row must be an object"
    assert reasons[12].startswith("not valid JSON")


def test_what_other_tools_wrote_in_ways_of_their_own_is_read_or_named(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "argilla.json"
    record = {"fields": {"prompt": "what?", "answer": "x"}, "responses": {
        "right": [{"value": "no", "user_id": 7}, {"value": "maybe", "user_id": 8}, {"value": "yes"}],
        "stars": [{"value": 5, "user_id": 7}],
    }}  # fmt: skip
    file.write_text(json.dumps([record, {"text": "no record"}]))
    assert format_of(file) == "argilla"
    done = import_file(store, TEXT, file, "argilla")
    assert done.stored == 1
    assert [place for place, _ in done.refused] == [
        "record 1, response 2 to 'right'",
        "record 1, response 3 to 'right'",
        "record 1, response 1 to 'stars'",
        "record 2",
    ]
    file = tmp_path / "studio.json"
    task = {"data": {"prompt": "what?", "answer": "x"}, "annotations": [
        {"completed_by": 3, "result": [{"from_name": "right", "value": {"choices": ["wrong"]}}]},
        {"completed_by": 3, "was_cancelled": True, "result": [{"from_name": "right", "value": {"choices": ["right"]}}]},
        {"result": []},
    ]}  # fmt: skip
    file.write_text(json.dumps([task]))
    assert format_of(file) == "label-studio"
    done = import_file(store, TEXT, file, "label-studio")
    assert (done.stored, done.refused) == (1, [("task 1, annotation 3", "an annotation needs `completed_by`")])


def test_values_of_any_shape_are_refused_and_break_nothing(store: Store, tmp_path: Path) -> None:
    odd: list[object] = [None, 1, "x", [], {}, [1], {"a": 1}]
    records: list[object] = [*odd]
    for value in odd:
        fields = {"prompt": "what?", "answer": "x"}
        records += [
            {"fields": fields, "responses": value, "metadata": value},
            {"fields": {"prompt": value, "answer": value}, "responses": {"right": [{"value": "yes", "user_id": "u"}]}},
            {"id": value, "fields": fields, "responses": {"right": [{"value": value, "user_id": value or "u"}]}},
            {"data": value, "annotations": value},
            {"data": fields, "annotations": [value, {"completed_by": value, "result": value}]},
            {"data": fields, "annotations": [{"completed_by": 1, "created_at": value, "result": [
                value, {"from_name": "right", "value": value}, {"from_name": "right", "value": {"choices": value}},
                {"from_name": "correction", "value": {"text": value}}]}]},
        ]  # fmt: skip
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(records))
    for form in ("argilla", "label-studio"):
        done = import_file(store, TEXT, file, form)  # type: ignore[arg-type]
        assert len(done.refused) > 20
        assert all(why for _, why in done.refused)


def test_a_file_that_is_none_is_one_clear_line(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    for form in ("argilla", "label-studio", "parquet"):
        with pytest.raises(DataError, match=r"must be a JSON array|is no Parquet file"):
            import_file(store, TEXT, file, form)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="which format is it"):
        format_of(tmp_path / "x.txt")
    with pytest.raises(DataError, match="does not exist"):
        import_file(store, TEXT, tmp_path / "none.jsonl", "jsonl")
