"""One planted bad row of each kind, and the gate names it; good rows pass."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components import files, layout
from components.files import DataError
from components.models import ModelError
from components.quality.__main__ import GateError, main
from components.quality.frame import lengths
from components.schema import Example, Message
from components.stage import StageError
from tests.components.curation.conftest import example, sentence
from tests.components.quality.conftest import Write, good, write_project

GERMAN = "seit drei Tagen habe ich starke Kopfschmerzen und kann nachts wirklich nicht mehr schlafen"
ARABIC = "أعاني من صداع شديد منذ ثلاثة أيام ولا أستطيع النوم ليلا بسبب الألم في رأسي"
ENGLISH = "for three days now I have had a terrible headache and I really cannot sleep at night"


def english(count: int) -> list[Example | str]:
    return [example(f"en-{n}", f"{ENGLISH}, and that makes {n}", "ham" if n % 2 else "spam") for n in range(count)]


def result(task: str = "mail") -> dict[str, Any]:
    return json.loads((layout.quality(task) / "quality.json").read_text())  # type: ignore[no-any-return]


def failed(task: str = "mail") -> dict[str, list[str]]:
    """Failed rules with the places they name."""
    return {r["rule"]: [row["where"] for row in r["rows"]] for r in result(task)["rules"] if not r["passed"]}


def test_good_rows_pass_and_the_result_says_so(project: Write) -> None:
    main(project(english(10), test=[example("t", sentence(500))], languages=["en"]))
    assert result()["passed"] is True
    assert failed() == {}
    rules = {rule["rule"] for rule in result()["rules"] if rule["suite"] != "evaluation-rows"}
    assert rules == {
        "columns", "schema", "roles", "length", "answer", "unique ids", "duplicates", "overlap",
        "enough rows", "feedback share", "language", "label balance",
    }  # fmt: skip


def two_users() -> Example:
    said = [Message(role="user", content="one"), Message(role="user", content="two")]
    return Example(id="bad-roles", messages=(*said, Message(role="assistant", content="ham")))


BAD: dict[str, tuple[Example | str, str, str]] = {
    "no JSON": ('{"id": "bad", ', "schema", "Invalid JSON"),
    "no messages": ('{"id": "bad"}', "schema", "messages: Field required"),
    "answer missing": ('{"id": "bad", "messages": [{"role": "user", "content": "x"}]}', "schema", "at least 2"),
    "wrong encoding": ('{"id": "bad", "messages": [{"role": "userÿ"}]}', "schema", "Invalid JSON"),
    "roles": (two_users(), "roles", "message 2 is the user's where the assistant's is due"),
    "silent user": (example("bad-silent", "  "), "roles", "the user's message 1 is empty"),
    "too long": (example("bad-long", "quixotic " * 300), "length", ""),
    "unknown label": (example("bad-label", sentence(98), "eggs"), "answer", "'eggs' is none of the labels ham, spam"),
    "empty answer": (example("bad-empty", sentence(97), " "), "answer", "the answer is empty"),
    "taught twice": (example("bad-twice", sentence(3).upper()), "duplicates", "the same question as train.jsonl:4"),
    "test question": (
        example("bad-test", sentence(500, 30) + " !"),
        "overlap",
        "near test (test.jsonl:1), similarity 1.00",
    ),
    "replay question": (example("bad-replay", sentence(600, 30)), "overlap", "near replay (replay.jsonl:1)"),
    "id again": (example("row-1", sentence(99)), "unique ids", "row-1"),
}


@dataclass
class Planted:
    """What the gate said of a file with one bad row of each kind after ten good ones."""

    message: str
    rules: list[dict[str, Any]]
    page: str


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Planted:
    root = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        layout.TOKENIZER.parent.mkdir()
        layout.TOKENIZER.symlink_to(tokenizer_folder)
        settings = write_project(
            [*good(), *(row for row, _, _ in BAD.values())],
            test=[example("t", sentence(500, 30))],
            sets={"replay": [example("r", sentence(600, 30))]},
        )
        path = layout.curated("mail") / "train.jsonl"
        path.write_bytes(path.read_bytes().replace("ÿ".encode(), b"\xff"))
        with pytest.raises(GateError) as refused:
            main(settings)
        page = next((layout.quality("mail") / "docs" / "validations" / "training-rows").rglob("*.html")).read_text()
        return Planted(str(refused.value), result()["rules"], page)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_caught_and_named(planted: Planted, kind: str) -> None:
    _, rule, what = BAD[kind]
    where = f"train.jsonl:{11 + list(BAD).index(kind)}"
    named = {r["rule"]: row["what"] for r in planted.rules for row in r["rows"] if row["where"] == where}
    assert set(named) == {rule}
    assert what in named[rule]
    assert f"[{rule}]" in planted.message
    assert rule in ("length", "unique ids") or f"{where}: " in planted.page


def test_good_rows_beside_bad_ones_are_not_blamed(planted: Planted) -> None:
    blamed = {(r["rule"], row["where"]) for r in planted.rules for row in r["rows"]}
    good_rows = {f"train.jsonl:{n}" for n in range(1, 11)}
    # the id that is there twice is named at both places
    assert {(rule, where) for rule, where in blamed if where in good_rows} == {("unique ids", "train.jsonl:2")}


@pytest.mark.parametrize(
    ("rows", "limits", "rule"),
    [
        (good(4), {}, "enough rows"),
        ([example(f"r{n}", sentence(n), "ham" if n else "spam") for n in range(20)], {}, "label balance"),
        (
            [example(f"r{n}", sentence(n), "ham" if n % 2 else "spam", source="correction") for n in range(9)],
            {},
            "feedback share",
        ),
        ([*english(8), example("g", GERMAN), example("a", ARABIC)], {"languages": ["en"]}, "language"),
    ],
    ids=["too few rows", "one label everywhere", "nothing but feedback", "another language"],
)
def test_a_bad_set_is_caught(project: Write, rows: list[Example | str], limits: dict[str, Any], rule: str) -> None:
    with pytest.raises(GateError, match=re.escape(f"[{rule}]")):
        main(project(rows, **limits))
    assert list(failed()) == [rule]


def test_feedback_of_earlier_turns_does_not_count_in_the_share_of_feedback(project: Write) -> None:
    labels = ["ham" if n % 2 else "spam" for n in range(12)]
    rows = [
        example(f"r{n}", sentence(n), label, source="correction", rehearsed=n > 2) for n, label in enumerate(labels)
    ]
    main(project(rows))
    assert [rule["observed"] for rule in result()["rules"] if rule["rule"] == "feedback share"] == [0.25]


def test_json_answers_must_satisfy_the_tasks_schema(project: Write) -> None:
    rows = [example(f"r{n}", sentence(n), json.dumps({"word": "x", "count": n})) for n in range(8)]
    main(project([*rows], answer="json"))
    bad = [example("bad-1", sentence(90), "{}"), example("bad-2", sentence(91), '{"word": "x", "count": "many"}')]
    with pytest.raises(GateError, match=r"\[answer\] 2 training rows: train\.jsonl:9 \(bad-1\) word: Field required"):
        main(project([*rows, *bad], answer="json"))
    assert failed("notes") == {"answer": ["train.jsonl:9", "train.jsonl:10"]}


def test_a_bad_row_of_an_evaluation_set_is_caught_too(project: Write) -> None:
    settings = project(good(), test=[example("t1", sentence(500)), example("t2", sentence(501), "eggs")])
    with pytest.raises(GateError, match=r"\[answer\] 1 evaluation rows: test\.jsonl:2 \(t2\)"):
        main(settings)


def test_a_task_in_another_language_passes_when_it_says_so(project: Write) -> None:
    rows: list[Example | str] = [example(f"r{n}", f"{ARABIC} {n}", "ham" if n % 2 else "spam") for n in range(6)]
    main(project(rows, languages=["ar"]))
    assert [rule["observed"] for rule in result()["rules"] if rule["rule"] == "language"] == [0.0]


def test_an_unknown_language_is_refused_by_its_key(project: Write) -> None:
    with pytest.raises(StageError, match=r"quality\.languages: 'klingon' is unknown"):
        main(project([*good(), example("long", ENGLISH)], languages=["klingon"]))


def test_short_texts_are_in_no_other_language() -> None:
    from components.quality.language import other_language

    assert [other_language(text, ["en"]) for text in ("ok lar", "Ciao!", "4 days", "")] == [None] * 4
    assert other_language(ENGLISH, ["en"]) is None
    assert other_language(GERMAN, ["en"]) == "de"
    assert other_language(GERMAN, ["en", "de"]) is None
    assert other_language(GERMAN, []) is None
    assert other_language(ARABIC, ["en"]) is not None
    assert other_language(ARABIC, ["ar"]) is None


def test_tokens_are_counted_as_training_counts_them(project: Write, tokenizer_folder: Path) -> None:
    from components.chat import example_ids
    from components.models import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)
    said = (Message(role="system", content="be brief"), Message(role="user", content="ünïcode \U0001f642 <|im_end|>"))
    rows = [
        example("a", sentence(1)),
        Example(id="b", messages=(*said, Message(role="assistant", content="ham\n"))),
    ]
    assert lengths(tokenizer, rows) == [len(example_ids(tokenizer, row.messages)[0]) for row in rows]


def test_the_same_data_gives_the_same_bytes_whenever_it_is_judged(project: Write) -> None:
    settings = project([*good(), example("bad", sentence(99), "eggs")])
    digests = set()
    for _ in range(2):
        with pytest.raises(GateError):
            main(settings)
        digests.add(files.sha256_of(layout.quality("mail")))
        shutil.rmtree(layout.quality("mail"))
    assert len(digests) == 1


def test_a_missing_tokenizer_or_file_says_what_to_do(project: Write) -> None:
    settings = project(good())
    layout.TOKENIZER.unlink()
    with pytest.raises(ModelError, match="dvc repro tokenizer"):
        main(settings)
    (layout.curated("mail") / "target.jsonl").unlink()
    with pytest.raises(DataError, match=r"target\.jsonl does not exist: run the stage"):
        main(settings)


def test_pages_ask_the_network_for_nothing(project: Write) -> None:
    with pytest.raises(GateError):
        main(project([*good(), example("bad", sentence(99), "eggs")]))
    docs = layout.quality("mail") / "docs"
    pages = list(docs.rglob("*.html"))
    assert len(pages) == 7
    for page in pages:
        content = page.read_text()
        loaded = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["']([^"']+)""", content)
        assert loaded
        assert all((page.parent / name).resolve().exists() for name in loaded), loaded
        assert not re.findall(r"url\(['\"]?http", content)
        for link in re.findall(r'<a\b[^>]*href="([^"#][^"]*)"', content):
            assert link.startswith("https://greatexpectations.io") or (page.parent / link.replace("%20", " ")).exists()
    index = (docs / "index.html").read_text()
    assert "training-rows" in index
    assert "fa-times" in index


@pytest.mark.browser
def test_the_pages_show_the_failed_rule_in_a_browser(project: Write, chromium: str) -> None:
    with pytest.raises(GateError):
        main(project([*good(), example("bad", sentence(99), "eggs")]))
    page = next((layout.quality("mail") / "docs" / "validations" / "training-rows").rglob("*.html")).resolve()
    dumped = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom",
         f"file://{page}"],
        capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    assert "train.jsonl:11: 'eggs' is none of the labels ham, spam" in dumped


def test_a_critical_case_may_be_taught_but_must_be_one_the_task_allows(project: Write) -> None:
    taught = good()
    case = Example.model_validate(dict(taught[0]) | {"critical": True})  # type: ignore[call-overload]
    main(project(taught, sets={"critical": [case]}))
    assert (result()["passed"], result()["critical_cases"]) == (True, 1)
    with pytest.raises(GateError, match=r"critical rows: critical\.jsonl:1"):
        main(project(taught, sets={"critical": [example("bad", sentence(98), "eggs", critical=True)]}))
    assert failed() == {"answer": ["critical.jsonl:1"]}
