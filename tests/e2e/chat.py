"""The chat page as a person uses it, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WAIT = 60_000


class Chat:
    """One open page."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def ask(self, text: str) -> str:
        """Send a message; what stands in the answer's bubble once it is whole."""
        from playwright.sync_api import expect

        self._page.fill("#message textarea", text)
        self._page.click("#send")
        answer = self._page.locator("#talk .bot").last
        expect(answer).to_contain_text("version", timeout=WAIT)  # which one answered is told at its end
        return str(answer.inner_text())

    def correct(self, right: str, name: str) -> None:
        """Choose the right label from the list, say who one is, save it, and wait for the word that it is saved."""
        from playwright.sync_api import expect

        self._page.click("#write")
        self._page.locator("#correction input").click()
        self._page.get_by_role("option", name=right).click()
        self._page.fill("#rater textarea, #rater input", name)
        self._page.click("#save")
        expect(self._page.locator("#said")).to_contain_text("Saved", timeout=WAIT)


@contextmanager
def chat(url: str, chromium: str) -> Iterator[Chat]:
    """The page of a running service, in English."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(locale="en")
        page.set_default_timeout(WAIT)
        page.goto(f"{url}/ui/")
        page.locator("#bar nav").wait_for()
        yield Chat(page)
        browser.close()
