"""What Feast's registry knows of materializations, as a ledger: for repositories that keep no ledger of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from trueup.errors import StoreError
from trueup.instants import as_utc
from trueup.stores.ledger import BEGINNING, Ledger, Run

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Materialized:
    """A view in the registry. intervals: event windows that were materialized, both ends inclusive. last_updated: when
    the last of them was."""

    intervals: tuple[tuple[datetime, datetime], ...]
    last_updated: datetime


class RegistryLedger(Ledger):
    """Feast's own `materialization_intervals` as runs. Read only.

    The registry says which event windows were written, and when it last changed, but not when each was written. So each
    is taken to have been read and written at that last change (started_at = finished_at = known_at = last_updated):
    what became known before it and lies in a window should be online. A row that came late to a window already done
    (an incremental run leaves it out) is then expected, and found missing, which it is.

    A run that began before all time and never finished stands first, and says that nothing reached the store before
    the registry's first window: a declared schedule never stands in. A view that was never materialized has only that.
    """

    def __init__(self, path: Path, views: Mapping[tuple[str, str], Materialized]) -> None:
        super().__init__(path)
        self.views = dict(views)

    @classmethod
    def of(cls, store: FeatureStore) -> RegistryLedger:
        views = {}
        every: Sequence[Any] = [*store.list_feature_views(), *store.list_stream_feature_views()]
        for view in every:
            updated = view.last_updated_timestamp or view.created_timestamp
            views[store.project, view.name] = Materialized(
                intervals=tuple((as_utc(start), as_utc(end)) for start, end in view.materialization_intervals),
                last_updated=BEGINNING if updated is None else as_utc(updated),
            )
        registry: Any = store.config.registry
        return cls(Path(str(getattr(registry, "path", registry))), views)

    @override
    def runs(self, project: str, view: str) -> tuple[Run, ...]:
        known = self.views.get((project, view), Materialized((), BEGINNING))

        def run(number: int, at: datetime, finished: datetime | None, start: datetime, end: datetime) -> Run:
            return Run(number, project, view, at, finished, at, None, start, end, 0, "")

        windows = [
            run(number, known.last_updated, known.last_updated, start, end)
            for number, (start, end) in enumerate(known.intervals, 1)
        ]
        return (run(0, BEGINNING, None, BEGINNING, BEGINNING), *windows)

    def materialized(self, project: str, view: str) -> bool:
        """Whether anything of the view ever was."""
        return any(run.finished_at is not None for run in self.runs(project, view))

    @override
    def start(self, **_: Any) -> Run:
        raise self._read_only()

    @override
    def finish(self, run: Run, **_: Any) -> Run:
        raise self._read_only()

    @override
    def cursor(self, project: str, view: str, **_: Any) -> datetime | None:
        raise self._read_only()

    def _read_only(self) -> StoreError:
        return StoreError(f"{self.path} is Feast's registry: a ledger made of it is only read.")
