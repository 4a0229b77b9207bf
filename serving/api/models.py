"""GET /v1/models: the base, every loaded version, and the names that move."""

from __future__ import annotations

from fastapi import APIRouter, Request

from serving.api.answering import resolve, runtime_of
from serving.api.errors import RESPONSES
from serving.api.responses import Model, ModelList
from serving.versions import Served

router = APIRouter(tags=["models"])


@router.get("/v1/models", responses=RESPONSES)
async def list_models(http: Request) -> ModelList:
    """Every name that a request's `model` may hold."""
    versions = runtime_of(http).versions
    return ModelList(data=[_model(name, versions.resolve(name)) for name in versions.names()])


@router.get("/v1/models/{model}", responses=RESPONSES)
async def retrieve_model(model: str, http: Request) -> Model:
    """One of them."""
    return _model(model, resolve(runtime_of(http), model))


def _model(name: str, served: Served) -> Model:
    return Model(id=name, created=served.created, version=served.version)
