"""`monitoring.toml`: what is run how often, and what alerts go by. For `trueup monitor` and `trueup monitoring`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from trueup.errors import InputError
from trueup.instants import parse_duration
from trueup.monitoring.alerts.settings import AlertSettings, Objectives, Scrape
from trueup.toml_files import read_toml


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return parse_duration(value, field="duration")
        except InputError as error:
            raise ValueError(str(error)) from error
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta())]
"""Written as `15m`, `1h`, `7d`."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobSection(_Section):
    """A job. every: how often. timeout: after that it is stopped, and counts as not run."""

    every: Duration
    timeout: Duration = timedelta(hours=1)
    enabled: bool = True


class WindowedJob(JobSection):
    """One that looks back. window: how far."""

    window: Duration


class MaterializeJob(_Section):
    """Each view on its own declared cadence (`trueup.cadence`); `every` overrules all of them. undeclared: of views
    that declare none."""

    every: Duration | None = None
    undeclared: Duration = timedelta(hours=1)
    timeout: Duration = timedelta(hours=1)
    enabled: bool = True


class ParityJob(WindowedJob):
    """`trueup parity all`, but for the distributions. sample: share of the entities. skip: checks that are left out,
    such as `expectations` where no model has a suite: what compares nothing is told as a check that could not run."""

    sample: float = Field(default=1.0, gt=0, le=1)
    fail_on: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()


class QualityJob(JobSection):
    """`trueup experiment readout` of each experiment."""


class LedgerJob(WindowedJob):
    """`trueup diagnose` of each model of the experiments."""


class Jobs(_Section):
    """What is run, and how often."""

    materialize: MaterializeJob = MaterializeJob()
    freshness: JobSection = JobSection(every=timedelta(minutes=5))
    parity: ParityJob = ParityJob(every=timedelta(hours=1), window=timedelta(days=1))
    drift: WindowedJob = WindowedJob(every=timedelta(hours=6), window=timedelta(days=7))
    quality: QualityJob = QualityJob(every=timedelta(hours=6))
    ledger: LedgerJob = LedgerJob(every=timedelta(days=1), window=timedelta(days=14))


class MonitorSection(_Section):
    """The process. state: where what was done is remembered, relative to the working directory. at_once: jobs that run
    side by side. stop_seconds: how long running jobs may go on when it is told to stop. now: of a replay, the instant
    that windows end at and reads are as of; the jobs' own cadence stays that of the clock."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)
    state: Path = Path("build/monitor")
    at_once: int = Field(default=2, ge=1)
    stop_seconds: float = Field(default=20.0, ge=0)
    now: AwareDatetime | None = None


class MonitoringConfig(_Section):
    """experiments: their files, relative to this one. services: feature services whose views are watched; all of the
    repository's by default."""

    experiments: tuple[Path, ...] = ()
    services: tuple[str, ...] | None = None
    monitor: MonitorSection = MonitorSection()
    jobs: Jobs = Jobs()
    alerts: AlertSettings = AlertSettings()
    slo: Objectives = Objectives()
    scrape: Scrape = Scrape()


def load_monitoring(path: Path) -> MonitoringConfig:
    """Raises InputError that names the setting."""
    data = dict(read_toml(path, field="config", what=f"config: {path}"))
    if isinstance(data.get("experiments"), list):
        data["experiments"] = [path.parent / str(item) for item in data["experiments"]]
    try:
        return MonitoringConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(name, f"{path}: {name}: {first['msg']} (got {first['input']!r}){more}.") from error
