"""Where things are. Command-line options win over `TRUEUP_*` variables, those over the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from trueup.errors import InputError


class Settings(BaseSettings):
    """Paths and addresses every command shares. Relative paths are relative to the working directory."""

    model_config = SettingsConfigDict(env_prefix="TRUEUP_", extra="ignore")

    def __init__(self, **given: Any) -> None:
        """Raises InputError for a variable that cannot be what it is for."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = f"TRUEUP_{'_'.join(map(str, first['loc'])).upper()}"
            raise InputError(name, f"{name}: {first['msg']} (got {first['input']!r}).") from error

    repo: Path = Path("feature_repo")
    """The Feast repository (the folder with feature_store.yaml)."""
    tracking_uri: str = "sqlite:///mlruns/mlflow.db"
    """MLflow's tracking and registry store: an SQLite file or a server."""
    datasets: Path | None = None
    """Where training snapshots are kept; by default `datasets/` beside an SQLite tracking store, else here."""
    log_dir: Path = Path("build/served")
    """Where the server writes, and parity reads, served rows."""
    outcomes: Path = Path("build/outcomes")
    """Where imported outcomes are kept."""
    outcomes_token: SecretStr | None = None
    """Bearer token for the address that outcomes are imported from."""
    ledger: Path | None = None
    """The materialization ledger; by default the one the repository's batch engine names."""
    gate_key: Path | None = None
    """The gate's key: private to sign verdicts (`trueup promote`); public is enough to check them."""
    gate_latency_p99_ms: float = Field(default=250.0, gt=0)
    """What the gate lets a server with the candidate take for a request of one row, at the 99th percentile."""
    gate_error_rate: float = Field(default=0.001, ge=0, le=1)
    """The share of requests that such a server may leave without an answer."""
    gate_requests: int = Field(default=200, ge=1)
    """How many requests of one row the gate sends it."""
    gate_auc_band: float = Field(default=0.05, gt=0, le=1)
    """The widest noise band of the holdout metric that still decides something."""
    docs_url: str | None = None
    """Address of the page that describes the causes (`platform/trueup/parity/README.md`), for links in summaries."""


def feature_repo(path: Path) -> Path:
    """The absolute path of a Feast repository; InputError when it is none."""
    repo = path.resolve()
    if not (repo / "feature_store.yaml").is_file():
        raise InputError(
            "repo",
            f"repo: {path} has no feature_store.yaml, so it is not a Feast repository.",
            hint="Name one with --repo or TRUEUP_REPO.",
        )
    return repo
