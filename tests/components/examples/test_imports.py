"""Every format that people keep examples in is found by its content and read whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.examples.formats.records import Imported
from components.examples.imports import read
from components.files import DataError

PAIRS = [("Where is it?", "In the knee."), ("Since when?", 'Since Monday, "about" noon'), ("عربي\nline two", "نعم")]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def openai_rows(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}
        for asked, answered in pairs
    ]


def sharegpt_rows(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]} for a, b in pairs]


def alpaca_rows(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"instruction": a, "input": "", "output": b} for a, b in pairs]


def completion_rows(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"prompt": a, "completion": b} for a, b in pairs]


MAKERS = {
    "OpenAI messages": openai_rows,
    "ShareGPT": sharegpt_rows,
    "Alpaca": alpaca_rows,
    "prompt and completion": completion_rows,
}


def contents(imported: Imported) -> list[tuple[str, str]]:
    return [(row.question, row.answer) for row in imported.examples]


@pytest.mark.parametrize("name", MAKERS)
def test_json_lines_and_a_json_array_give_the_same_rows(name: str, tmp_path: Path) -> None:
    rows = MAKERS[name](PAIRS)
    lines = read(write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    array = read(write(tmp_path / "a.json", json.dumps(rows, indent=2, ensure_ascii=False)))
    assert contents(lines) == contents(array) == PAIRS
    assert lines.format == f"{name} (JSON lines)"
    assert array.format == f"{name} (a JSON array)"
    assert not lines.skipped
    assert not array.skipped


text = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda s: bool(s.strip()))


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    pairs=st.lists(st.tuples(text, text), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)
def test_any_text_comes_back_as_it_was_written(
    name: str, tmp_path: Path, pairs: list[tuple[str, str]], end: str, bom: bool
) -> None:
    body = end.join(json.dumps(row, ensure_ascii=False) for row in MAKERS[name](pairs)) + end
    path = write(tmp_path / "a.jsonl", body, "utf-8-sig" if bom else "utf-8")
    assert contents(read(path)) == pairs


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pairs=st.lists(st.tuples(text, text), min_size=1, max_size=8))
def test_any_text_comes_back_from_a_table(delimiter: str, tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("prompt", "completion"), *pairs])
    path = write(tmp_path / ("a.tsv" if delimiter == "\t" else "a.csv"), table.getvalue())
    assert contents(read(path)) == pairs


def test_alpaca_joins_instruction_and_input_and_keeps_system_and_history(tmp_path: Path) -> None:
    row = {
        "instruction": "Translate.",
        "input": "knee",
        "output": "genou",
        "system": "Be brief.",
        "history": [["Hello", "Hi"]],
    }
    example = read(write(tmp_path / "a.json", json.dumps([row]))).examples[0]
    assert [(m.role, m.content) for m in example.messages] == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "Translate.\n\nknee"),
        ("assistant", "genou"),
    ]


def test_openai_text_parts_are_joined_and_a_developer_is_the_system(tmp_path: Path) -> None:
    row = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"},
        ]
    }
    example = read(write(tmp_path / "a.jsonl", json.dumps(row))).examples[0]
    assert [m.role for m in example.messages] == ["system", "user", "assistant"]
    assert example.question == "ab"


@pytest.mark.parametrize("form", ["messages", "prompt and completion"])
def test_an_answer_that_was_judged_bad_is_no_example(form: str, tmp_path: Path) -> None:
    own = [{"prompt": prompt, "completion": answer} for prompt, answer in PAIRS]
    both = zip(openai_rows(PAIRS) if form == "messages" else own, (True, False, True), strict=True)
    rows = [row | {"label": good} for row, good in both]
    imported = read(write(tmp_path / "kto.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert contents(imported) == [PAIRS[0], PAIRS[2]]
    assert [row.desirable for row in imported.judged] == [True, False, True]


def test_one_odd_label_does_not_make_examples_of_bad_answers(tmp_path: Path) -> None:
    own = [{"prompt": prompt, "completion": answer} for prompt, answer in PAIRS]
    rows = [row | {"label": label} for row, label in zip(own, (True, False, "maybe"), strict=True)]
    imported = read(write(tmp_path / "kto.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert contents(imported) == [PAIRS[0]]
    assert [str(row) for row in imported.skipped] == ["line 3: chosen is missing; it holds prompt, completion, label"]


def test_a_file_of_nothing_but_bad_answers_has_nothing_to_teach(tmp_path: Path) -> None:
    rows = [row | {"label": False} for row in openai_rows(PAIRS)]
    with pytest.raises(DataError, match=r"none of its 3 rows is usable .*; there is no good answer to learn from"):
        read(write(tmp_path / "kto.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))


def test_of_preference_data_the_chosen_answer_is_taken_and_that_is_said(tmp_path: Path) -> None:
    row = {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    }
    imported = read(write(tmp_path / "dpo.json", json.dumps([row])))
    assert contents(imported) == [("q", "good")]
    assert any("chosen" in note for note in imported.notes)


@pytest.mark.parametrize("header", ["", "Label\tSMS\n", "kind\tbody\n"])
def test_the_column_with_few_short_values_is_the_label_wherever_it_stands(header: str, tmp_path: Path) -> None:
    rows = [("ham" if i % 3 else "spam", f'message "{i} with, text') for i in range(30)]
    path = write(tmp_path / "sms.tsv", header + "".join(f"{label}\t{body}\n" for label, body in rows))
    imported = read(path)
    assert contents(imported) == [(body, label) for label, body in rows]
    assert any("label" in note.lower() for note in imported.notes)
    assert len(imported.examples) == 30


def test_a_table_of_more_columns_asks_which_to_take_and_lists_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "n.csv", 'ID,section_header,section_text,dialogue\n1,GENHX,"a, b","Doctor: hi\nPatient: hi"\n'
    )
    with pytest.raises(DataError, match=r"ID, section_header, section_text, dialogue.*--prompt-column") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    imported = read(path, prompt_column="dialogue", answer_column="section_text")
    assert contents(imported) == [("Doctor: hi\nPatient: hi", "a, b")]
    assert "columns not used: ID, section_header" in imported.notes


def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path / "n.csv", "prompt,completion\na,b\n")
    with pytest.raises(DataError, match="--answer-column note: there is no such column; columns: prompt, completion"):
        read(path, prompt_column="prompt", answer_column="note")


def test_keys_of_json_objects_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", '{"en": "knee", "ar": "ركبة", "id": 1}\n')
    assert contents(read(path, prompt_column="en", answer_column="ar")) == [("knee", "ركبة")]
    with pytest.raises(DataError, match="line 1: no known format; its keys are en, ar, id"):
        read(path)


def test_the_summary_names_every_row_that_was_not_understood_by_its_reason(tmp_path: Path) -> None:
    bad = ['{"prompt": "x"}'] * 12 + ["[1]", '{"prompt": "x"}']
    lines = [json.dumps(row) for row in completion_rows(PAIRS)] + bad
    imported = read(write(tmp_path / "a.jsonl", "\n".join(lines)))
    summary = imported.summary()
    assert summary[1] == "understood: 3 rows; not understood: 14"
    assert summary[2:] == ["  lines 4–15, 17: completion is missing", "  line 16: a JSON list, not an object"]
    assert imported.summary(at_most=1)[-1] == "  … and 1 more, for 1 other reason"


def test_a_row_of_another_format_is_told_by_what_it_holds(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in openai_rows(PAIRS)] + ['{"messages": "hello", "n": 1}']
    imported = read(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert str(imported.skipped[0]) == (
        "line 4: not OpenAI messages like the others; it holds messages (text), n (a number)"
    )


@pytest.mark.parametrize("header", ["q,a", "frage,antwort", "dialogue_text,section-note", "سؤال,جواب"])
def test_a_header_of_unknown_names_is_told_from_sentences(header: str, tmp_path: Path) -> None:
    rows = [(f"What is item {i}?", f"It is number {i}.") for i in range(20)]
    imported = read(write(tmp_path / "t.csv", header + "\n" + "".join(f"{q},{a}\n" for q, a in rows)))
    assert contents(imported) == rows
    assert not any("no header" in note for note in imported.notes)


def test_a_table_of_single_words_has_no_header_unless_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "words.csv", "knee,genou\nhead,tête\nhand,main\n")
    imported = read(path)
    assert contents(imported)[0] == ("knee", "genou")
    assert any("no header" in note and "--prompt-column" in note for note in imported.notes)
    assert contents(read(path, prompt_column="knee", answer_column="genou"))[0] == ("head", "tête")


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds only a header \(prompt, completion\) and no row"):
        read(write(tmp_path / "h.csv", "prompt,completion\n"))


def test_a_file_without_a_telling_name_is_read_by_its_content(tmp_path: Path) -> None:
    body = "".join(json.dumps(row) + "\n" for row in completion_rows(PAIRS))
    assert contents(read(write(tmp_path / "examples.txt", body))) == PAIRS
