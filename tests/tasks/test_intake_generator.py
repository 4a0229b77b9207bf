"""What the intake generator promises: sets apart, truth in the text, families held out, the same bytes twice."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from difflib import get_close_matches
from itertools import combinations

import pytest
from jinja2 import Environment

from components import task
from components.chat import CHAT_TEMPLATE
from components.examples import disjoint
from components.examples.similarity import jaccard, shingles
from components.schema import Example
from tasks.intake import generator
from tasks.intake.known_families import KNOWN
from tasks.intake.message import draw
from tasks.intake.new_families import NEW
from tasks.intake.prose import markup
from tasks.intake.rules import severity_of_number, urgency
from tasks.intake.schema import IntakeNote

SIZES = {"train": 500, "test": 150, "unseen": 150, "new": 100, "new_unseen": 100, "traffic": 100}
DANGER = {family.name: family.danger for family in (*KNOWN, *NEW)}


@pytest.fixture(scope="module")
def sets() -> dict[str, list[Example]]:
    return generator.example_sets(3, SIZES)


def test_every_set_has_the_size_that_was_asked_for(sets: dict[str, list[Example]]) -> None:
    assert {name: len(rows) for name, rows in sets.items()} == SIZES


def test_no_message_is_a_near_copy_of_one_in_another_set(sets: dict[str, list[Example]]) -> None:
    disjoint.check(sets)


def test_the_generator_keeps_sets_apart_even_when_compared_pair_by_pair(sets: dict[str, list[Example]]) -> None:
    found = {name: [shingles(row.question) for row in rows] for name, rows in sets.items()}
    nearest = max(
        jaccard(a, b) for one, other in combinations(found, 2) for a in found[one][:60] for b in found[other][:60]
    )
    assert nearest < 0.8


def test_every_answer_is_a_note_in_canonical_form(sets: dict[str, list[Example]]) -> None:
    intake = task.load("intake")
    for rows in sets.values():
        for row in rows:
            assert intake.parse(row.answer) is not None, row.answer
            assert intake.normalise(row.answer) == row.answer


def test_urgency_is_what_the_rule_says(sets: dict[str, list[Example]]) -> None:
    for rows in sets.values():
        for row in rows:
            note = IntakeNote.model_validate_json(row.answer)
            assert note.urgency == urgency(DANGER[note.symptom], note.severity, note.duration)


def test_a_number_out_of_ten_in_the_text_is_the_severity_of_the_note(sets: dict[str, list[Example]]) -> None:
    checked = 0
    for rows in sets.values():
        for row in rows:
            number = re.search(r"\b(\d+)(?:/10| out of 10)", row.question)
            if number:
                checked += 1
                note = IntakeNote.model_validate_json(row.answer)
                assert note.severity == severity_of_number(int(number[1])), row.question
    assert checked > 50


def test_a_duration_in_digits_stands_in_the_text(sets: dict[str, list[Example]]) -> None:
    checked = 0
    for row in sets["train"]:
        duration = IntakeNote.model_validate_json(row.answer).duration
        said = re.search(r"\b(?:for|past|last|about|been) (\d+ (?:hour|day|week|month)s)\b", row.question.lower())
        if said:
            checked += 1
            assert said[1] == duration, row.question
    assert checked > 30


def test_a_medicine_or_a_site_in_the_note_is_one_that_the_message_names(sets: dict[str, list[Example]]) -> None:
    several_sites = {family.name for family in (*KNOWN, *NEW) if len(family.sites) > 1}
    for rows in sets.values():
        for row in rows:
            note = IntakeNote.model_validate_json(row.answer)
            medicine = note.medication.split(":")[0]
            named = [] if medicine in ("unspecified", "none", "refused") else medicine.split(" ")
            named += [note.site] if note.symptom in several_sites else []
            words = re.findall(r"[a-z]+", row.question.lower())
            for name in named:
                # A slip of the finger may have changed one letter of it.
                assert get_close_matches(name, words, 1, cutoff=0.7), (name, row.question)


def test_families_are_held_out_of_everything_that_version_1_learns_from(sets: dict[str, list[Example]]) -> None:
    known, new = {family.name for family in KNOWN}, {family.name for family in NEW}
    for name in ("train", "test", "unseen"):
        assert {row.group for row in sets[name]} <= known
    for name in ("new", "new_unseen"):
        assert {row.group for row in sets[name]} <= new
    groups = [row.group for row in sets["traffic"]]
    assert sum(group in new for group in groups) > sum(group in known for group in groups) > 0
    corpus = "\n".join(generator.corpus(3, 3000)).lower()
    taught = corpus + "\n".join(row.model_dump_json() for row in sets["train"]).lower()
    for family in NEW:
        assert family.name not in taught
        for phrasing in (*family.seen_phrasings, *family.unseen_phrasings):
            for text in phrasing.texts:
                for site in family.sites:
                    assert text.replace("{site}", site).lower() not in taught


def test_unseen_phrasings_stand_in_no_taught_text(sets: dict[str, list[Example]]) -> None:
    """Three words or more: shorter ones may come about inside other phrasings."""
    lines = [*generator.corpus(3, 3000), *(row.question for row in sets["train"] + sets["test"])]
    taught = " ".join(" ".join(re.findall(r"[a-z0-9']+", line.lower())) for line in lines)
    checked = 0
    for family in KNOWN:
        for phrasing in family.unseen_phrasings:
            for text in phrasing.texts:
                if "{site}" not in text and text.count(" ") >= 2:
                    checked += 1
                    assert f" {text.lower()} " not in taught, (family.name, text)
    assert checked > 200


def test_new_traffic_uses_no_phrasing_of_the_unseen_test() -> None:
    for family in NEW:
        seen = {text for phrasing in family.seen_phrasings for text in phrasing.texts}
        unseen = {text for phrasing in family.unseen_phrasings for text in phrasing.texts}
        assert not seen & unseen


def test_each_seed_gives_other_messages(sets: dict[str, list[Example]]) -> None:
    other = generator.example_sets(4, {"test": 150})["test"]
    assert not {row.question for row in other} & {row.question for row in sets["test"]}


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib; from tasks.intake import generator as g\n"
        "sets = g.example_sets(5, {'train': 60, 'unseen': 30, 'traffic': 30})\n"
        "text = ''.join(r.model_dump_json() for rows in sets.values() for r in rows) + ''.join(g.corpus(5, 200))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1


def test_more_rows_than_messages_exist_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "TRIES", 0)
    with pytest.raises(ValueError, match=r"examples\.train: no message left"):
        generator.example_sets(1, {"train": 5})


def test_the_corpus_holds_messages_as_the_chat_template_writes_them() -> None:
    case = draw(random.Random(1), KNOWN[0])
    template = CHAT_TEMPLATE.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    messages = [
        {"role": "user", "content": case.text},
        {"role": "assistant", "content": case.note.model_dump_json()},
    ]
    assert Environment().from_string(template).render(messages=messages, add_generation_prompt=False) == markup(case)
