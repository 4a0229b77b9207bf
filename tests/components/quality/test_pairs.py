"""One planted bad pair of each kind, and the gate names it; good pairs pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components import files, layout
from components.quality.__main__ import GateError, main
from components.schema import Message, Preference
from tests.components.curation.conftest import example, sentence
from tests.components.quality.conftest import good, write_project


def pair(id: str, question: str, chosen: str = "ham", rejected: str = "spam", **changes: Any) -> Preference:
    values = {"id": id, "prompt": (Message(role="user", content=question),), "chosen": chosen, "rejected": rejected}
    return Preference.model_validate(values | {"source": "human", "rater": "ann"} | changes)


def good_pairs() -> list[Preference]:
    return [pair(f"pair-{n}", sentence(1000 + n)) for n in range(5)]


BAD: dict[str, tuple[Preference | str, str, str]] = {
    "no JSON": ('{"id": "bad", ', "pair schema", "Invalid JSON"),
    "no rejected answer": ('{"id": "bad", "prompt": [], "chosen": "ham"}', "pair schema", "rejected: Field required"),
    "nobody asks": (pair("bad-roles", " "), "pair roles", "turn 1 is empty"),
    "no answer of the task": (pair("bad-label", sentence(2001), "eggs"), "pair answers", "'eggs' is no answer"),
    "silence rejected": (pair("bad-empty", sentence(2002), "ham", ""), "pair answers", "an answer is empty"),
    "equal answers": (pair("bad-equal", sentence(2003), "ham", "ham "), "pair differs", "chosen and rejected"),
    "turned round": (
        pair("bad-turned", sentence(1003).upper(), "spam", "ham"),
        "pair contradiction",
        "preferences.jsonl:4 prefers the other answer",
    ),
    "prompt too long": (pair("bad-prompt", "quixotic " * 300), "chosen length and rejected length", ""),
    "rejected too long": (pair("bad-long", sentence(2004), "ham", "quixotic " * 300), "rejected length", ""),
    "test question": (pair("bad-test", sentence(500, 30) + " !"), "pair overlap", "near test.jsonl:1, similarity 1.00"),
    "held-out question": (
        pair("bad-heldout", sentence(600, 30)),
        "pair overlap",
        "near preferences_heldout.jsonl:1, similarity 1.00",
    ),
    "id again": (pair("pair-1", sentence(2005)), "pair ids", "pair-1"),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """What the gate said of a file with one bad pair of each kind after five good ones, and its rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("planted"))
        layout.TOKENIZER.parent.mkdir()
        layout.TOKENIZER.symlink_to(tokenizer_folder)
        settings = write_project(good(), test=[example("t", sentence(500, 30))])
        curated = layout.curated("mail")
        files.write_rows(curated / "preferences_heldout.jsonl", [pair("held", sentence(600, 30))])
        rows = [*good_pairs(), *(row for row, _, _ in BAD.values())]
        lines = [row if isinstance(row, str) else row.model_dump_json() for row in rows]
        files.write_text(curated / "preferences.jsonl", "".join(line + "\n" for line in lines))
        with pytest.raises(GateError) as refused:
            main(settings)
        result = json.loads((layout.quality("mail") / "quality.json").read_text())
        assert (result["preference_pairs"], result["held_out_pairs"]) == (len(rows), 1)
        return str(refused.value), result["rules"]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_pair_is_caught_and_named(planted: tuple[str, list[dict[str, Any]]], kind: str) -> None:
    message, rules = planted
    _, rule, what = BAD[kind]
    where = f"preferences.jsonl:{6 + list(BAD).index(kind)}"
    named = {r["rule"]: row["what"] for r in rules for row in r["rows"] if row["where"] == where}
    assert set(named) == set(rule.split(" and "))
    for each in named:
        assert what in named[each]
        assert f"[{each}]" in message


def test_good_pairs_beside_bad_ones_are_not_blamed(planted: tuple[str, list[dict[str, Any]]]) -> None:
    blamed = {(r["rule"], row["where"]) for r in planted[1] for row in r["rows"]}
    # what another pair turns round is named at both places, and so is an id that is there twice
    expected = {("pair contradiction", "preferences.jsonl:4"), ("pair ids", "preferences.jsonl:2")}
    assert {(rule, where) for rule, where in blamed if int(where.split(":")[1]) <= 5} == expected


def test_good_pairs_pass(tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layout.TOKENIZER.parent.mkdir()
    layout.TOKENIZER.symlink_to(tokenizer_folder)
    settings = write_project(good(), test=[example("t", sentence(500, 30))])
    files.write_rows(layout.curated("mail") / "preferences.jsonl", good_pairs())
    main(settings)
