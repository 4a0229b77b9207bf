"""One planted bad judged answer of each kind, and the gate names it; good ones pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components import files, layout
from components.quality.__main__ import GateError, main
from components.schema import Judged, Message
from tests.components.curation.conftest import example, sentence
from tests.components.quality.conftest import good, write_project
from tests.components.quality.test_pairs import pair


def judged(id: str, question: str, answer: str = "ham", desirable: bool = True, **changes: Any) -> Judged:
    values = {"id": id, "prompt": (Message(role="user", content=question),), "answer": answer, "desirable": desirable}
    return Judged.model_validate(values | {"source": "human", "rater": "ann"} | changes)


def good_answers() -> list[Judged]:
    return [judged(f"row-{n}", sentence(1000 + n), "ham" if n % 2 else "eggs", desirable=bool(n % 2)) for n in range(5)]


BAD: dict[str, tuple[Judged | str, str, str]] = {
    "no JSON": ('{"id": "bad", ', "judged schema", "Invalid JSON"),
    "nothing said of it": (
        '{"id": "bad", "prompt": [], "answer": "ham"}',
        "judged schema",
        "desirable: Field required",
    ),
    "nobody asks": (judged("bad-roles", " "), "judged roles", "turn 1 is empty"),
    "no answer of the task": (
        judged("bad-label", sentence(2001), "eggs"),
        "judged answer",
        "'eggs' is called desirable",
    ),
    "silence": (judged("bad-empty", sentence(2002), " ", desirable=False), "judged answer", "the answer is empty"),
    "the opposite": (
        judged("bad-turned", sentence(1003).upper(), "ham", desirable=False),
        "judged contradiction",
        "judged.jsonl:4 says the opposite",
    ),
    "against a pair": (
        judged("bad-pair", sentence(3000), "spam"),
        "judged contradiction",
        "preferences.jsonl:1 says the opposite",
    ),
    "too long": (judged("bad-long", sentence(2003), "quixotic " * 300, desirable=False), "judged length", ""),
    "test question": (judged("bad-test", sentence(500, 30) + " !"), "judged overlap", "near test.jsonl:1"),
    "held-out question": (judged("bad-held", sentence(600, 30)), "judged overlap", "near judged_heldout.jsonl:1"),
    "held-out pair": (judged("bad-pairs", sentence(700, 30)), "judged overlap", "near preferences_heldout.jsonl:1"),
    "id again": (judged("row-1", sentence(2005)), "judged ids", "row-1"),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """What the gate said of a file with one bad answer of each kind after five good ones, and its rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("planted"))
        layout.TOKENIZER.parent.mkdir()
        layout.TOKENIZER.symlink_to(tokenizer_folder)
        settings = write_project(good(), test=[example("t", sentence(500, 30))])
        curated = layout.curated("mail")
        files.write_rows(curated / "preferences.jsonl", [pair("pair", sentence(3000))])
        files.write_rows(curated / "preferences_heldout.jsonl", [pair("held", sentence(700, 30))])
        files.write_rows(curated / "judged_heldout.jsonl", [judged("held", sentence(600, 30))])
        rows = [*good_answers(), *(row for row, _, _ in BAD.values())]
        lines = [row if isinstance(row, str) else row.model_dump_json() for row in rows]
        files.write_text(curated / "judged.jsonl", "".join(line + "\n" for line in lines))
        with pytest.raises(GateError) as refused:
            main(settings)
        result = json.loads((layout.quality("mail") / "quality.json").read_text())
        assert (result["judged_answers"], result["held_out_judged_answers"]) == (len(rows), 1)
        return str(refused.value), result["rules"]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_judged_answer_is_caught_and_named(planted: tuple[str, list[dict[str, Any]]], kind: str) -> None:
    message, rules = planted
    _, rule, what = BAD[kind]
    where = f"judged.jsonl:{6 + list(BAD).index(kind)}"
    named = {r["rule"]: row["what"] for r in rules for row in r["rows"] if row["where"] == where}
    assert set(named) == {rule}
    assert what in named[rule]
    assert f"[{rule}]" in message


def test_good_judged_answers_beside_bad_ones_are_not_blamed(planted: tuple[str, list[dict[str, Any]]]) -> None:
    blamed = {
        (r["rule"], row["where"]) for r in planted[1] for row in r["rows"] if int(row["where"].split(":")[1]) <= 5
    }
    # what another row contradicts is named at both places, and so is an id that is there twice
    assert blamed == {("judged contradiction", "judged.jsonl:4"), ("judged ids", "judged.jsonl:2")}


def test_good_judged_answers_pass(tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layout.TOKENIZER.parent.mkdir()
    layout.TOKENIZER.symlink_to(tokenizer_folder)
    settings = write_project(good(), test=[example("t", sentence(500, 30))])
    files.write_rows(layout.curated("mail") / "judged.jsonl", good_answers())
    main(settings)
