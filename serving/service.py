"""The BentoML service: `bentoml serve serving.service:Saqia`, or `python -m serving`.

One worker process holds the models; batching, not processes, is what serves many clients.
"""

from __future__ import annotations

import asyncio
import gc

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import logs, runtime
from serving.access.gate import Gate
from serving.api import metrics
from serving.api.app import create_app
from serving.pages import Pages

settings = runtime.settings_here()
app = create_app(settings.serving.max_body_mb)
page = Pages()
guarded_page = Gate(page, runtime=lambda: app.state.runtime, prefix="/ui")


class Probes:
    """BentoML answers /readyz and / itself and cannot give a reason; ours come first.

    So does the API: behind BentoML's router, which asks every mounted application what it knows, a request costs a
    sixth more.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == "/metrics" and app.state.runtime is not None:
            champion = app.state.runtime.versions.champion
            metrics.sample(app.state.runtime.rollout.engines, champion.version if champion else None)
        ours = path in ("/readyz", "/", "/favicon.ico") or path.startswith("/v1/")
        await (app if ours else self._inner)(scope, receive, send)


@bentoml.service(
    name="saqia",
    workers=1,
    traffic={"timeout": 3600, "max_concurrency": 4096},
    # One line a request is enough, and ours holds the version and the request id.
    logging={"access": {"enabled": False}},
    # BentoML's own spans go nowhere and take a fifth of the event loop's time; ours: serving/tracing.py.
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(guarded_page, path="/ui", name="ui")
@bentoml.asgi_app(app, path="/", name="api")
class Saqia:
    """Serves the champion of the task that params.yaml names."""

    def __init__(self) -> None:
        logs.configure()
        app.state.runtime = runtime.start(settings)

    @bentoml.on_startup
    async def open_pages(self) -> None:
        """In the background, after the first version: the API must not wait for what people look at."""
        self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        await page.open(app.state.runtime)
        # The collector need not look again and again at the 800,000 objects that imports have made: a tenth of the
        # service's time under load.
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Finish what is in flight."""
        self._opening.cancel()
        await page.close()
        await asyncio.to_thread(app.state.runtime.close)
        await asyncio.to_thread(app.state.tracing.close)


Saqia.add_asgi_middleware(Probes)  # type: ignore[attr-defined]  # the decorator makes it a bentoml.Service
