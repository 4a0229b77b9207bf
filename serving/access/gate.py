"""The gate before API and pages: a key where one is needed, the scope it must have, and the key's limits.

Where the service can only be reached from its own machine no key is needed
(`serving.api_keys: elsewhere`); a key that is sent all the same is known by its name and held
to its limits. Clients send `Authorization: Bearer KEY`. Browsers, which cannot, are asked for a
name and the key as password (HTTP Basic).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence

from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components import config
from components.feedback.keys import ApiKey
from components.feedback.keys import Scope as KeyScope
from components.feedback.store import StoreError
from serving.access.binding import is_loopback
from serving.access.context import CURRENT, Context
from serving.access.limits import TooMany
from serving.api.errors import ApiError
from serving.pages.language import chosen, split
from serving.pages.refused import refused
from serving.pages.words import LANGUAGES
from serving.runtime import Runtime

NEEDED: tuple[tuple[str, tuple[KeyScope, ...]], ...] = (
    ("/v1/admin", ("admin",)),
    ("/v1/review", ("review",)),
    ("/v1/feedback", ("use", "review")),
    ("/v1/", ("use",)),
    ("/ui/review", ("review",)),
    *((f"/ui/{language}/review", ("review",)) for language in LANGUAGES),
    ("/ui", ("use", "review")),
)
"""Path prefix → scopes of which a key needs one; the first that fits counts. Other paths are open to all:
probes, metrics, the way to the page."""
KEY = "saqia.key"
"""Under this name a request's scope holds its key, or None: pages' functions run outside of the request's context."""


class Gate:
    """ASGI middleware; `runtime` gives the running parts, or None while the service starts."""

    def __init__(self, app: ASGIApp, runtime: Callable[[], Runtime | None], prefix: str = "") -> None:
        self._app = app
        self._runtime = runtime
        self._prefix = prefix
        """Where the application is mounted, when the mount strips it from the path."""
        self._bound = config.places().host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        full = path if path.startswith(self._prefix) else self._prefix + path
        needs = next((scopes for prefix, scopes in NEEDED if full.startswith(prefix)), None)
        if scope["type"] not in ("http", "websocket") or needs is None:
            await self._app(scope, receive, send)
            return
        try:
            context = await self._admit(scope, needs)
        except ApiError as error:
            await refuse(error, full, needs, scope, receive, send)
            return
        scope[KEY] = context.key
        token = CURRENT.set(context)
        try:
            await self._app(scope, receive, self._with_limits(context, send))
        finally:
            CURRENT.reset(token)

    async def _admit(self, scope: Scope, needs: tuple[KeyScope, ...]) -> Context:
        runtime = self._runtime()
        if runtime is None:
            raise ApiError(503, "The service is starting.", code="starting", kind="server_error")
        here = CURRENT.get() or Context("")
        key = await self._key(runtime, scope)
        if key is None:
            return here
        if not any(key.may(one) for one in needs):
            wanted = " or ".join(needs)
            message = f"You have insufficient permissions for this operation. The key needs scope {wanted}."
            raise ApiError(403, message, code="missing_scope", kind="permission_error")
        limits = runtime.limits

        def reserve(tokens: int) -> None:
            try:
                limits.take("tokens", key.id, tokens)
            except TooMany as error:
                raise too_many(error) from None

        try:
            limits.take("requests", key.id)
            limits.check("tokens", key.id)
        except TooMany as error:
            raise too_many(error) from None
        here.key = key
        here.reserve, here.spend = reserve, lambda tokens: limits.add("tokens", key.id, tokens)
        return here

    async def _key(self, runtime: Runtime, scope: Scope) -> ApiKey | None:
        """The key that was sent; None where none is needed and none known was sent."""
        secret = sent_key(dict(scope["headers"]).get(b"authorization", b"").decode("latin-1"))
        needed = self.needs_key(runtime, scope)
        try:
            ring = runtime.keys
            found = (
                (await asyncio.to_thread(ring.find, secret) if ring.stale else ring.find(secret)) if secret else None
            )
        except StoreError as error:
            if not needed:
                return None
            raise ApiError(503, f"The keys cannot be read: {error}", code="store_error", kind="server_error") from None
        if found is None and needed:
            if secret:
                raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
            message = (
                "You didn't provide an API key. Provide it in an Authorization header using Bearer auth "
                "(Authorization: Bearer YOUR_KEY); `saqia keys create NAME` makes one."
            )
            raise ApiError(401, message, code="missing_api_key")
        return found

    def needs_key(self, runtime: Runtime, scope: Scope) -> bool:
        """Always, or only where the service is, or this connection came, from elsewhere."""
        if runtime.settings.serving.api_keys == "always" or not is_loopback(self._bound):
            return True
        return not is_loopback((scope.get("server") or ("",))[0])

    def _with_limits(self, context: Context, send: Send) -> Send:
        key, runtime = context.key, self._runtime()
        if key is None or runtime is None:
            return send

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(runtime.limits.headers(key.id))
            await send(message)

        return with_headers


def sent_key(authorization: str) -> str:
    """The key in an Authorization header, as Bearer token or as the password of Basic; empty where there is none."""
    kind, _, value = authorization.partition(" ")
    match kind.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return ""
        case _:
            return ""


def too_many(error: TooMany) -> ApiError:
    """429 as OpenAI sends it."""
    headers = {"Retry-After": str(error.retry_after), **error.window.headers}
    return ApiError(429, str(error), code="rate_limit_exceeded", kind=error.window.what, headers=headers)


async def refuse(
    error: ApiError, path: str, needs: Sequence[KeyScope], scope: Scope, receive: Receive, send: Send
) -> None:
    """The refusal as the asker understands it: JSON for programs, a password prompt and a page for browsers."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = dict(error.headers or {})
    response: Response
    if path.startswith("/ui"):
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Saqia: your name, and an API key as password", charset="UTF-8"'
        if error.status in (401, 403):
            language = split(path.removeprefix("/ui"))[0] or chosen(dict(scope["headers"]))
            page = refused(language, needs if error.status == 403 else ())
            response = HTMLResponse(page, error.status, headers=headers)
        else:
            response = PlainTextResponse(str(error), error.status, headers=headers)
    else:
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        response = JSONResponse(error.body, error.status, headers=headers)
    await response(scope, receive, send)
