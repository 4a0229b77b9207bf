"""Schemathesis drives the OpenAPI document: whatever it thinks of, the service does not fail."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.serving.live import Live

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance  # noqa: E402

REFUSALS_THAT_WAIT = {503, 504}
"""Said on purpose (nothing loaded yet, out of time); any other 5xx is a failure."""


@pytest.fixture(scope="module")
def document(live: Live) -> object:
    return schemathesis.openapi.from_url(f"{live.url}/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_that_the_document_allows_makes_the_service_fail(case) -> None:  # type: ignore[no-untyped-def]
    response = case.call(timeout=60)
    checks = [response_schema_conformance, status_code_conformance]
    if response.status_code not in REFUSALS_THAT_WAIT:
        checks.append(not_a_server_error)
    case.validate_response(response, checks=checks)
