"""What the pages' functions say, without a browser: the form of every kind of task, the button's story, escaping."""

from __future__ import annotations

import asyncio
import html
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from components import config
from components.asking import Asked
from components.feedback import unserved
from components.feedback.critical import mark
from components.feedback.drift import Drift
from components.feedback.evidence import Evidence, Window
from components.feedback.keys import ApiKey
from components.feedback.refusals import Refusal, own_rows
from components.feedback.store import Store, Turn
from components.feedback.unserved import Unserved
from components.schema import Feedback, Interaction, Message, Need
from components.task import Shot, Task, load
from serving.access.gate import KEY
from serving.pages import chat, evidence, review, wheel
from serving.pages.form import AnswerForm
from serving.pages.person import allowed, person
from serving.pages.said import said
from serving.pages.shown import answer_html, presented
from serving.pages.site import Site
from serving.pages.words import LANGUAGES, words
from serving.writes import Writes
from tests.flows.test_entry import correct

NOTE = {
    "symptom": "headache", "site": "head", "duration": "2 days", "severity": "mild", "medication": "none",
    "urgency": "routine",
}  # fmt: skip
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ATTACK = "<script>x</script>"


def form_of(task: Task, language: Any = "en") -> AnswerForm:
    with gr.Blocks():
        return AnswerForm(task, words(language))


