"""The HTTP application: OpenAI's API, feedback, probes."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from serving.access.gate import Gate
from serving.api import chat, completions, embeddings, errors, feedback, models
from serving.api.middleware import BodyLimit, RequestId
from serving.engine.interface import EngineError
from serving.icon import ICON, MEDIA_TYPE
from serving.runtime import Runtime
from serving.tracing import Traced, Tracing

DESCRIPTION = """OpenAI's HTTP API over a model of your own: change the base URL of any OpenAI client.
`POST /v1/feedback` takes what people say about an answer; it teaches the next version."""


def create_app(max_body_mb: float, runtime: Runtime | None = None) -> FastAPI:
    """The application. The service sets `app.state.runtime` when its parts are up."""
    app = FastAPI(
        title="Saqia", description=DESCRIPTION, version="1", openapi_url="/v1/openapi.json", docs_url="/v1/docs"
    )
    app.state.runtime = runtime
    for router in (chat.router, completions.router, embeddings.router, models.router, feedback.router):
        app.include_router(router)
    app.add_exception_handler(errors.ApiError, errors.on_api_error)
    app.add_exception_handler(EngineError, errors.on_engine_error)
    app.add_exception_handler(RequestValidationError, errors.on_validation_error)
    app.add_exception_handler(HTTPException, errors.on_http_error)
    app.add_exception_handler(Exception, errors.on_unforeseen)
    app.add_middleware(BodyLimit, limit=int(max_body_mb * 2**20))
    app.add_middleware(Gate, runtime=lambda: app.state.runtime)
    app.state.tracing = Tracing()
    app.add_middleware(Traced, tracing=app.state.tracing)
    app.add_middleware(RequestId)
    app.add_api_route("/readyz", readyz, methods=["GET"], include_in_schema=False)
    app.add_api_route("/", index, methods=["GET"], include_in_schema=False)
    app.add_api_route("/favicon.ico", favicon, methods=["GET"], include_in_schema=False)
    # BentoML asks a mounted application which of its routes match; what is under /v1 but unknown is still ours.
    app.add_api_route(
        "/v1/{rest:path}",
        unknown,
        methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
        include_in_schema=False,
    )
    return app


async def unknown(rest: str, request: Request) -> Response:
    """Unknown paths and methods under /v1, in OpenAI's words."""
    allowed: set[str] = set()
    for path, methods in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.url.path):
            allowed |= {method.upper() for method in methods}
    if allowed:
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
    raise HTTPException(404)


async def index() -> Response:
    """People who open the address in a browser want the page."""
    return RedirectResponse("/ui/")


async def favicon() -> Response:
    """Browsers ask for it beside whatever they show; the pages bring it themselves."""
    return Response(ICON, media_type=MEDIA_TYPE, headers={"Cache-Control": "max-age=86400"})


async def readyz(request: Request) -> Response:
    """503 with the reason until a proven version serves."""
    runtime = request.app.state.runtime
    if runtime is None:
        return JSONResponse({"ready": False, "reason": "the service is starting"}, 503)
    runtime.rollout.look_soon()  # whoever has just promoted a version asks here until it serves
    ready, details = runtime.readiness()
    return JSONResponse(details, 200 if ready else 503)
