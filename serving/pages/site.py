"""All pages in one language as one Gradio application, and the frame around each."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from serving.pages.words import LANGUAGES, Language, Words, words
from serving.runtime import Runtime


@dataclass(frozen=True)
class Site:
    """What every page is built from."""

    runtime: Runtime
    language: Language

    @property
    def words(self) -> Words:
        """Its strings."""
        return words(self.language)

    @property
    def root(self) -> str:
        """Where it is mounted."""
        return f"/ui/{self.language}"

    @property
    def rtl(self) -> bool:
        return self.words.frame.direction == "rtl"

    def header(self, here: str) -> gr.HTML:
        """The bar with the pages, the other languages and the lamp."""
        frame = self.words.frame
        links = "".join(
            f'<a href="{self.root}/{path}"{current(path == here)}>{html.escape(name)}</a>'
            for path, name in frame.pages.items()
        )
        others = "".join(
            f'<a href="/ui/{other}/{here}" hreflang="{other}" lang="{other}" '
            f'title="{html.escape(words(other).frame.other_language.format(language=words(other).frame.name))}">'
            f"{html.escape(words(other).frame.name)}</a>"
            for other in LANGUAGES
            if other != self.language
        )
        return gr.HTML(
            f'<div class="bar"><a class="brand" href="{self.root}/">{WHEEL}Saqia</a>'
            f'<nav aria-label="{html.escape(frame.navigation)}">{links}</nav>'
            f'<span class="tools">{others}<button type="button" data-theme '
            f'aria-label="{html.escape(frame.theme)}" title="{html.escape(frame.theme)}">{LAMP}</button></span></div>',
            elem_id="bar",
        )

    def name_box(self, required: bool = True) -> tuple[gr.Textbox, Any]:
        """Who says it, remembered by the browser; and the event that has put the remembered name there."""
        frame = self.words.frame
        label = frame.your_name if required else f"{frame.your_name} ({frame.your_name_hint})"
        box = gr.Textbox(label=label, elem_id="rater", max_length=200, rtl=self.rtl)
        name: gr.BrowserState = gr.BrowserState("", storage_key="saqia-rater")
        # In the browser alone: a name that came back from the service later would replace what was typed meanwhile.
        box.blur(None, box, name, js="(typed) => typed")
        return box, page().load(None, [name, box], box, js="(kept, typed) => typed || kept")


WHEEL = (
    '<svg viewBox="0 0 24 24" width="22" height="22" fill="none" stroke="currentColor" stroke-width="1.7" '
    'stroke-linecap="round" aria-hidden="true"><circle cx="12" cy="12" r="8.2"/><circle cx="12" cy="12" r="2"/>'
    '<path d="M12 2v8M12 14v8M2 12h8M14 12h8M5 5l5.6 5.6M13.4 13.4 19 19M19 5l-5.6 5.6M10.6 13.4 5 19"/></svg>'
)
LAMP = (
    '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><circle cx="12" cy="12" r="8.5" fill="none" '
    'stroke="currentColor" stroke-width="1.7"/><path d="M12 3.5a8.5 8.5 0 0 1 0 17z" fill="currentColor"/></svg>'
)


def page() -> gr.Blocks:
    """The application that is being built: its `load` is the current page's."""
    found = gr.context.Context.root_block
    assert found is not None, "pages are built inside Blocks"
    return found


def current(is_here: bool) -> str:
    return ' aria-current="page"' if is_here else ""


def build(runtime: Runtime, language: Language) -> gr.Blocks:
    """Every page in one language."""
    from serving.pages import arena, chat, leaderboard, review, wheel

    site = Site(runtime, language)
    with gr.Blocks(title=f"{runtime.task.title} · Saqia") as pages:
        chat.build(site)
    for path, page in (
        ("review", review.build),
        ("arena", arena.build),
        ("leaderboard", leaderboard.build),
        ("wheel", wheel.build),
    ):
        with pages.route(site.words.frame.pages[path], path, show_in_navbar=False):
            page(site)
    # Gradio's own limit is one question at a time, of all people together; the engine has a queue and limits.
    pages.queue(default_concurrency_limit=None)
    return pages