def held(form: AnswerForm, opened: list[Any]) -> list[Any]:
    """The values of the form's inputs among those that `opened` sets."""
    at = form.outputs.index(form.inputs[0])
    return opened[at : at + len(form.inputs)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_structured_answer_comes_out_of_the_form_as_it_went_in_and_a_fault_is_named(language: Any) -> None:
    form = form_of(load("intake"), language)
    values = held(form, form.opened(json.dumps(NOTE)))
    checked = form.checked(values)
    assert json.loads(checked.answer) == NOTE
    assert not checked.faults
    values[values.index("2 days")] = "for ever"
    checked = form.checked(values)
    assert set(checked.faults) == {("duration",)}
    assert "duration" in form.told_of(checked)
    assert words(language).form.errors["string_pattern_mismatch"] in form.told_of(checked)


def test_an_answer_that_is_no_json_opens_an_empty_form_that_says_so_and_names_every_field() -> None:
    form = form_of(load("intake"))
    opened = form.opened('{"symptom": "head')
    assert opened[0]["visible"] is True
    assert "begins empty" in opened[0]["value"]
    assert {path[0] for path in form.checked(held(form, opened)).faults} == set(NOTE)


def test_the_same_answer_can_be_edited_as_json_where_a_wrong_line_is_named() -> None:
    form = form_of(load("intake"))
    values = held(form, form.opened(json.dumps(NOTE), as_json=True))
    assert not form.checked(values).faults
    values[1] = '{"symptom":\n oops}'
    assert "line 2" in form.told_of(form.checked(values))
    values[1] = json.dumps(NOTE | {"severity": "awful"})
    assert "severity" in form.told_of(form.checked(values))


def test_labels_are_chosen_and_free_text_is_written() -> None:
    label = Task.model_validate({"name": "kind", "title": "", "answer": "label", "labels": ["good", "bad"]})
    form = form_of(label)
    assert form.checked(held(form, form.opened("bad"))).answer == "bad"
    assert held(form, form.opened("neither"))[1] is None
    text = form_of(Task.model_validate({"name": "talk", "title": "", "answer": "text"}))
    assert text.checked(held(text, text.opened("Hello,\nthere."))).answer == "Hello,\nthere."


def turn(state: Any, opened: datetime) -> Turn:
    return Turn(id=1, task="intake", number=1, after=0, through=5, sha256="", state=state, opened_at=opened)


def test_the_button_tells_what_became_of_it() -> None:
    say = words("en").wheel
    asked = Asked(task="intake", by=ATTACK, at=NOW)
    assert wheel.told(say, None, [], NOW) == ""
    fresh = wheel.told(say, asked, [], NOW + timedelta(seconds=3))
    assert "waiting for the worker" in fresh
    assert "No worker" not in fresh
    assert ATTACK not in fresh
    assert "No worker" in wheel.told(say, asked, [], NOW + timedelta(minutes=1))
    taken = asked.model_copy(update={"state": "taken", "taken_at": NOW})
    assert "worker took it" in wheel.told(say, taken, [], NOW)
    running = turn("open", NOW + timedelta(seconds=9))
    assert "Turn 1 is running" in wheel.told(say, taken, [running], NOW)
    assert wheel.told(say, taken, [turn("closed", NOW + timedelta(seconds=9))], NOW) == ""
    assert [wheel.may_start(asked, []), wheel.may_start(taken, []), wheel.may_start(None, [running])] == [
        False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_corrections_of_refused_turns_wait_beside_new_ones_with_what_would_change_that(language: Any) -> None:
    needs = (Need(kind="corrections", count=40), Need(kind="guard_rows", count=300))
    refused = turn("closed", NOW).model_copy(update={"decision": "refused", "refusal": Refusal(needs=needs)})
    runtime = SimpleNamespace(settings=config.parse({"task": "intake"}))
    site: Any = SimpleNamespace(words=words(language), runtime=runtime)
    new = {"thumb_up": 0, "thumb_down": 0, "correction": 7, "comment": 0}
    waits = [Unserved(turn=refused, corrections=264)]
    card = wheel.waiting_card(site, new, waits)
    own = words(language).wheel
    assert own.corrections.format(count=7, limit=40) in card, "fewer than improve.corrections start it"
    assert own.unserved.format(count=264) in card
    assert own.unserved_turn.format(count=264, turn=1, outcome=own.decisions["refused"]) in card
    needed = said(words(language), unserved.would_change(needs))
    assert "300" in needed
    assert html.escape(needed) in card
    assert own.unserved.format(count=264) not in wheel.waiting_card(site, new, [])


def test_the_button_says_what_a_refused_turn_needs_and_starts_it_once_that_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks" / "intake").mkdir(parents=True)
    (tmp_path / "tasks" / "intake" / "task.yaml").write_text("name: intake\ntitle: Intake\nanswer: text\n")
    (tmp_path / "params.yaml").write_text("task: intake\n")
    rows = tmp_path / "tasks" / "intake" / "examples.jsonl"
    rows.write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    champion = SimpleNamespace(version="1", aliases=("champion",), lineage=SimpleNamespace(snapshots=()))
    with Store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        runtime = SimpleNamespace(
            task=SimpleNamespace(name="intake"),
            store=store,
            settings=config.parse({"task": "intake"}),
            catalog=SimpleNamespace(versions=lambda: [champion]),
        )
        site: Any = SimpleNamespace(words=words("en"), runtime=runtime)
        nothing = words("en").wheel.nothing_to_learn
        assert wheel.not_now(site) == nothing
        correct(store, 0)
        assert wheel.not_now(site) is None
        opened = store.open_turn("intake")
        assert opened is not None
        refusal = Refusal(needs=(Need(kind="guard_rows", count=2),), own_rows=own_rows(Path(), "intake"))
        store.close_turn(opened, "2", "refused", refusal)
        assert wheel.not_now(site) == f"{nothing} 2 more held-out rows of the task's own would let it decide"
        rows.write_text("{}\n" * 3)
        assert wheel.not_now(site) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_drift_of_a_refused_turn_is_said_to_be_there_still(language: Any) -> None:
    own = words(language).evidence
    drift = Drift(divergence=0.1, noise=0.02, bound=0.03, p=0.0005, messages=300, taught=900, words=())
    window = Window(at=NOW, version="1", after=None, through=NOW, found=drift, news=True, drifted=True)
    found = Evidence(windows=(window,), known=window)
    refused = turn("closed", NOW + timedelta(minutes=1)).model_copy(update={"decision": "refused"})
    settings = config.parse({"task": "intake"})
    waits = [Unserved(turn=refused, corrections=264)]
    still = html.escape(own.still_there.format(turn=1, version="1"))
    assert still in evidence.drift_card(words(language), found, settings, "1", waits)
    assert still not in evidence.drift_card(words(language), found, settings, "1", [])


def test_a_key_says_who_somebody_is_and_what_they_may() -> None:
    key = ApiKey(id="k", name="ana", hint="", scopes=("use",), created_at=NOW)

    def request(key: ApiKey | None) -> Any:
        return SimpleNamespace(request=SimpleNamespace(scope={KEY: key}))

    assert person(request(key), "somebody else").name == "ana"
    assert person(request(None), "  ben \n b ").name == "ben b"
    assert allowed(request(None), "admin", words("en")).key is None
    with pytest.raises(gr.Error, match="review"):
        allowed(request(key), "review", words("en"))


def test_what_models_write_is_text_in_tables_and_beside_them() -> None:
    task = load("intake")
    for answer in (json.dumps({"symptom": ATTACK, ATTACK: [ATTACK]}), ATTACK):
        assert ATTACK not in answer_html(task, words("en"), answer)
    assert ATTACK not in presented(task, words("en"), json.dumps({ATTACK: ATTACK}))


def test_a_conversation_that_the_browser_kept_is_taken_only_as_far_as_it_is_one() -> None:
    site: Any = SimpleNamespace(runtime=SimpleNamespace(store=None))
    for nonsense in ("", "{", "[]", '{"turns": 3}', '{"turns": [{"role": "user"}]}', '{"turns": [3]}'):
        assert chat.recalled(site, nonsense) == ([], None)
    kept = chat.keepsake([{"role": "user", "content": "x" * 150_000}, {"role": "assistant", "content": "y"}] * 2, None)
    assert len(chat.recalled(site, kept)[0]) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_examples_that_an_answer_was_given_after_are_shown_as_text_and_are_no_part_of_what_was_said(
    language: Any,
) -> None:
    said = words(language)
    assert chat.grounds(said, ()) == ""
    shown = chat.grounds(
        said, (Shot(message=f"{ATTACK}\n\nmy knee", answer='{"site":"knee"}'), Shot(message="b", answer="c"))
    )
    assert "2" in shown
    assert "&lt;script&gt;x&lt;/script&gt; my knee<br>{&quot;site&quot;:&quot;knee&quot;}" in shown
    assert "\n" not in shown
    turn = {"role": "assistant", "content": f"knee\n\n<span class='note'>version 1</span>{shown}"}
    assert chat.plain_text(turn) == "knee"


def test_what_is_said_on_the_chat_page_is_told_to_the_mirror_once_and_a_refusal_in_the_pages_language(
    tmp_path: Path,
) -> None:
    told: list[tuple[str, str]] = []
    task = load("intake")
    with Store(f"sqlite:///{tmp_path / 'saqia.db'}") as store:
        asked = (Message(role="user", content="hm"),)
        values: dict[str, Any] = {"id": "c1", "created_at": NOW, "task": "intake", "model_version": "1", "answer": "so"}
        counts = {"prompt_tokens": 1, "completion_tokens": 1, "latency_ms": 5}
        store.add_interaction(Interaction(messages=asked, finish_reason="stop", **counts, **values))
        writes = Writes(store, lambda event: told.append((event.kind, event.rater)))
        site: Any = SimpleNamespace(runtime=SimpleNamespace(task=task, writes=writes), words=words("ar"))

        async def said() -> list[str]:
            answered = {"id": "c1"}
            return [
                await chat.say(site, answered, "ann", thumb="down"),
                await chat.say(site, answered, "ann", thumb="down"),
                await chat.say(site, answered, "ben", correction=json.dumps(NOTE)),
                await chat.say(site, answered, "ben", correction=" "),
            ]

        lines = asyncio.run(said())
    assert told == [("thumb_down", "ann"), ("correction", "ben")]
    assert words("ar").told["empty"] in lines[-1]


# The review page -----------------------------------------------------------------------------

BEFORE_MARK, MARK, MARKED = 1, 7, 9
"""Of what the page shows: the item, the box that marks it, the list of marked cases."""


def review_page(store: Store, most: int) -> dict[str, Any]:
    """The functions of the review page by name; those of a button that three share by the button's own."""
    settings = config.parse({"review": {"sample": 0, "two_reviewers": 0, "gold": 0}, "curate": {"critical_most": most}})
    runtime = SimpleNamespace(
        task=load("intake"), store=store, settings=settings, writes=Writes(store), mirror=SimpleNamespace(add=print)
    )
    with gr.Blocks() as blocks:
        review.build(Site(runtime, "en"))  # type: ignore[arg-type]
    made = [function for function in blocks.fns.values() if function.fn is not None]
    pressed = [function.fn for function in made if function.fn.__name__ == "press"]
    return {function.fn.__name__: function.fn for function in made} | dict(
        zip(("accept", "reject", "skip"), pressed, strict=True)
    )


def test_a_reviewer_marks_the_case_in_front_of_them_and_takes_marks_back_on_the_page(tmp_path: Path) -> None:
    reviewer = ApiKey(id="k", name="rev", hint="", scopes=("review",), created_at=NOW)
    user = reviewer.model_copy(update={"name": "ana", "scopes": ("use",)})

    def request(key: ApiKey) -> Any:
        return SimpleNamespace(request=SimpleNamespace(scope={KEY: key}))

    with Store(f"sqlite:///{tmp_path / 'saqia.db'}", critical_most=1) as store:
        for number in range(3):
            said = (Message(role="user", content=f"chest pain {number}"),)
            counts: dict[str, Any] = {"prompt_tokens": 1, "completion_tokens": 1, "latency_ms": 5}
            values: dict[str, Any] = {"id": f"c{number}", "created_at": NOW + timedelta(minutes=number)} | counts
            about = {"task": "intake", "model_version": "1", "finish_reason": "stop"}
            store.add_interaction(Interaction(messages=said, answer=json.dumps(NOTE), **about, **values))
            down = {"id": f"f{number}", "created_at": NOW, "rater": "ana", "kind": "thumb_down"}
            store.add_feedback(Feedback.model_validate(down | {"interaction_id": f"c{number}"}))
        page = review_page(store, 1)

        def run(name: str, *values: Any, key: ApiKey = reviewer) -> list[Any]:
            return list(asyncio.run(page[name](*values, request(key))))

        opened = run("started", "")
        assert (opened[BEFORE_MARK]["id"], opened[MARK]) == ("c0", False)
        assert opened[MARKED - 1]["visible"] is False
        refused = run("reject", opened[BEFORE_MARK], "", True)
        assert "needs its right answer" in refused[0]
        second = run("accept", opened[BEFORE_MARK], "", True)
        assert [case.rater for case in store.critical("intake")] == ["rev"]
        assert (second[BEFORE_MARK]["id"], second[MARK]) == ("c1", False)
        assert second[MARKED]["choices"] == [("chest pain 0", "c0")]
        assert second[MARKED]["label"] == "Critical cases: 1 of at most 1"
        full = run("accept", second[BEFORE_MARK], "", True)
        assert "curate.critical_most" in full[0]
        assert [event.kind for event in store.feedback_for("c1")] == ["thumb_down"]
        with pytest.raises(gr.Error, match="review"):
            run("unmarked", "c0", None, "", key=user)
        assert len(store.critical("intake")) == 1
        done = run("unmarked", "c0", second[BEFORE_MARK], "")
        assert done[3] is not False
        assert words("en").review.unmarked in done[0]
        assert (done[1]["visible"], done[2]["choices"], store.critical("intake")) == (False, [], [])
        assert store.feedback_for("c0")[-1].rater == "rev"
        store.add_all([mark("c1", "rev")])
        shown = run("started", "")
        assert (shown[BEFORE_MARK]["id"], shown[MARK]) == ("c1", True)
        run("accept", shown[BEFORE_MARK], "", False)
        assert store.critical("intake") == []
        store.add_all([mark("c2", "rev")])
        shown = run("started", "")
        assert run("unmarked", "c2", shown[BEFORE_MARK], "")[3] is False
