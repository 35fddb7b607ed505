"""Aliases are followed while the server answers: a version that an alias moves to is loaded beside the one that is
served, and then takes its place between two requests.

A thread of its own asks MLflow. Requests read one attribute (`Current.served`) and never wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from trueup.errors import TrueupError
from trueup.instants import Clock, utc_now
from trueup_serving.loading import Loader
from trueup_serving.schemas import RequestSchema
from trueup_serving.service import ServedModel, Service

logger = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long a stop waits for a poll that is under way; MLflow may take minutes to say that it is away."""


@dataclass(frozen=True)
class Served:
    """What answers requests: a service, and the schema of the requests to its models."""

    service: Service
    schema: RequestSchema

    @classmethod
    def of(cls, service: Service, max_rows: int) -> Served:
        """Raises ContractError, InputError for models whose requests cannot be one (see `RequestSchema`)."""
        contracts = (model.contract for model in service.models.values())
        return cls(service, RequestSchema(contracts, service.design.unit, service.models, max_rows))


@dataclass(frozen=True)
class Following:
    """How the aliases are followed. problems: variant -> why it is not served as its alias says now.

    polled_at: when all of them were last asked for. failed: polls that found a problem. swaps: versions that took the
    place of others.
    """

    problems: Mapping[str, str] = field(default_factory=dict)
    polled_at: datetime | None = None
    polls: int = 0
    failed: int = 0
    swaps: int = 0


class Current:
    """What is served now. Each attribute is replaced whole by one thread, and read by many."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.following = Following()


class Follower:
    """Asks for the aliases every `seconds`, until it is stopped."""

    def __init__(self, loader: Loader, current: Current, max_rows: int, seconds: float, clock: Clock = utc_now) -> None:
        self._loader = loader
        self._current = current
        self._max_rows = max_rows
        self._seconds = seconds
        self._clock = clock
        self._stopped = threading.Event()
        # A daemon: an MLflow that does not answer may not keep a stopped server from ending.
        self._thread = threading.Thread(target=self._run, name="trueup-aliases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended, or is not worth the wait."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self.poll()

    def poll(self) -> None:
        """Asks once, and swaps what moved. What fails is told, and tried again at the next poll."""
        before = self._current.served.service
        problems: dict[str, str] = {}
        models = self._newest(before, problems)
        moved = [name for name, model in models.items() if model.ref != before.models[name].ref]
        if any(model is not before.models[name] for name, model in models.items()):
            try:
                served = Served.of(self._loader.with_models(before, list(models.values())), self._max_rows)
            except Exception as error:  # noqa: BLE001 - whatever it is, the old models answer on
                problems |= dict.fromkeys(moved, _told(error))
                moved = []
            else:
                self._swap(before, served, moved)
        self._tell(problems, len(moved))

    def _newest(self, before: Service, problems: dict[str, str]) -> dict[str, ServedModel]:
        """Variant -> its model as its alias says, or as it is, where that cannot be served."""
        asked: dict[tuple[str, str], ServedModel | str] = {}
        models = {}
        for name, model in before.models.items():
            key = (model.variant.model, model.variant.alias)
            if key not in asked:  # two variants of one alias are one model
                asked[key] = self._ask(model)
            found = asked[key]
            if isinstance(found, str):
                problems[name] = found
                found = model
            elif found.verdict.at is None and not self._loader.verdicts.allow_unverified:
                problems[name] = f"{found.verdict.problem} It is served on; a start would refuse it."
            same = (found.ref, found.verdict) == (model.ref, model.verdict)
            models[name] = model if same else replace(found, variant=model.variant)
        return models

    def _ask(self, model: ServedModel) -> ServedModel | str:
        """The model that the alias of `model` names now, or why that cannot be served."""
        try:
            version = self._loader.resolve(model.variant)
            if str(version.version) != model.ref[1]:
                return self._loader.model(model.variant, version)
            verdict = self._loader.verdicts.check_again(version, model.variant.alias, model.verdict)
            return replace(model, verdict=verdict)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old model answers on
            return _told(error)

    def _swap(self, before: Service, served: Served, moved: list[str]) -> None:
        # The old models go with their last request. No collection here: it would hold requests up for 0.3 s.
        self._current.served = served
        for name in moved:
            old, new = ("@".join(models[name].ref) for models in (before.models, served.service.models))
            logger.warning("variant %s: %s is served now, %s was", name, new, old)

    def _tell(self, problems: Mapping[str, str], swaps: int) -> None:
        was = self._current.following
        for name, problem in problems.items():
            if was.problems.get(name) != problem:  # once, and not at every poll
                logger.error("variant %s: its alias is not followed: %s", name, problem)
        for name in was.problems.keys() - problems.keys():
            logger.warning("variant %s: its alias is followed again", name)
        self._current.following = Following(
            problems, self._clock(), was.polls + 1, was.failed + bool(problems), was.swaps + swaps
        )


def _told(error: Exception) -> str:
    if not isinstance(error, TrueupError):
        logger.error("following an alias failed", exc_info=error)
        return f"{type(error).__name__}: {error}"
    return str(error)
