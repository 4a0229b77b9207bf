"""Every refusal in OpenAI's error shape, naming the parameter and what is allowed.

{"error": {"message": …, "type": …, "param": …, "code": …}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serving.engine.interface import (
    BadGateway,
    DeadlineExceeded,
    EngineError,
    QueueFull,
    Refused,
    Stopping,
    Unloaded,
    Unsupported,
)


class ErrorBody(BaseModel):
    """What is inside `error`."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """OpenAI's error envelope."""

    error: ErrorBody


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in {
        400: "The request cannot be answered as it is; `param` names what to change",
        401: "No API key, or a wrong one",
        403: "The key lacks the scope that this needs",
        404: "No such model, completion or path",
        413: "The body is larger than `serving.max_body_mb`",
        429: "The queue is full, or the key's limit is reached; `Retry-After` says when to come back",
        502: "The upstream server (or the process that generates) failed or cannot be reached",
        503: "No version is loaded yet, or the service is shutting down",
        504: "The answer was not whole within `serving.deadline_seconds`",
    }.items()
}
"""For the OpenAPI document of every route that answers."""


class ApiError(Exception):
    """A refusal on its way to the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """400 that names the parameter."""
    return ApiError(400, message, param=param, code=code)


def of_engine(error: EngineError) -> ApiError:
    """What an engine's refusal means to a client."""
    if isinstance(error, QueueFull):
        headers = {"Retry-After": str(error.retry_after)}
        return ApiError(429, str(error), code="queue_full", kind="rate_limit_error", headers=headers)
    if isinstance(error, DeadlineExceeded):
        return ApiError(504, str(error), code="deadline_exceeded", kind="timeout_error")
    if isinstance(error, Unloaded):
        return ApiError(404, str(error), param="model", code="model_not_found")
    if isinstance(error, Unsupported):
        return invalid(error.param, str(error), code="unsupported_by_engine")
    if isinstance(error, Refused):
        return ApiError(400, str(error), param=error.param, code=error.code)
    if isinstance(error, BadGateway):
        return ApiError(502, str(error), code="bad_gateway", kind="server_error")
    if isinstance(error, Stopping):
        return ApiError(503, str(error), code="shutting_down", kind="server_error", headers={"Retry-After": "5"})
    return ApiError(500, str(error), code="engine_error", kind="server_error")


async def on_api_error(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's handler for `ApiError`."""
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status, headers=dict(error.headers or {}))


async def on_engine_error(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's handler for `EngineError`."""
    assert isinstance(error, EngineError)
    return await on_api_error(request, of_engine(error))


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Unknown path or method, in OpenAI's words."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    message = {
        404: f"Unknown request URL: {where}. Please check the URL for typos.",
        405: f"Not allowed to {request.method} on {request.url.path}.",
    }.get(error.status_code, str(error.detail))
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))


async def on_unforeseen(_: Request, error: Exception) -> JSONResponse:
    """Anything else: 500 in the same shape; the stack trace goes to the log, not to the client."""
    message = f"The server failed: {type(error).__name__}. The request id in this response's headers finds the log."
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": "internal_error"}}
    return JSONResponse(body, 500)


async def on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Wrong JSON, type or range: the first problem, by the parameter's path."""
    assert isinstance(error, RequestValidationError)
    return await on_api_error(request, of_validation(error.errors()))


def of_validation(problems: Sequence[Any]) -> ApiError:
    """The first of pydantic's problems as a refusal."""
    problem = _most_telling(problems)
    location = [part for part in problem["loc"] if part not in ("body", "query", "header", "path")]
    if problem["type"] == "json_invalid":
        reason = problem.get("ctx", {}).get("error", "")
        return ApiError(400, f"The body is not valid JSON: {reason}.", code="invalid_json")
    if problem["type"] == "contradiction":
        param = problem["ctx"]["param"]
        return invalid(param, f"Invalid '{param}': {problem['ctx']['message']}.")
    if not location:
        return ApiError(400, "The body must be a JSON object, sent with Content-Type: application/json.")
    param = path(location)
    match problem["type"]:
        case "missing":
            return ApiError(
                400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
            )
        case "extra_forbidden":
            return ApiError(
                400, f"Unrecognized request argument supplied: {param}", param=param, code="unknown_parameter"
            )
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    message = f"{message[:1].lower()}{message[1:]}".replace("input should", "it should")
    expected = f" Allowed: {ALLOWED[param]}." if param in ALLOWED else ""
    return invalid(param, f"Invalid '{param}': {message}; got {shown(problem.get('input'))}.{expected}")


ALLOWED = {
    "temperature": "a number from 0 to 2",
    "top_p": "a number from 0 to 1",
    "n": "a whole number from 1 to 128",
    "frequency_penalty": "a number from -2 to 2",
    "presence_penalty": "a number from -2 to 2",
    "top_logprobs": "a whole number from 0 to 20",
    "logprobs": "true or false in a chat, a whole number from 0 to 5 in a text completion",
    "max_tokens": "a whole number, 1 or more",
    "max_completion_tokens": "a whole number, 1 or more",
    "seed": "a whole number of 64 bits",
    "stop": "a string, or one to four strings, none of them empty",
    "logit_bias": "token ids with values from -100 to 100",
    "messages": "at least one message, each with role and content",
    "best_of": "a whole number equal to n",
    "tools": "no tools: they are not offered here",
    "tool_choice": "no tools: they are not offered here",
    "suffix": "nothing: it is not offered here",
}
"""What every refusal of a parameter ends with; a test holds it against the models in requests.py."""


def path(location: Sequence[int | str]) -> str:
    """`messages[0].content` from pydantic's location; tags of a union's branches are left out."""
    out = ""
    for position, part in enumerate(location):
        if position == 1 and location[0] == "response_format":
            continue  # pydantic names the branch that `type` chose
        if isinstance(part, int):
            out += f"[{part}]"
        elif part.isidentifier() and not part[0].isupper() and part not in BRANCHES:
            out += f".{part}" if out else part
    return out or str(location[0])


BRANCHES = {"str", "int", "float", "bool", "list", "dict", "function"}
"""Names that pydantic adds to a location for a union's branch."""


def shown(value: Any) -> str:
    """A value short enough for a message, and always JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=True, allow_nan=True, default=str)
    except (TypeError, ValueError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _most_telling(problems: Sequence[Any]) -> Any:
    """Of a union's branches, the one that came furthest: not a wrong type at its very start."""
    first = problems[0]
    same = [p for p in problems if p["loc"][:2] == first["loc"][:2]]
    return max(same, key=lambda p: (p["type"] not in WRONG_TYPE, len(p["loc"])))


WRONG_TYPE = {"string_type", "list_type", "int_type", "dict_type", "none_required", "model_attributes_type"}
