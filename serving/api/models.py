"""GET /v1/models: the base, every loaded version, and the names that move."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request

from components.models import first_line
from components.stage import StageError
from serving.api.answering import runtime_of
from serving.api.errors import RESPONSES, ApiError
from serving.api.responses import Model, ModelList
from serving.runtime import Runtime
from serving.versions import ALIASES, NoVersionYet, UnknownModel

router = APIRouter(tags=["models"])


@router.get("/v1/models", responses=RESPONSES)
async def list_models(http: Request) -> ModelList:
    """Every name that answers at once, and the aliases; any registered version also answers to `TASK@number`."""
    runtime = runtime_of(http)
    names = [*runtime.versions.names(), *(f"{runtime.task.name}@{alias}" for alias in ALIASES)]
    found = [await asyncio.to_thread(_model, runtime, name) for name in names]
    return ModelList(data=[model for model in found if model is not None])


@router.get("/v1/models/{model}", responses=RESPONSES)
async def retrieve_model(model: str, http: Request) -> Model:
    """One of them, or any registered version; nothing is loaded for this."""
    runtime = runtime_of(http)
    found = await asyncio.to_thread(_model, runtime, model)
    if found is None:
        names = ", ".join(runtime.versions.names()) or "none yet"
        message = f"The model '{model}' does not exist; models here: {names}."
        raise ApiError(404, message, param="model", code="model_not_found")
    return found


def _model(runtime: Runtime, name: str) -> Model | None:
    try:
        served = runtime.versions.resolve(name)
        return Model(id=name, created=served.created, version=served.version)
    except NoVersionYet:
        return None
    except UnknownModel:
        which = runtime.versions.registered(name)
    try:
        source = None if which is None else runtime.rollout.find(which)
    except (StageError, OSError) as error:
        raise ApiError(
            503, f"The registry cannot be read: {first_line(error)}", code="registry_error", kind="server_error"
        ) from None
    return None if source is None else Model(id=name, created=source.created, version=source.version)
