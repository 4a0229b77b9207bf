"""The pages in a real browser against the real service: ask, correct, vote, review, start a turn; both languages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from components import asking
from components.feedback import battles, keys
from components.feedback.review import ReviewQueue
from components.feedback.store import Store
from components.task import load
from serving.runtime import settings_here
from tests.serving import workspace
from tests.serving.workspace import Service

pytestmark = [pytest.mark.slow, pytest.mark.browser]
QUIET = ["--no-sandbox", "--disable-background-networking"]
WAIT = 60_000
ATTACK = "<script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'> & so on"
NOTE = {
    "symptom": "headache", "site": "head", "duration": "2 days", "severity": "mild", "medication": "none",
    "urgency": "routine",
}  # fmt: skip

Open = Callable[..., Any]


class Pages:
    """The service with two versions, and where it keeps things."""

    def __init__(self, service: Service, store_url: str, home: Path) -> None:
        self.url = service.url
        self.store_url = store_url
        self.home = home

    def store(self) -> Store:
        return Store(self.store_url)

    def ask(self, text: str, **feedback: str) -> str:
        """Ask over HTTP and say something about the answer; its id."""
        body = {"model": "intake", "messages": [{"role": "user", "content": text}], "max_tokens": 60}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60).raise_for_status().json()
        said = {"completion_id": answer["id"], **feedback}
        httpx.post(f"{self.url}/v1/feedback", json=said, timeout=60).raise_for_status()
        return str(answer["id"])


@pytest.fixture(scope="module")
def running(base: Path, version_1: Path, version_2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("pages")
    home, url = folder / "home", f"sqlite:///{folder / 'home' / 'saqia.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAQIA_HOME", str(home))
        patch.setenv("SAQIA_DATABASE_URL", url)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        service = Service(workspace.make(folder / "project"))
        workspace.register(version_2, base)
        workspace.register(version_1, base)
        service.start()
    try:
        service.wait_for_pages()
        yield Pages(service, url, home)
    finally:
        service.stop()


@pytest.fixture
def pages(running: Pages) -> Pages:
    """The one service of these tests, which nobody asks for a turn.

    Its store only grows: a test looks for what it wrote itself, by its own rater, and not for what comes first.
    """
    asking.take(running.home, "intake")
    return running


@pytest.fixture(scope="module")
def open_page(running: Pages, chromium: str) -> Iterator[Open]:
    """Opens a page and returns it when it can be used; `locale` is what the browser asks for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=QUIET)

        def opened(path: str = "/ui/", width: int = 1280, locale: str = "en", name: str = "") -> Any:
            page = browser.new_page(viewport={"width": width, "height": 860}, locale=locale)
            page.set_default_timeout(WAIT)
            page.goto(running.url + path)
            page.locator("#bar nav").wait_for()
            if name:
                page.fill("#rater textarea, #rater input", name)
            return page

        yield opened
        browser.close()


