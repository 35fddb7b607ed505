"""Laws of a store's address: what it says of where it lies, and that its credentials are nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import ModelError
from trueup.models.store_uri import check_address, datasets_beside, is_database, is_server, masked, sqlite_file

WORDS = st.text("abcxyzABC0189-._~!$'()*,;%", min_size=1)


@given(user=WORDS, password=WORDS, after=st.sampled_from(["", " said: no", "/path?x=1", ": a@b.c"]))
def test_credentials_before_a_host_are_masked_wherever_the_address_stands(user: str, password: str, after: str) -> None:
    for who in (f"{user}:{password}", user, f"{user}:p@{password}"):
        assert masked(f"a http://{who}@host:5000{after}") == f"a http://***@host:5000{after}"


@given(password=WORDS, name=st.sampled_from(["password", "sslpassword", "PWD", "access_token"]))
def test_credentials_among_parameters_are_masked(password: str, name: str) -> None:
    assert masked(f"postgresql://host/db?a=b&{name}={password}&c=d") == f"postgresql://host/db?a=b&{name}=***&c=d"


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "sqlite:////a/b@c/mlflow.db", "https://host/a@b", "sqlite:///file:x?mode=ro&uri=true"]
)
def test_an_address_without_credentials_stays_as_it_is(uri: str) -> None:
    assert masked(uri) == uri


def test_snapshots_are_beside_an_sqlite_file_and_here_where_the_store_is_elsewhere(tmp_path: Path) -> None:
    assert datasets_beside(f"sqlite:///{tmp_path}/runs/mlflow.db") == tmp_path / "runs" / "datasets"
    assert datasets_beside("sqlite:///mlruns/mlflow.db") == Path("mlruns/datasets").resolve()
    for uri in ("http://host:5000", "https://u:p@host/mlflow", "postgresql://host/db"):
        assert datasets_beside(uri) == Path("datasets")


@pytest.mark.parametrize(
    ("uri", "server", "database"),
    [
        ("sqlite:///mlflow.db", False, False),
        ("http://[::1]:5000", True, False),
        ("https://host/prefix", True, False),
        ("postgresql+psycopg://u@/db?host=/run", False, True),
        ("mysql://host/db", False, True),
        ("databricks", False, False),
    ],
)
def test_an_address_says_what_answers_there(uri: str, server: bool, database: bool) -> None:
    check_address(uri)
    assert (is_server(uri), is_database(uri)) == (server, database)


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "/a/b", "file:///a", "localhost:5000", "http://", "http://h:x", "http://["]
)
def test_what_is_no_address_is_refused_with_one_that_is(uri: str) -> None:
    with pytest.raises(ModelError, match=r"no address of an MLflow store; expected such as sqlite:.* or http:"):
        check_address(uri)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite://mlflow.db", "sqlite:mlflow.db", "sqlite:///"])
def test_an_sqlite_address_without_a_file_is_refused(uri: str) -> None:
    with pytest.raises(ModelError, match=r"names no file; expected such as sqlite:///mlruns/mlflow.db"):
        sqlite_file(uri)
