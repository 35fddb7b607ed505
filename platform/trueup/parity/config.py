"""What a team settles about parity: one TOML file, `parity.toml` beside feature_store.yaml or wherever it is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from trueup.errors import InputError
from trueup.eventlog.serving_version import SETTINGS
from trueup.parity.causes import BY_NAME, UNEXPLAINED
from trueup.parity.compare import Tolerance
from trueup.parity.policy import Policy
from trueup.toml_files import load_model

CONFIG_FILE = "parity.toml"
EXAMPLE = """
fail_on = ["unexplained", "late_arrival"]     # absent: any mismatch fails

[tolerance.weather__wind_speed]               # absent: exact
absolute = 1e-9

[allowed]                                     # share of a feature's cells that may mismatch; absent: none
plane__seats = 0.001

[null_default]                                # what a serving layer puts in place of null, to be named so
plane__seats = 0

[serving]                                     # what rows should be served under; absent: nothing is expected
fallback = "refuse"
online_timeout_seconds = 2.0

[drift]
false_alarm_rate = 0.01
[drift.min_effect]                            # smallest distance that counts, by feature
weather__wind_speed = 0.1
"""
"""Every section there is."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToleranceSection(_Section):
    """How far apart two numbers may be: see `trueup.parity.compare.Tolerance`."""

    absolute: float = Field(0.0, ge=0)
    relative: float = Field(0.0, ge=0)
    ulps: int = Field(0, ge=0)


class DriftSection(_Section):
    """false_alarm_rate: of a feature that did not change. min_effect: feature -> smallest distance that counts."""

    false_alarm_rate: float = Field(0.01, gt=0, lt=1)
    min_effect: dict[str, float] = Field(default_factory=dict)


class ParityConfig(_Section):
    """The file as values. Feature names are those of a frame, `view__feature`."""

    fail_on: tuple[str, ...] | None = None
    tolerance: dict[str, ToleranceSection] = Field(default_factory=dict)
    allowed: dict[str, float] = Field(default_factory=dict)
    null_default: dict[str, bool | int | float | str] = Field(default_factory=dict)
    serving: dict[str, int | float | str] = Field(default_factory=dict)
    drift: DriftSection = DriftSection()

    @property
    def tolerances(self) -> Mapping[str, Tolerance]:
        return {name: Tolerance(**section.model_dump()) for name, section in self.tolerance.items()}

    def policy(self, fail_on: Iterable[str] | None = None) -> Policy:
        """fail_on: causes named on the command line; they win over the file's."""
        chosen = tuple(fail_on) if fail_on is not None else self.fail_on
        return Policy(None if chosen is None else checked_causes(chosen), dict(self.allowed))

    def check_features(self, known: Iterable[str]) -> None:
        """Raises InputError for a feature that nothing checked has: a setting that settles nothing is a mistake."""
        names = set(known)
        for section in ("tolerance", "allowed", "null_default"):
            for feature in getattr(self, section):
                if feature not in names:
                    raise InputError(
                        f"{section}.{feature}",
                        f"{CONFIG_FILE}: [{section}] names {feature!r}, which no checked feature service has.",
                        hint=f"Features: {', '.join(sorted(names)[:12])}{', ...' if len(names) > 12 else ''}.",
                    )


def load_config(path: Path) -> ParityConfig:
    """Raises InputError that names the file, the key, what came and what was expected."""
    hint = "`trueup parity config --example` shows every section there is."
    config = load_model(path, ParityConfig, field="config", what=str(path), hint=hint)
    for feature, share in config.allowed.items():
        if not 0 <= share <= 1:
            raise InputError(f"allowed.{feature}", f"{path}: allowed.{feature} is {share}; expected a share, 0 to 1.")
    for feature, distance in config.drift.min_effect.items():
        if not distance >= 0:
            where = f"drift.min_effect.{feature}"
            raise InputError(where, f"{path}: {where} is {distance}; expected a distance, 0 or more.")
    for setting in config.serving:
        if setting not in SETTINGS:
            raise InputError(
                f"serving.{setting}",
                f"{path}: serving.{setting} is no setting that a server's configuration has.",
                hint=f"Expected one of {', '.join(SETTINGS)}.",
            )
    if config.fail_on is not None and not checked_causes(config.fail_on):
        raise InputError("fail_on", f"{path}: fail_on names no cause.", hint="Leave it out: any mismatch then fails.")
    return config


def find_config(repo: Path, path: Path | None = None) -> ParityConfig:
    """The named file's, else the repository's own where it has one, else the defaults (exact, any mismatch fails)."""
    if path is not None:
        return load_config(path)
    beside = repo / CONFIG_FILE
    return load_config(beside) if beside.is_file() else ParityConfig()


def checked_causes(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each a cause or `unexplained`; InputError for one that is not."""
    known = (*BY_NAME, UNEXPLAINED)
    for name in (chosen := tuple(names)):
        if name not in known:
            raise InputError("fail_on", f"fail_on: there is no cause {name!r}; there are {', '.join(known)}.")
    return chosen
