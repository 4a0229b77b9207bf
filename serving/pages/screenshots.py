"""Pictures of the chat page for the README, from a service that runs.

    python -m serving.pages.screenshots --url http://127.0.0.1:3000 --into docs/img

asks the task's first suggestion (or `--ask`), waits for the whole answer, opens the correction form and
writes chat.png (1280 px wide) and chat-phone.png (390 px). Needs Chromium and the `dev` extra (playwright).
The question is stored like any other; nothing is said about the answer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any, Literal

SIZES = {"chat.png": (1280, 900), "chat-phone.png": (390, 844)}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Take both pictures, or say in one line why not."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.pages.screenshots", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="where the service listens")
    parser.add_argument("--into", type=Path, default=Path("docs/img"))
    parser.add_argument("--ask", help="what to ask; default: the task's first suggestion")
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
        for picture in take(arguments.url, arguments.into, browser, arguments.ask, arguments.dark, arguments.seconds):
            print(picture)
    except Error as error:
        sys.exit(f"screenshots: {arguments.url}: {error.message.splitlines()[0]}")


def take(url: str, into: Path, browser: str, ask: str | None, dark: bool, seconds: float) -> list[Path]:
    """Both pictures; returns where they are.

    Raises:
        playwright.sync_api.Error: the page does not answer, or does not do what it should in time.
    """
    from playwright.sync_api import sync_playwright

    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    written = []
    with sync_playwright() as play:
        running = play.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name, (width, height) in SIZES.items():
            page = running.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=2
            )
            page.set_default_timeout(1000 * seconds)
            page.goto(f"{url.rstrip('/')}/ui/")
            talk(page, ask)
            page.screenshot(path=into / name, full_page=True, animations="disabled")
            written.append(into / name)
            page.close()
        running.close()
    return written


def talk(page: Any, ask: str | None) -> None:
    """Ask, wait for the answer, open the form for the right one."""
    page.locator("#message textarea").wait_for()
    suggestion = page.locator("#suggestions button").first
    if ask is None and suggestion.count():
        suggestion.click()
    else:
        page.fill("#message textarea", ask or "Hello")
        page.click("#send")
    page.locator("#talk .note").filter(has_text="version").last.wait_for()
    page.click("#write")
    page.locator("#correction textarea").wait_for()
    page.wait_for_timeout(600)  # Gradio slides the form in and scrolls the talk


if __name__ == "__main__":
    main()
