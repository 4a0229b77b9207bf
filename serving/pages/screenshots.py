"""Pictures of the pages for the README, from a service that runs.

    python -m serving.pages.screenshots --url http://127.0.0.1:3000 --into docs/img

opens every page (or those that `--pages` names) and writes chat.png (1280 px wide), chat-phone.png (390 px) and so on;
`--language ar` and `--dark` add `-ar` and `-dark` to the names. On the chat page it asks the task's first suggestion
(or `--ask`), waits for the whole answer and opens the form for the right one; in the arena it asks the same and does
not vote; on the review page it opens the next item as `--name` and says nothing of it. Needs Chromium and the `dev`
extra (playwright). What it asks is stored like any other question.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

WIDTHS = {"": (1280, 900), "-phone": (390, 844)}
PAGES = {"chat": "", "review": "review", "arena": "arena", "leaderboard": "leaderboard", "wheel": "wheel"}
"""Name of a picture → path of its page."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Take the pictures, or say in one line why not."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.pages.screenshots", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="where the service listens")
    parser.add_argument("--into", type=Path, default=Path("docs/img"))
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES))
    parser.add_argument("--language", choices=("en", "ar"), default="en")
    parser.add_argument("--ask", help="what to ask; default: the task's first suggestion")
    parser.add_argument("--name", default="ana", help="who looks at the pages that want a name")
    parser.add_argument("--dark", action="store_true", help="as a device in dark mode shows it")
    parser.add_argument("--seconds", type=float, default=60, help="how long to wait for each step")
    arguments = parser.parse_args()
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("screenshots: no Chromium on this machine: install Debian's `chromium`")
    try:
        from playwright.sync_api import Error
    except ImportError:
        sys.exit("screenshots: playwright is missing: pip install -e '.[dev]'")
    arguments.into.mkdir(parents=True, exist_ok=True)
    try:
        for picture in take(arguments, browser, arguments.pages):
            print(picture)
    except Error as error:
        sys.exit(f"screenshots: {arguments.url}: {error.message.splitlines()[0]}")


def take(arguments: argparse.Namespace, browser: str, pages: Sequence[str]) -> list[Path]:
    """Every page in both widths; returns where the pictures are.

    Raises:
        playwright.sync_api.Error: a page does not answer, or does not do what it should in time.
    """
    from playwright.sync_api import sync_playwright

    scheme: Literal["dark", "light"] = "dark" if arguments.dark else "light"
    kind = ("" if arguments.language == "en" else f"-{arguments.language}") + ("-dark" if arguments.dark else "")
    written = []
    with sync_playwright() as play:
        running = play.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name in pages:
            for width, (wide, high) in WIDTHS.items():
                page = running.new_page(
                    viewport={"width": wide, "height": high}, color_scheme=scheme, device_scale_factor=2
                )
                page.set_default_timeout(1000 * arguments.seconds)
                page.goto(f"{arguments.url.rstrip('/')}/ui/{arguments.language}/{PAGES[name]}")
                page.locator("#bar nav").wait_for()
                prepare(page, name, arguments.ask, arguments.name)
                picture = arguments.into / f"{name}{kind}{width}.png"
                page.screenshot(path=picture, full_page=True, animations="disabled")
                written.append(picture)
                page.close()
        running.close()
    return written


def prepare(page: Any, name: str, ask: str | None, who: str) -> None:
    """Bring a page to where it shows what it is for."""
    match name:
        case "chat":
            question(page, ask)
            page.locator("#talk .note").last.wait_for()
            page.click("#write")
            page.locator(".answer-form").wait_for()
        case "arena":
            page.fill("#rater textarea, #rater input", who)
            page.locator("#taking-part .token").nth(1).wait_for()
            question(page, ask)
            page.locator("#stage .duel").wait_for()
        case "review":
            page.fill("#rater textarea, #rater input", who)
            page.click("#begin")
            page.locator("#done h2").wait_for()
        case "leaderboard":
            page.locator("#board p").first.wait_for()
        case "wheel":
            page.locator("#turns h2").wait_for()
    page.wait_for_timeout(800)  # Gradio slides forms in and scrolls the talk


def question(page: Any, ask: str | None) -> None:
    """Ask the first suggestion, or what was given."""
    page.locator("#message textarea").wait_for()
    suggestion = page.locator("#suggestions button").first
    if ask is None and suggestion.count():
        suggestion.click()
    else:
        page.fill("#message textarea", ask or "Hello")
        page.click("#send")


if __name__ == "__main__":
    main()
