"""The parts of `trueup parity all`: which checks there is something for, and how each is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from trueup.cli.parity.distribution import check_distribution_of
from trueup.cli.parity.online import check_online_store, open_online
from trueup.cli.parity.place import Place
from trueup.cli.parity.served import check_served_log, is_own_log
from trueup.errors import StoreError
from trueup.instants import format_instant

if TYPE_CHECKING:
    from datetime import datetime

    from trueup.parity.job import Part
    from trueup.parity.report import Report
    from trueup.parity.results import Check


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. now: the instant the online store is read as of, where it is named.
    started_at: of the job, which is `now` where nothing else says. checks: None for those there is something for.
    skip: of those, which ones not."""

    place: Place
    service: str | None
    models: list[str] | None
    start: datetime | None
    end: datetime | None
    sample: float
    now: datetime | None
    started_at: datetime
    checks: tuple[Check, ...] | None
    skip: tuple[Check, ...] = ()

    def inputs(self) -> dict[str, Any]:
        """What makes it the same job when it is started again: options, settings, definitions, log and ledger."""
        from trueup.contracts.stored import stored_views
        from trueup.models.store_uri import masked
        from trueup.parity.job import files_state

        place = self.place
        return {
            "trueup": version("trueup"),
            "repository": str(place.repo),
            "definitions": stored_views(place.store, self.service, None).contract.hash,
            "log": str(place.log),
            "log files": files_state([place.log]),
            "ledger": files_state([place.ledger.path]),
            "tracking": masked(place.tracking_uri),
            "service": self.service,
            "models": sorted(self.models or ()),
            "since": _text(self.start),
            "until": _text(self.end),
            "now": _text(self.now),
            "sample": self.sample,
            "checks": list(self.checks or ()),
            "skip": list(self.skip),
            "settings": place.config.model_dump(mode="json", exclude={"fail_on", "allowed"}),
        }

    def parts(self) -> tuple[list[Part], dict[Check, str]]:
        """The job's parts in order, and check -> why it is not among them. A check that was named is always run."""
        from trueup.parity.job import Part
        from trueup.parity.results import CHECKS

        every = {
            "served": partial(self._served),
            "distribution": partial(self._distribution),
            "replay": partial(self._replay),
            "transforms": partial(self._transforms),
            "expectations": partial(self._expectations),
        }
        not_run: dict[Check, str] = {}
        parts: list[Part] = []
        idle = self._nothing_for()
        for check in CHECKS:
            if check in self.skip or (self.checks is not None and check not in self.checks):
                continue
            if self.checks is None and check in idle:
                not_run[check] = idle[check]
                continue
            if check == "online":
                parts += self._online()
            else:
                parts.append(Part(check, self._subject(check), every[check]))
        return parts, not_run

    def _subject(self, check: Check) -> str:
        return self.service or "all services" if check == "transforms" else str(self.place.log)

    def _nothing_for(self) -> Mapping[Check, str]:
        """Check -> why there is nothing for it."""
        idle: dict[Check, str] = {}
        if not self.place.store.list_on_demand_feature_views():
            idle["transforms"] = "the repository has no on-demand feature view"
        from_log: tuple[Check, ...] = ("served", "distribution", "replay", "expectations")
        if not self.place.log_is_named and not self.place.log.exists():
            return idle | dict.fromkeys(from_log, f"there is no served log at {self.place.log}")
        if not self.place.log_is_named and (others := self._other_projects()):
            reason = f"the log at {self.place.log} is of {', '.join(others)}, not of {self.place.store.project}"
            return idle | dict.fromkeys(from_log, reason)
        if not is_own_log(self.place):
            return idle | dict.fromkeys(from_log[1:], f"the log at {self.place.log} names no registered model")
        return idle

    def _other_projects(self) -> list[str]:
        """The Feast projects that the log is of, where none of them is the repository's."""
        from trueup.eventlog.reader import find_logs, read_contract

        projects = sorted({read_contract(directory).project for directory in find_logs(self.place.log)})
        return [] if self.place.store.project in projects else projects

    def _online(self) -> list[Part]:
        """A part for each group of views that share their keys: they are read together.

        A store that does not answer is one part, which could not run: the other checks can do without it.
        """
        from trueup.parity.evidence.online import view_groups
        from trueup.parity.job import Part

        try:
            stored, rows = open_online(self.place, self.service, None)
        except StoreError as error:
            return [Part("online", self.service or "all feature views", partial(_unreached, error))]
        now = self.now or rows.now or self.started_at
        groups = [[alone.views[0].table for alone in group] for group in view_groups(stored.contract, None)]
        parts = [
            Part(
                "online",
                ", ".join(tables),
                partial(self._online_group, tables, stored=stored, rows=rows, now=now),
            )
            for tables in groups
        ]
        if stored.problems:
            parts.append(Part("online", "views that cannot be read", partial(_unreadable, dict(stored.problems), now)))
        return parts

    def _online_group(self, tables: list[str], *, stored: Any, rows: Any, now: datetime) -> Report:
        return check_online_store(
            self.place, stored, rows, now=now, sample=self.sample, progress=_unheard, views=tables
        )

    def _served(self) -> Report:
        return check_served_log(
            self.place,
            service=self.service,
            columns=None,
            start=self.start,
            end=self.end,
            models=self.models,
            rule=None,
            sample=self.sample,
            now=self.started_at,
            progress=_unheard,
        )

    def _distribution(self) -> Report:
        from trueup.parity.evidence.distribution import Window

        window = Window(self.start, self.end)
        return check_distribution_of(self.place, window=window, models=self.models, progress=_unheard)

    def _replay(self) -> Report:
        from trueup.parity.runs.replay import run_replay

        place = self.place
        return run_replay(
            place.log,
            place.tracking,
            repo=place.repo,
            ledger=place.ledger,
            start=self.start,
            end=self.end,
            models=self.models,
        )

    def _transforms(self) -> Report:
        from trueup.parity.evidence.transforms import REAL_ROWS, Where
        from trueup.parity.runs.transforms import run_transforms

        place = self.place
        where = Where(place.repo, place.ledger, self.now or self.started_at, place.log, REAL_ROWS)
        return run_transforms(place.store, self.service, where)

    def _expectations(self) -> Report:
        from trueup.parity.runs.expectations import run_expectations

        place = self.place
        return run_expectations(place.log, place.tracking, start=self.start, end=self.end, models=self.models)


def _unreached(error: StoreError) -> Report:
    raise error


def _unreadable(problems: Mapping[str, str], now: datetime) -> Report:
    from trueup.parity.report import Report
    from trueup.parity.results import could_not_run

    return Report(now, now, tuple(could_not_run("online", view, problem) for view, problem in problems.items()))


def _unheard(_now: str) -> None:
    """Within a job, the part's name is what is shown."""


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
