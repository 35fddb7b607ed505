"""Since when the registry has had each view's definition, as far as anything says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.trueup.parity.stock import template

from trueup.contracts.extract import view_from_feast
from trueup.stores.applied import applied_since
from trueup.stores.ledger import Ledger

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:feast", "ignore::FutureWarning", "ignore::RuntimeWarning"
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_it_is_the_registrys_time_or_that_of_the_first_run_of_the_same_definition(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    store = template(tmp_path, offline="dask", online={"type": "sqlite", "path": "data/o.db"}, materialize=False)
    view = store.get_feature_view("driver_hourly_stats")
    own = view_from_feast(view).definition_hash
    without = applied_since(store, None)
    assert set(without) == {
        *(item.name for item in store.list_feature_views()),
        *(item.name for item in store.list_on_demand_feature_views()),
    }
    assert all(before <= instant <= datetime.now(UTC) for instant in without.values())

    ledger = Ledger(tmp_path / "ledger.db")
    assert applied_since(store, ledger) == without
    for number, definition in enumerate(("another", own, own)):
        ledger.start(
            project=store.project,
            view=view.name,
            started_at=LONG_AGO + timedelta(days=number),
            known_at=LONG_AGO,
            known_after=None,
            event_start=LONG_AGO,
            event_end=LONG_AGO,
            definition_hash=definition,
        )
    assert applied_since(store, ledger) == without | {view.name: LONG_AGO + timedelta(days=1)}
