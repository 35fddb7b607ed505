"""What `/readyz` says: the models, the log, the online store, the aliases, the settings."""

from __future__ import annotations

from typing import Literal

from trueup.instants import format_instant
from trueup_serving.config import ServingConfig
from trueup_serving.environment_check import CheckedEnvironment
from trueup_serving.following import Current
from trueup_serving.schemas import (
    Ready,
    ReadyAliases,
    ReadyEnvironment,
    ReadyLog,
    ReadyServing,
    ReadyVariant,
    ReadyVerdict,
)
from trueup_serving.verdict_check import CheckedVerdict


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
