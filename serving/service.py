"""The BentoML service: `bentoml serve serving.service:Saqia`, or `python -m serving`.

One worker process holds the models; batching, not processes, is what serves many clients.
"""

from __future__ import annotations

import logging

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import pages, runtime
from serving.api.app import create_app

settings = runtime.settings_here()
app = create_app(settings.serving.max_body_mb)
page = pages.create_app(lambda: app.state.runtime)


class Probes:
    """BentoML answers /readyz and / itself and cannot give a reason; ours come first."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"] in ("/readyz", "/")
        await (app if ours else self._inner)(scope, receive, send)


@bentoml.service(name="saqia", workers=1, traffic={"timeout": 3600, "max_concurrency": 4096})
@bentoml.asgi_app(page, path="/ui", name="ui")
@bentoml.asgi_app(app, path="/", name="api")
class Saqia:
    """Serves the champion of the task that params.yaml names."""

    def __init__(self) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
        logging.getLogger("saqia").setLevel(logging.INFO)
        app.state.runtime = runtime.start(settings)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish what is in flight."""
        app.state.runtime.close()


Saqia.add_asgi_middleware(Probes)
