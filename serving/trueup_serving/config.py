"""The server's settings: one TOML file, overridden by `TRUEUP_SERVING_*` variables, overridden by the command line.

A nested setting is `TRUEUP_SERVING_LOG__BATCH_ROWS=100`. Where the repository, the models and the log are
comes from trueup's own settings (`TRUEUP_REPO`...) unless the server is told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from trueup.errors import InputError
from trueup.eventlog.serving_version import Fallback, ServingVersion
from trueup.eventlog.writer import LogLimits
from trueup.experiments.design import Portfolio
from trueup.experiments.toml import ExperimentTable, load_experiment
from trueup.settings import Settings
from trueup.toml_files import read_toml

PREFIX = "TRUEUP_SERVING_"
_NESTED = "__"
SERVICE_THREADS = 1
"""Two would only take turns at Python's lock (measured in serving/README.md)."""

ClockName = Literal["wall", "request"]
"""wall: features are read as of now. request: as of each request's own `X-Trueup-Now` header (a replay)."""


EnvironmentCheck = Literal["off", "warn", "refuse"]
"""What to do when a model is loaded in another environment than it was trained in, and that can change its numbers."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogConfig(_Section):
    """See `trueup.eventlog.writer.LogLimits`."""

    queue_rows: int = LogLimits.queue_rows
    batch_rows: int = LogLimits.batch_rows
    batch_seconds: float = LogLimits.batch_seconds


class LimitsConfig(_Section):
    """What a request may bring, and how many may be under way at once. More is refused, never kept waiting."""

    max_rows: int = Field(default=500, ge=1)
    max_body_bytes: int = Field(default=1_048_576, ge=1)
    concurrency: int = Field(default=64, ge=1)


class ServerConfig(_Section):
    """Where to listen. `uds` (a unix socket's path) wins over host and port; port 0 takes a free one.

    stop_seconds: how long running requests may take to end when the server is told to stop. workers: processes; there
    is one.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    uds: Path | None = None
    stop_seconds: int = Field(default=30, ge=0)
    workers: int = 1

    @field_validator("workers")
    @classmethod
    def _one(cls, workers: int) -> int:
        if workers != 1:
            raise PydanticCustomError(
                "one_worker",
                "a server is one process, with a log and metrics of its own; for more, start more servers behind a "
                "load balancer, they may share log_dir",
            )
        return workers


class ServingConfig(BaseSettings):
    """Relative paths are relative to the working directory, as everywhere in trueup."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=_NESTED, extra="forbid", frozen=True, validate_default=True
    )

    repo: Path = Field(default_factory=lambda: Settings().repo)
    """The Feast repository."""
    tracking_uri: str = Field(default_factory=lambda: Settings().tracking_uri)
    """MLflow's registry."""
    log_dir: Path = Field(default_factory=lambda: Settings().log_dir)
    """Where served rows are logged."""
    clock: ClockName = "wall"
    online_timeout_seconds: float = Field(default=2.0, gt=0)
    """How long one read of the online store may take; then `fallback` says what becomes of the request."""
    fallback: Fallback = "refuse"
    """refuse: it is answered with a 503. missing: it is predicted of missing features, and says so, as its rows do."""
    alias_poll_seconds: float = Field(default=10.0, ge=0)
    """How often the aliases are asked for, so that one that moves is followed; 0: at start only."""
    environment_check: EnvironmentCheck = "warn"
    """warn: log what differs and can change a number. refuse: do not start then, nor where it is not known."""
    gate_key: Path | None = Field(default_factory=lambda: Settings().gate_key)
    """The gate's key; its public half is enough. An alias whose model has no valid verdict is refused."""
    allow_unverified: bool = False
    """Serve such a model all the same, without a key any model, and say so in /readyz. For development."""
    experiment: ExperimentTable | None = None
    """The one experiment, written into the server's own settings."""
    experiments: tuple[Path, ...] = ()
    """Or files with one experiment each, relative to the settings' file; several share a layer."""
    log: LogConfig = LogConfig()
    limits: LimitsConfig = LimitsConfig()
    server: ServerConfig = ServerConfig()

    @property
    def design(self) -> Portfolio:
        """The experiments. Raises InputError for weights, names, layers or units that cannot be, and for none."""
        if self.experiment is not None and self.experiments:
            raise InputError(
                "experiments",
                "experiments: there is an [experiment] in the settings too; name it in a file of its own.",
            )
        if self.experiment is not None:
            return Portfolio((self.experiment.experiment(),))
        return Portfolio(tuple(load_experiment(path) for path in self.experiments))

    @property
    def log_limits(self) -> LogLimits:
        """Raises InputError for limits under which a request of `max_rows` rows could never be logged."""
        limits = LogLimits(self.log.queue_rows, self.log.batch_rows, self.log.batch_seconds)
        models = len(self.design.variants) if self.design.shadow else 1
        if limits.queue_rows < self.limits.max_rows * models:
            raise InputError(
                "log.queue_rows",
                f"log.queue_rows: {limits.queue_rows} is less than one request of limits.max_rows "
                f"({self.limits.max_rows}) rows scored by {models} models, which would always be dropped.",
            )
        return limits

    def version(self, env: Mapping[str, str] = os.environ) -> ServingVersion:
        """These settings as the log names them. env: of the process that serves."""
        threads = env.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        return ServingVersion(
            workers=self.server.workers,
            service_threads=SERVICE_THREADS,
            model_threads=int(threads) if threads.isdecimal() else None,
            concurrency=self.limits.concurrency,
            max_rows=self.limits.max_rows,
            max_body_bytes=self.limits.max_body_bytes,
            online_timeout_seconds=self.online_timeout_seconds,
            stop_seconds=self.server.stop_seconds,
            fallback=self.fallback,
            clock=self.clock,
            log_queue_rows=self.log.queue_rows,
            log_batch_rows=self.log.batch_rows,
            log_batch_seconds=self.log.batch_seconds,
        )


def load_config(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, *, env: Mapping[str, str] = os.environ
) -> ServingConfig:
    """Settings of the file, the environment and `overrides`, the later winning. InputError names the setting."""
    data = dict(read_toml(path, field="config", what=f"config: {path}")) if path is not None else {}
    if path is not None and isinstance(data.get("experiments"), list):
        data["experiments"] = [path.parent / str(item) for item in data["experiments"]]
    _check_names(env)

    class FromFile(ServingConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=dict(data))

    try:
        config: ServingConfig = FromFile(**(overrides or {}))
    except ValidationError as error:
        raise _named(error, path) from error
    # What only the values can say is checked here, so that a server never starts to find out later.
    _ = config.design, config.log_limits
    return config


def _check_names(env: Mapping[str, str]) -> None:
    """A variable that names no setting is a mistyped one: it would change nothing, and nobody would know."""
    for name in sorted(env):
        if name.upper().startswith(PREFIX):
            setting = name.upper().removeprefix(PREFIX).partition(_NESTED)[0].lower()
            if setting not in ServingConfig.model_fields:
                raise InputError(
                    name,
                    f"{name} names no setting of the server; it has {', '.join(ServingConfig.model_fields)}.",
                )


def _named(error: ValidationError, path: Path | None) -> InputError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    came = "" if first["type"] == "missing" else f" (got {first['input']!r})"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InputError(
        name,
        f"{name}: {first['msg']}{came}{more}.",
        hint=f"Set it in {path}, or as {PREFIX}{name.upper().replace('.', _NESTED)}." if path else None,
    )
