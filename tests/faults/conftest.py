"""The service fixtures of `tests/service`, for tests that break something."""

from tests.service.conftest import bundle, serve, usual

__all__ = ["bundle", "serve", "usual"]
