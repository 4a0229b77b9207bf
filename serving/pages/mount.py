"""The pages as one application, to be mounted under /ui."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AsyncExitStack

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

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
    """Gradio's application, built when the service starts rather than when it is imported.

    BentoML imports a service twice, once to read its settings; Gradio takes seconds to import
    and is needed only the second time.
    """

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._lifespan = AsyncExitStack()

    async def open(self, runtime: Runtime) -> None:
        """Build the pages, once the first look at the registry no longer needs the processor."""
        await asyncio.to_thread(runtime.rollout.looked.wait)
        await asyncio.to_thread(importlib.import_module, "serving.pages.chat")
        import gradio as gr
        from fastapi import FastAPI

        from serving.pages.chat import build
        from serving.pages.style import CSS, theme

        pages = build(runtime)
        # looked at a thousand times a second, Gradio's empty queue takes 9 % of a core from the endpoint
        pages._queue.sleep_when_free, pages._queue.progress_update_sleep_when_free = QUEUE_SECONDS, 2 * QUEUE_SECONDS
        app = gr.mount_gradio_app(
            FastAPI(),
            pages,
            path="/",
            root_path="/ui",
            ssr_mode=False,
            footer_links=[],
            theme=theme(),
            css=CSS,
        )
        await self._lifespan.enter_async_context(app.router.lifespan_context(app))
        self._app = app

    async def close(self) -> None:
        """End what the pages run in the background."""
        await self._lifespan.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        starting = HTMLResponse(STARTING, 503, headers={"Retry-After": "2"})
        await (self._app or starting)(scope, receive, send)
