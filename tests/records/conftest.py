"""What holds of records holds on SQLite and on PostgreSQL: tests run on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from padim.records.server_url import VARIABLE
from tests.records.postgresql_server import PostgresqlServer, binaries, running

_NO_SERVER = "no PostgreSQL is installed: neither Debian's postgresql nor PyPI's pgserver"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A real PostgreSQL server, one for each process of tests."""
    if binaries() is None:
        pytest.skip(_NO_SERVER)
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own server is left alone."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def each_database(
    request: pytest.FixtureRequest, no_server: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Run a test with the workspace's SQLite file, or with an empty database of a server."""
    if request.param == "postgresql":
        with request.getfixturevalue("postgresql").database() as url:
            monkeypatch.setenv(VARIABLE, url)
            yield "postgresql"
    else:
        yield "sqlite"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules that say ``ON_EACH_DATABASE`` on both, except those of many workspaces."""
    wanted = getattr(metafunc.module, "ON_EACH_DATABASE", False)
    asked = "each_database" in metafunc.fixturenames
    if asked or (wanted and not getattr(metafunc.function, "is_hypothesis_test", False)):
        if not asked:
            metafunc.fixturenames.insert(0, "each_database")
        metafunc.parametrize("each_database", ["sqlite", "postgresql"], indirect=True)