def fits(page: Any) -> bool:
    """Nothing has to be scrolled to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_person_asks_corrects_by_form_is_told_which_field_is_wrong_and_when_it_is_saved(
    pages: Pages, open_page: Open
) -> None:
    from playwright.sync_api import expect

    for width in (1280, 390):
        page = open_page("/", width)
        expect(page.locator("#status")).to_contain_text("Version 2", timeout=WAIT)
        expect(page.locator("#simulated")).to_contain_text("simulated person")
        page.fill("#message textarea", f"My head hurts, {width}")
        page.click("#send")
        expect(page.locator("#talk")).to_contain_text("version 2 ·", timeout=WAIT)
        page.click("#write")
        expect(page.locator("#faults p")).to_have_count(1, timeout=WAIT)
        page.fill("#field-duration textarea", "for ever")
        page.locator("#field-duration textarea").blur()
        expect(page.locator("#faults")).to_contain_text("duration: is not written as it must be", timeout=WAIT)
        page.click("#save")
        told = re.compile("Not saved: To mend: .*duration: is not written as it must be")
        expect(page.locator("#said")).to_contain_text(told, timeout=WAIT)
        for field, value in {"symptom": "headache", "site": "head", "duration": "2 days", "medication": "none"}.items():
            page.fill(f"#field-{field} textarea", value)
        page.get_by_label("moderate").check()
        page.get_by_label("routine").check()
        expect(page.locator("#faults")).to_contain_text("Every field is valid", timeout=WAIT)
        page.fill("#rater textarea, #rater input", "dora")
        assert fits(page)
        page.click("#save")
        expect(page.locator("#said")).to_contain_text("Saved", timeout=WAIT)
        page.click("#up")
        expect(page.locator("#said")).to_contain_text("Thank you", timeout=WAIT)
        if width == 1280:
            page.reload()
            expect(page.locator("#talk")).to_contain_text("My head hurts, 1280", timeout=WAIT)
        page.close()
    with pages.store() as store:
        rows = [row for row in store.rows("intake", 0, store.latest_seq("intake")) if row.rater == "dora"]
    assert [row.kind for row in rows] == ["correction", "thumb_up"] * 2
    assert rows[0].messages[-1].content == "My head hurts, 1280"
    assert rows[0].correction == (
        '{"symptom":"headache","site":"head","duration":"2 days","severity":"moderate","medication":"none",'
        '"urgency":"routine"}'
    )


def test_a_browser_that_asks_for_arabic_gets_it_from_right_to_left_and_can_switch(open_page: Open) -> None:
    from playwright.sync_api import expect

    page = open_page("/ui/", 390, "ar-EG")
    assert page.evaluate("[document.documentElement.dir, document.documentElement.lang]") == ["rtl", "ar"]
    expect(page.locator("#send")).to_have_text("إرسال", timeout=WAIT)
    bar = page.locator("#bar .brand").bounding_box()
    assert bar["x"] + bar["width"] > 195, "the brand stands at the right"
    assert fits(page)
    page.click("#bar .tools a")
    expect(page.locator("#send")).to_have_text("Send", timeout=WAIT)
    assert page.evaluate("document.documentElement.dir") == "ltr"
    page.goto(re.sub("/ui/.*", "/ui/", page.url))
    expect(page.locator("#send")).to_have_text("Send", timeout=WAIT)
    page.close()


def test_what_people_write_stays_text(pages: Pages, open_page: Open) -> None:
    from playwright.sync_api import expect

    page = open_page("/ui/en/")
    page.fill("#message textarea", ATTACK)
    page.click("#send")
    expect(page.locator("#talk")).to_contain_text("version 2 ·", timeout=WAIT)
    expect(page.locator("#talk")).to_contain_text(ATTACK)
    page.click("#down")
    expect(page.locator("#said")).to_contain_text("Thank you", timeout=WAIT)
    page.goto(pages.url + "/ui/en/review")
    page.fill("#rater textarea, #rater input", "<b>ben</b>")
    page.click("#begin")
    question = page.locator("#item blockquote")
    question.first.wait_for()
    while ATTACK not in (other := question.inner_text()):  # what another test asked
        page.click(".page-head")
        page.keyboard.press("s")
        expect(question).not_to_have_text(other, timeout=WAIT)
    expect(page.locator("#item .badge").first).to_have_text("thumb down")
    assert page.evaluate("window.attacked") is None
    page.click("#bar h1, .page-head")
    page.keyboard.press("s")
    expect(page.locator("#said")).to_contain_text("Skipped", timeout=WAIT)
    page.close()


def test_a_reviewer_works_by_keys_and_sees_what_it_did(pages: Pages, open_page: Open) -> None:
    from playwright.sync_api import expect

    for number in range(2):
        pages.ask(f"My knee {number}", thumb="down")
    page = open_page("/ui/en/review", 390, name="cleo")
    page.click("#begin")
    page.locator("#item .answer").wait_for()
    page.click(".page-head")
    for key, told in (("r", "Rejected"), ("f", ""), ("a", "Accepted")):
        page.keyboard.press(key)
        if key == "f":
            page.locator("#field-symptom textarea").wait_for()
            assert fits(page)
            page.click("#cancel")
            page.click(".page-head")
        else:
            expect(page.locator("#said")).to_contain_text(told, timeout=WAIT)
    expect(page.locator("#done")).to_contain_text("cleo")
    page.close()
    with pages.store() as store:
        queue = ReviewQueue(store, load("intake"), settings_here())
        assert {look.action for look in queue.looks() if look.reviewer == "cleo"} == {"reject", "accept"}


def test_a_reviewer_marks_a_case_by_its_key_and_takes_the_mark_back(pages: Pages, open_page: Open) -> None:
    from playwright.sync_api import expect

    ask = {"model": "intake", "messages": [{"role": "user", "content": "My chest hurts"}], "max_tokens": 60}
    id = httpx.post(f"{pages.url}/v1/chat/completions", json=ask, timeout=60).json()["id"]
    down = {"completion_id": id, "thumb": "down"}
    assert httpx.post(f"{pages.url}/v1/feedback", json=down, timeout=60).status_code == 200
    page = open_page("/ui/en/review", 390, name="dora")
    page.click("#begin")
    for _ in range(20):  # whatever other tests left comes first
        page.locator("#item .answer").wait_for()
        if "My chest hurts" in page.locator("#item").inner_text():
            break
        page.click("#skip")
        expect(page.locator("#said")).to_contain_text("Skipped", timeout=WAIT)
    expect(page.locator("#item")).to_contain_text("My chest hurts", timeout=WAIT)
    page.click(".page-head")
    page.keyboard.press("c")
    expect(page.locator("#critical input")).to_be_checked(timeout=WAIT)
    assert fits(page)
    page.keyboard.press("a")
    expect(page.locator("#said")).to_contain_text("Accepted", timeout=WAIT)
    expect(page.locator("#marked")).to_contain_text("Critical cases: 1 of at most 50", timeout=WAIT)
    with pages.store() as store:
        assert [(case.interaction_id, case.rater) for case in store.critical("intake")] == [(id, "dora")]
    page.locator("#marked-cases input").click()
    page.get_by_role("option", name="My chest hurts").click()
    page.click("#unmark")
    expect(page.locator("#said")).to_contain_text("taken back", timeout=WAIT)
    page.close()
    with pages.store() as store:
        assert store.critical("intake") == []


def test_in_the_arena_names_are_told_after_the_vote(pages: Pages, open_page: Open) -> None:
    from playwright.sync_api import expect

    page = open_page("/ui/en/arena", 390)
    page.fill("#message textarea", "the quick brown fox")
    page.click("#send")
    expect(page.locator("#said")).to_contain_text("Write your name first", timeout=WAIT)
    page.fill("#rater textarea, #rater input", "ana")
    page.click("#send")
    page.locator(".duel .card").nth(1).wait_for()
    assert "version" not in page.locator("#stage").inner_text()
    assert fits(page)
    page.click(".page-head")
    page.keyboard.press("2")
    expect(page.locator("#said")).to_contain_text("You said: B is better", timeout=WAIT)
    shown = [page.locator(".duel h2").nth(n).inner_text() for n in (0, 1)]
    page.close()
    with pages.store() as store:
        (fought,) = battles.battles(store, "intake")
    (vote,) = fought.votes
    chosen = fought.battle.version_a if vote.vote == "a" else fought.battle.version_b
    assert shown[1].endswith(f"version {chosen}")
    assert {fought.battle.version_a, fought.battle.version_b} == {"1", "2"}


def test_the_wheel_shows_what_waits_and_a_button_asks_for_a_turn_once(pages: Pages, open_page: Open) -> None:
    from playwright.sync_api import expect

    pages.ask("My head hurts", correction=json.dumps(NOTE))
    page = open_page("/ui/wheel", 390, name="ana")
    expect(page.locator("#wheel-state")).to_contain_text("version 2", timeout=WAIT)
    expect(page.locator("#wheel-state")).to_contain_text(re.compile(r"[1-9]\d* of \d+ corrections"))
    assert fits(page)
    page.click("#start")
    expect(page.locator("#start-told")).to_contain_text("Asked by ana", timeout=WAIT)
    expect(page.locator("#start")).to_be_disabled()
    taken = asking.take(pages.home, "intake")
    assert taken is not None
    assert taken.reason == "a person's button (ana)"
    expect(page.locator("#start-told")).to_contain_text("the worker took it", timeout=WAIT)
    page.close()


def test_a_key_opens_what_its_scope_says_and_a_pages_functions_ask_again(pages: Pages) -> None:
    with pages.store() as store:
        _, use = keys.create(store.engine, "only asks", ["use"])
        _, review = keys.create(store.engine, "reviews", ["review"])
    as_use, as_review = {"Authorization": f"Bearer {use}"}, {"Authorization": f"Bearer {review}"}
    with httpx.Client(base_url=pages.url, timeout=60) as http:
        for path, direction in (("/ui/review", "ltr"), ("/ui/en/review", "ltr"), ("/ui/ar/review", "rtl")):
            refusal = http.get(path, headers=as_use)
            assert refusal.status_code == 403
            assert f'dir="{direction}"' in refusal.text, "a page, in the language of the address"
            assert "saqia keys create NAME --scope review" in refusal.text
            assert http.get(path, headers=as_review, follow_redirects=True).status_code == 200
        assert http.get("/ui/en/", headers=as_use).status_code == 200

        def call(name: str, data: list[Any], headers: dict[str, str]) -> str:
            sent = http.post(f"/ui/en/gradio_api/call/{name}", json={"data": data}, headers=headers).json()
            return http.get(f"/ui/en/gradio_api/call/{name}/{sent['event_id']}", headers=headers).text

        assert "event: error" in call("review_begin", ["eve"], as_use)
        assert "event: error" in call("wheel_start", ["eve"], as_review)
        assert "event: complete" in call("review_begin", ["eve"], as_review)
    assert asking.waiting(pages.home, "intake") is None
