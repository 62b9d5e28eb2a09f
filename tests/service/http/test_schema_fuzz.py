"""The published schema is true: what it allows is never answered with a 5xx, and answers fit what it promises."""

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

# A deadline of 1 ms earns a documented 503 or 504; only an undocumented status, or 500, is a fault.
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="session")
def published(usual_on_port: Listening) -> BaseSchema:
    """The schema of the running service, without the routes whose 503 is an answer and not a fault."""
    loaded = schemathesis.openapi.from_url(f"http://127.0.0.1:{usual_on_port.port}/openapi.json")
    return loaded.exclude(path=["/readyz", "/startupz", "/livez"]).exclude(path_regex="activate")


def test_whatever_the_schema_generates_is_answered_as_it_promises(published: BaseSchema) -> None:
    for found in published.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an invalid schema fails right here

        @given(case=operation.as_strategy())
        @settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case: Any) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            assert answer.status_code != 500

        check()
