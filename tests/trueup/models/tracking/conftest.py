"""MLflow servers. They start together, at the first test that needs one: each takes ten seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.trueup.models.tracking.servers import MlflowServer, NotHereError, postgresql

ON_SQLITE, ON_POSTGRESQL = "server on sqlite", "server on PostgreSQL"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MlflowServer | str]]:
    """Kind -> server, or why there is none."""
    with ExitStack() as stack:
        found: dict[str, MlflowServer | str] = {}

        def start(kind: str, database: str) -> None:
            server = MlflowServer(tmp_path_factory.mktemp("server"), database)
            stack.callback(server.stop)
            found[kind] = server

        start(ON_SQLITE, f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db")
        try:
            start(ON_POSTGRESQL, stack.enter_context(postgresql()))
        except NotHereError as error:
            found[ON_POSTGRESQL] = str(error)
        for server in found.values():
            if isinstance(server, MlflowServer):
                server.wait()
        yield found


def server_of(servers: dict[str, MlflowServer | str], kind: str) -> MlflowServer:
    server = servers[kind]
    if isinstance(server, str):
        pytest.skip(server)
    return server


@pytest.fixture(scope="session")
def server(servers: dict[str, MlflowServer | str]) -> MlflowServer:
    """One that every machine can run."""
    return server_of(servers, ON_SQLITE)


@pytest.fixture(scope="session")
def postgresql_server(servers: dict[str, MlflowServer | str]) -> MlflowServer:
    return server_of(servers, ON_POSTGRESQL)
