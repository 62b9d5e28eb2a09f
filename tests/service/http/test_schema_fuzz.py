"""The published schema is true: requests that it allows never get a 5xx, and responses match it."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.service import Listening

# A deadline of 1 ms may get a documented 503 or 504. Only 500 and undocumented statuses are failures.
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="session")
def published(usual_on_port: Listening) -> BaseSchema:
    """The schema of the running service, without the routes whose 503 is a regular answer."""
    loaded = schemathesis.openapi.from_url(f"http://127.0.0.1:{usual_on_port.port}/openapi.json")
    return loaded.exclude(path=["/readyz", "/startupz", "/livez"]).exclude(path_regex="activate")


@pytest.mark.timeout(600)  # with the thorough profile
def test_every_request_of_the_schema_gets_a_documented_response(published: BaseSchema) -> None:
    for found in published.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an invalid schema fails right here

        @given(case=operation.as_strategy())
        @settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case: Any) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            assert answer.status_code != 500

        check()
