"""POST /v1/feedback: what a person says about an answer, acknowledged when it is on disk."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request
from pydantic import Field, model_validator

from components.feedback.store import KeyReused, StoreError, TooManyCritical, UnknownInteraction
from components.schema import MARKS, FeedbackKind
from serving import feedback
from serving.access.context import current
from serving.api import metrics
from serving.api.answering import choice_id, runtime_of
from serving.api.errors import RESPONSES, ApiError, invalid
from serving.api.requests import MAX_CHOICES, WholeBody, contradiction
from serving.api.responses import FeedbackEvent, FeedbackStored

router = APIRouter(tags=["feedback"])


class FeedbackRequest(WholeBody):
    """At least one of thumb (or kind), correction, comment and critical."""

    completion_id: str = Field(min_length=1, max_length=200, description="The `id` of the completion.")
    choice: int = Field(0, ge=0, lt=MAX_CHOICES, description="Which of n answers.")
    thumb: Literal["up", "down"] | None = None
    kind: FeedbackKind | None = Field(
        None, description="thumb_up and thumb_down are the same as `thumb`; critical and not_critical as `critical`."
    )
    correction: str | None = Field(None, max_length=100_000, description="The right answer, whole.")
    comment: str | None = Field(None, max_length=10_000)
    critical: bool | None = Field(
        None,
        description="true: no version may break this case; false: the mark is taken back. A key needs scope review.",
    )
    rater: str = Field(
        "anonymous", min_length=1, max_length=200, description="Who says it; by default the name of the API key."
    )
    idempotency_key: str | None = Field(
        None, min_length=1, max_length=200, description="A retry with it is stored once."
    )

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackRequest:
        said = "up" if self.kind == "thumb_up" else "down" if self.kind == "thumb_down" else None
        if said and self.thumb not in (None, said):
            raise contradiction("thumb", "kind and thumb contradict each other")
        if self.kind == "correction" and self.correction is None:
            raise contradiction("correction", "kind 'correction' needs the right answer in correction")
        if self.kind == "comment" and not self.comment:
            raise contradiction("comment", "kind 'comment' needs its text in comment")
        if self.kind in MARKS and self.critical not in (None, self.kind == "critical"):
            raise contradiction("critical", "kind and critical contradict each other")
        mark = self.said_critical is not None
        if not (said or self.thumb or self.correction is not None or self.comment or mark):
            raise contradiction("thumb", "say something: thumb, correction, comment or critical")
        return self

    @property
    def said_thumb(self) -> Literal["up", "down"] | None:
        """The thumb, by whichever name it was sent."""
        match self.kind:
            case "thumb_up":
                return "up"
            case "thumb_down":
                return "down"
            case _:
                return self.thumb

    @property
    def said_critical(self) -> bool | None:
        """The mark, by whichever name it was sent."""
        return self.kind == "critical" if self.kind in MARKS else self.critical


@router.post("/v1/feedback", responses=RESPONSES)
async def give_feedback(
    body: FeedbackRequest,
    http: Request,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> FeedbackStored:
    """Say what is right or wrong about an answer. The answer to this request comes when it is on disk."""
    runtime = runtime_of(http)
    id = choice_id(body.completion_id, body.choice)
    key = current().key
    rater = key.name if key is not None and "rater" not in body.model_fields_set else body.rater
    trusted = runtime.settings.curate.trusted_raters
    if key is not None and rater in trusted and rater != key.name and not key.may("review"):
        raise ApiError(
            403, f"{rater!r} is trusted: only their own key, or a reviewer's, may speak for them", param="rater"
        )
    if body.said_critical is not None and key is not None and not key.may("review"):
        message = "Only a reviewer may mark a case critical or take the mark back. The key needs scope review."
        raise ApiError(403, message, param="critical", code="missing_scope", kind="permission_error")
    said = feedback.Said(
        id,
        body.said_thumb,
        body.correction,
        body.comment,
        body.said_critical,
        rater,
        body.idempotency_key or idempotency_key,
        None if key is None else key.id,
    )
    try:
        noted = await runtime.writes.said(feedback.events_of(runtime.task, said))
    except feedback.WrongCorrection as error:
        param = f"correction.{error.field}" if error.field else "correction"
        raise invalid(param, f"Invalid 'correction': {error}", code="invalid_correction") from None
    except UnknownInteraction as error:
        raise ApiError(404, str(error), param="completion_id", code="completion_not_found") from None
    except KeyReused as error:
        raise ApiError(409, str(error), param="idempotency_key", code="idempotency_key_reused") from None
    except TooManyCritical as error:
        raise ApiError(409, f"Not stored: {error}", param="critical", code="too_many_critical") from None
    except StoreError as error:
        raise ApiError(503, f"Not stored: {error}", code="store_error", kind="server_error") from None
    for event, new in zip(noted.events, noted.new, strict=True):
        if new:
            metrics.FEEDBACK.labels(noted.version, event.kind).inc()
    return FeedbackStored(
        completion_id=body.completion_id,
        version=noted.version,
        repeated=not any(noted.new),
        events=[FeedbackEvent(id=e.id, kind=e.kind, created=int(e.created_at.timestamp())) for e in noted.events],
    )
