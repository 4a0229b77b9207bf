"""Schemathesis drives the OpenAPI document: whatever it thinks of, the service does not fail."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.serving.live import Live

OPERATIONS = (
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "POST /v1/feedback",
    "GET /v1/models",
    "GET /v1/models/{model}",
)


def operations(live: Live) -> dict[str, Any]:
    """Every operation of the document by method and path."""
    schema = schemathesis.openapi.from_url(f"{live.url}/v1/openapi.json")
    found = [result.ok() for result in schema.get_all_operations()]
    return {f"{operation.method.upper()} {operation.path}": operation for operation in found}


def test_the_document_names_every_operation(live: Live) -> None:
    assert set(operations(live)) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_that_the_document_allows_makes_the_service_fail(live: Live, name: str) -> None:
    @given(case=operations(live)[name].as_strategy())
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def drive(case: Any) -> None:
        response = case.call(timeout=60)
        checks = [not_a_server_error, status_code_conformance]
        if response.headers.get("content-type", [""])[0].startswith("application/json"):
            checks.append(response_schema_conformance)
        case.validate_response(response, checks=checks)

    drive()
