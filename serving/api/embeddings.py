"""POST /v1/embeddings: the API's own refusal, since no model for embeddings can be configured yet."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from serving.api.errors import RESPONSES, ApiError

router = APIRouter()


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings."""

    model_config = ConfigDict(extra="allow")
    model: str
    input: Any


@router.post("/v1/embeddings", responses=RESPONSES, status_code=404, tags=["answers"])
async def embeddings(body: EmbeddingRequest) -> None:
    """Refused: every model here writes text."""
    message = f"The model '{body.model}' does not exist as an embedding model; every model here writes text."
    raise ApiError(404, message, param="model", code="model_not_found")
