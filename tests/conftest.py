"""What every test can ask for: private instances of the real services, started when the first test needs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.services.docker_engine import DockerEngine
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

_NOTHING_MAY_BE_SKIPPED = os.environ.get("CI", "").lower() in ("1", "true")


def _skip_is_failure(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _NOTHING_MAY_BE_SKIPPED and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"with CI=true nothing may be skipped. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    report = yield
    _skip_is_failure(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    _skip_is_failure(report)
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests: make databases in it, leave it running."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def postgres_factory() -> Iterator[Callable[..., PostgresServer]]:
    """PostgreSQL servers of the test's own, to be stopped, paused and killed."""
    yield from _closing(PostgresServer)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis with a password for all tests."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_factory() -> Iterator[Callable[..., RedisServer]]:
    """Redis servers of the test's own, with settings of its own."""
    yield from _closing(RedisServer)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """One Docker engine for all tests; tests that start containers ask for `docker_clean`."""
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture
def docker_clean(docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    """The Docker engine without containers, and without those of this test afterwards."""
    docker_engine.clean()
    yield docker_engine
    docker_engine.clean()


def _closing(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A factory whose products are closed after the test, the last first."""
    made: list[Any] = []

    def factory(*args: Any, **kwargs: Any) -> Any:
        made.append(make(*args, **kwargs))
        return made[-1]

    yield factory
    for product in reversed(made):
        product.close()
