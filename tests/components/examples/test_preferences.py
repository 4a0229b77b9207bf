"""Comparisons in the forms that people have them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.examples import imports
from components.examples.new_task import write_task
from components.examples.preferences import holds_judgements, read
from components.files import DataError


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def value(speaker: str, text: str) -> dict[str, str]:
    return {"from": speaker, "value": text}


TURNS = [said("user", "hello"), said("assistant", "hi"), said("user", "how are you?")]
FORMS: dict[str, dict[str, Any]] = {
    "TRL, texts": {"prompt": "why?", "chosen": "so", "rejected": "no"},
    "TRL, texts and a system message": {"system": "Be brief.", "prompt": "why?", "chosen": "so", "rejected": "no"},
    "TRL, messages": {
        "prompt": TURNS,
        "chosen": [said("assistant", "so")],
        "rejected": [said("assistant", "no")],
    },
    "TRL, implicit prompt": {
        "chosen": [*TURNS, said("assistant", "so")],
        "rejected": [*TURNS, said("assistant", "no")],
    },
    "ShareGPT": {
        "conversations": [value("human", "why?")],
        "chosen": value("gpt", "so"),
        "rejected": value("gpt", "no"),
    },
    "Alpaca": {"instruction": "Say", "input": "why", "output": "x", "chosen": "so", "rejected": "no"},
}


def written(tmp_path: Path, rows: list[dict[str, Any]], array: bool = False) -> Path:
    path = tmp_path / ("pairs.json" if array else "pairs.jsonl")
    path.write_text(json.dumps(rows) if array else "".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_prompt_and_both_answers(form: str, tmp_path: Path) -> None:
    path = written(tmp_path, [FORMS[form]], array=form == "Alpaca")
    assert holds_judgements(path)
    (pair,) = read(path).pairs
    assert (pair.chosen, pair.rejected, pair.source, pair.rater) == ("so", "no", "human", "imported")
    assert pair.prompt[-1].role == "user"
    assert len(pair.prompt) == {"TRL, messages": 3, "TRL, implicit prompt": 3}.get(form, 1 + ("system" in form))


def test_saqias_own_rows_come_back_with_rater_source_and_versions(tmp_path: Path) -> None:
    own = {**FORMS["TRL, texts"], "id": "7", "source": "ai", "rater": "judge", "chosen_version": "3"}
    (pair,) = read(written(tmp_path, [own])).pairs
    assert (pair.source, pair.rater, pair.chosen_version, pair.rejected_version) == ("ai", "judge", "3", None)


def test_answers_judged_one_by_one_pair_up_by_prompt_and_the_others_stay_alone(tmp_path: Path) -> None:
    def judged(prompt: str, answer: str, label: bool) -> dict[str, Any]:
        return {"messages": [said("user", prompt), said("assistant", answer)], "label": label}

    trl = {"prompt": "why?", "completion": "so", "label": True}
    rows = [judged("why?", "no", False), trl, judged("alone?", "yes", True)]
    found = read(written(tmp_path, rows))
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [("so", "no")]
    assert [(row.answer, row.desirable, row.rater) for row in found.judged] == [("yes", True, "imported")]
    assert not found.skipped


def test_what_is_no_comparison_is_skipped_with_its_line_and_reason(tmp_path: Path) -> None:
    rows = [
        FORMS["TRL, texts"],
        {"prompt": "why?", "chosen": "so"},
        {"prompt": 7, "chosen": "so", "rejected": "no"},
        {"prompt": "why?", "chosen": " ", "rejected": "no"},
        {"chosen": TURNS[:2], "rejected": [said("user", "other"), said("assistant", "hi")]},
        {**FORMS["TRL, texts"], "source": "aliens"},
    ]
    found = read(written(tmp_path, rows))
    assert len(found.pairs) == 1
    assert [str(row) for row in found.skipped] == [
        "line 2: rejected is missing; it holds prompt, chosen",
        "line 3: prompt is neither text nor a list of messages",
        "line 4: chosen is empty",
        "line 5: chosen and rejected do not answer the same prompt",
        "line 6: source 'aliens' is neither human nor ai",
    ]


def test_a_file_of_nothing_but_examples_holds_no_pairs(tmp_path: Path) -> None:
    path = written(tmp_path, [{"prompt": "why?", "completion": "so"}])
    assert not holds_judgements(path)
    with pytest.raises(DataError, match="none of its 1 rows is a usable comparison"):
        read(path)


def test_a_task_made_of_pairs_has_their_chosen_answers_as_examples_and_reads_its_own_pairs(tmp_path: Path) -> None:
    rows = [{"system": "Be brief.", "prompt": f"why {n}?", "chosen": f"so {n} it is", "rejected": "no"} for n in "abc"]
    found = imports.read(written(tmp_path, rows))
    folder = write_task("mine", found, None, None, tmp_path)
    assert len((folder / "examples.jsonl").read_text().splitlines()) == 3
    assert read(folder / "preferences.jsonl").pairs == found.preferences


def test_a_task_made_of_judged_answers_learns_the_good_ones_and_keeps_all_of_them(tmp_path: Path) -> None:
    rows = [{"system": "Be brief.", "prompt": f"why {n}?", "completion": n * 3, "label": n != "b"} for n in "abc"]
    found = imports.read(written(tmp_path, rows))
    assert found.notes == ("3 answers judged by themselves; the chosen and the good answers are the examples",)
    folder = write_task("mine", found, None, None, tmp_path)
    learned = [json.loads(line)["messages"][-1] for line in (folder / "examples.jsonl").open()]
    assert learned == [said("assistant", "aaa"), said("assistant", "ccc")]
    assert read(folder / "preferences.jsonl").judged == found.judged
