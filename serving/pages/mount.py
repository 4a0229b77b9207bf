"""The pages as one application, to be mounted under /ui."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AsyncExitStack
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.pages.language import SET_COOKIE, chosen, split
from serving.pages.words import LANGUAGES, Language
from serving.runtime import Runtime

STARTING = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta http-equiv="refresh" content="2"><title>Saqia</title>'
    '<body style="font-family: system-ui, sans-serif; margin: 3rem; color-scheme: light dark">'
    "<p>The pages are starting; this one reloads by itself.</p></body></html>"
)

QUEUE_SECONDS = 0.05
"""How often Gradio looks whether somebody asked the page something (its own value on Windows)."""


class Pages:
    """Gradio's applications, one a language, built when the service starts rather than when it is imported.

    BentoML imports a service twice, once to read its settings; Gradio takes seconds to import
    and is needed only the second time.

    /ui/ar/review is the Arabic review page. /ui/review leads there in the language that the browser
    prefers, and /ui/ is the chat in it.
    """

    def __init__(self) -> None:
        self._apps: dict[Language, ASGIApp] = {}
        self._kept: Path | None = None
        """Folder of the reports."""
        self._lifespan = AsyncExitStack()

    async def open(self, runtime: Runtime) -> None:
        """Build the pages, once the first look at the registry no longer needs the processor."""
        await asyncio.to_thread(runtime.rollout.looked.wait)
        await asyncio.to_thread(importlib.import_module, "serving.pages.site")
        import gradio as gr
        from fastapi import FastAPI

        from serving.pages import reports, script, site, style

        self._kept = reports.folder(runtime.task.name)
        for language in LANGUAGES:
            pages = await asyncio.to_thread(site.build, runtime, language)
            # looked at a thousand times a second, Gradio's empty queue takes 9 % of a core from the endpoint
            pages._queue.sleep_when_free = QUEUE_SECONDS
            pages._queue.progress_update_sleep_when_free = 2 * QUEUE_SECONDS
            app = gr.mount_gradio_app(
                FastAPI(),
                pages,
                path="/",
                root_path=f"/ui/{language}",
                ssr_mode=False,
                footer_links=[],
                run_history=False,
                theme=style.theme(),
                css=style.CSS,
                head=script.head(language),
            )
            await self._lifespan.enter_async_context(app.router.lifespan_context(app))
            self._apps[language] = app

    async def close(self) -> None:
        """End what the pages run in the background."""
        await self._lifespan.aclose()

    async def _report(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """A file that the flows have kept of a version's evaluation or data checks."""
        assert self._kept is not None
        if scope["type"] == "http" and self._kept.is_dir():
            files = StaticFiles(directory=self._kept)
            try:
                await files({**scope, "path": path, "root_path": ""}, receive, send)
            except HTTPException as error:
                await PlainTextResponse(error.detail, error.status_code)(scope, receive, send)
        else:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._apps) < len(LANGUAGES):
            await HTMLResponse(STARTING, 503, headers={"Retry-After": "2"})(scope, receive, send)
            return
        language, path = split(scope["path"].removeprefix("/ui"))
        named = language is not None
        if language is None:
            language = chosen(dict(scope["headers"]))
        if path.strip("/") in PAGES:
            if named and scope["path"].endswith(f"/{language}"):
                await RedirectResponse(f"/ui/{language}/", 307)(scope, receive, send)
                return
            page = path.strip("/")
            send = speaking(send, language, named)
            if page and not named:  # Gradio's script finds a page of several by its own address alone
                query = scope["query_string"].decode("latin-1")
                await RedirectResponse(f"/ui/{language}/{page}{'?' * bool(query)}{query}", 307)(scope, receive, send)
                return
            path = path.rstrip("/") or "/"
        if path.startswith("/reports/"):
            await self._report(scope, path.removeprefix("/reports"), receive, send)
            return
        root = f"/ui/{language}"
        inner = {**scope, "path": root + path, "raw_path": (root + path).encode(), "root_path": root}
        await self._apps[language](inner, receive, send)


PAGES = frozenset({"", "review", "arena", "leaderboard", "wheel"})
"""Paths of the pages under /ui/<language>/."""


def speaking(send: Send, language: Language, named: bool) -> Send:
    """A page's response says its language; a language that the address named is remembered."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Language"] = language
            headers.add_vary_header("Accept-Language, Cookie")
            if named:
                headers.append("Set-Cookie", SET_COOKIE.format(language=language))
        await send(message)

    return with_headers
