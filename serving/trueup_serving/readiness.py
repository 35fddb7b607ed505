"""What `/readyz` says: the models, the log, the online store, the aliases, the settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trueup.instants import format_instant
from trueup_serving.config import ServingConfig
from trueup_serving.environment_check import CheckedEnvironment
from trueup_serving.following import Current
from trueup_serving.verdict_check import CheckedVerdict


class ReadyEnvironment(BaseModel):
    """The model's training environment against the server's. `off`: not checked.

    `unknown`: nothing is known to differ, but something that can change a prediction is not known. The counts
    are null where nothing was compared: `arithmetic` differences can change a prediction, `other` ones do not by
    themselves, and `unknown` parts are not known of both.
    """

    model_config = ConfigDict(extra="forbid")

    status: Literal["same", "differs", "unknown", "off"]
    arithmetic: int | None
    other: int | None
    unknown: int | None


class ReadyVerdict(BaseModel):
    """The gate's verdict on the model under its alias.

    `unverified`: it has no valid one, or the server has no key to tell, and is served all the same
    (`allow_unverified`); `problem` says why. `at`: when the gate was asked, null where there is no valid verdict.
    """

    model_config = ConfigDict(extra="forbid")

    status: Literal["valid", "unverified"]
    at: str | None
    problem: str | None


class ReadyVariant(BaseModel):
    """A variant and the model behind it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    model: str
    version: str
    alias: str
    weight: int
    feature_service: str
    contract_hash: str
    environment: ReadyEnvironment
    verdict: ReadyVerdict
    problem: str | None = Field(
        description="Why it is not what its alias names now, or would not be served at a start."
    )


class ReadyLog(BaseModel):
    """The served log, in rows. `error`: why the last write failed."""

    model_config = ConfigDict(extra="forbid")

    healthy: bool
    queued: int
    written: int
    dropped: int
    failed: int
    error: str | None


class ReadyAliases(BaseModel):
    """How aliases are followed. `poll_seconds`: 0 where they are not. `polled_at`: when all were last asked for.

    `swaps`: versions that took the place of others since the start.
    """

    model_config = ConfigDict(extra="forbid")

    poll_seconds: float
    polled_at: str | None
    swaps: int


class ReadyServing(BaseModel):
    """The settings that decide answers, and the hash of them that each logged row names."""

    model_config = ConfigDict(extra="forbid")

    version: str
    settings: dict[str, int | float | str | None]


class Ready(BaseModel):
    """What the server stands on now. `online_store`: `reachable`, or why it is not."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ready", "degraded", "unavailable"]
    experiment: str
    experiments: dict[str, str] = Field(description="Name -> hash of the split, which each logged row names.")
    shadow: bool
    variants: list[ReadyVariant]
    log: ReadyLog
    online_store: str
    aliases: ReadyAliases
    serving: ReadyServing


def ready_of(current: Current, config: ServingConfig) -> Ready:
    """What the server stands on now. Asks the online store; may take as long as a read."""
    service, following = current.served.service, current.following
    readiness = service.readiness()
    log = readiness.log
    degraded = readiness.degraded or following.problems
    version = config.version()
    return Ready(
        status="unavailable" if not readiness.ready else "degraded" if degraded else "ready",
        experiment=service.design.name,
        experiments={each.name: each.hash for each in service.design.experiments},
        shadow=service.design.shadow,
        variants=[
            ReadyVariant(
                name=name,
                model=model.ref[0],
                version=model.ref[1],
                alias=model.variant.alias,
                weight=model.variant.weight,
                feature_service=model.contract.service,
                contract_hash=model.contract.hash,
                environment=_ready_environment(model.environment),
                verdict=_ready_verdict(model.verdict),
                problem=following.problems.get(name),
            )
            for name, model in service.models.items()
        ],
        log=ReadyLog(
            healthy=log.error is None and not log.closed,
            queued=log.queued,
            written=log.written,
            dropped=log.dropped,
            failed=log.failed,
            error=log.error,
        ),
        online_store=readiness.online_store or "reachable",
        aliases=ReadyAliases(
            poll_seconds=config.alias_poll_seconds,
            polled_at=None if following.polled_at is None else format_instant(following.polled_at),
            swaps=following.swaps,
        ),
        serving=ReadyServing(version=version.hash, settings=version.to_json()),
    )


def _ready_environment(checked: CheckedEnvironment | None) -> ReadyEnvironment:
    if checked is None or checked.found is None:
        status: Literal["off", "unknown"] = "off" if checked is None else "unknown"
        return ReadyEnvironment(status=status, arithmetic=None, other=None, unknown=None)
    arithmetic = len(checked.found.arithmetic.differences)
    return ReadyEnvironment(
        status="differs" if checked.found else "unknown" if checked.found.arithmetic.unknown else "same",
        arithmetic=arithmetic,
        other=len(checked.found.differences) - arithmetic,
        unknown=len(checked.found.unknown),
    )


def _ready_verdict(checked: CheckedVerdict) -> ReadyVerdict:
    if checked.at is None:
        return ReadyVerdict(status="unverified", at=None, problem=checked.problem)
    return ReadyVerdict(status="valid", at=format_instant(checked.at), problem=None)
