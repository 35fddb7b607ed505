"""`Place`: what a parity command's options and the settings name, each opened when it is first needed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.errors import InputError
from trueup.settings import Settings, feature_repo

if TYPE_CHECKING:
    from datetime import datetime

    from feast import FeatureStore

    from trueup.models.tracking import Tracking
    from trueup.parity.config import DriftSection, ParityConfig
    from trueup.parity.policy import Policy
    from trueup.stores.ledger import Ledger

LogPath = Annotated[Path | None, typer.Option("--log", help="The served log [TRUEUP_LOG_DIR, default: build/served].")]
Models = Annotated[list[str] | None, typer.Option("--model", help="A registered model; all by default.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="A parity.toml; default: the repository's own, where it has one.")
]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on", help="Causes that fail the check, such as unexplained,late_arrival; default: any mismatch."
    ),
]
Sample = Annotated[
    float, typer.Option("--sample", help="Share of the entities, by a hash of their keys: 0.1 is a part of 0.2.")
]


class Place:
    """Options win over `TRUEUP_*` variables, those over the defaults."""

    def __init__(
        self,
        *,
        repo: Path | None = None,
        log: Path | None = None,
        tracking_uri: str | None = None,
        ledger: Path | None = None,
        config: Path | None = None,
        fail_on: str | None = None,
    ) -> None:
        self.settings = Settings()
        self.log_is_named = log is not None
        self.log = log or self.settings.log_dir
        self._repo, self._tracking_uri, self._ledger, self._config = repo, tracking_uri, ledger, config
        self._fail_on = None if fail_on is None else tuple(name.strip() for name in fail_on.split(",") if name.strip())
        if self._fail_on == ():
            raise InputError("fail_on", "fail_on: it names no cause.", hint="Leave it out: any mismatch then fails.")
        if ledger is not None and not ledger.is_file():
            raise InputError(
                "ledger",
                f"ledger: there is no materialization ledger at {ledger}.",
                hint="Name another with --ledger, or leave it out: the repository's own is read where it has one.",
            )

    @cached_property
    def repo(self) -> Path:
        return feature_repo(self._repo or self.settings.repo)

    @cached_property
    def store(self) -> FeatureStore:
        from trueup.stores.feast_rows import open_store

        return open_store(self.repo)

    @property
    def tracking_uri(self) -> str:
        return self._tracking_uri or self.settings.tracking_uri

    @cached_property
    def tracking(self) -> Tracking:
        from trueup.models.tracking import Tracking  # MLflow: only what names models needs it

        return Tracking(self.tracking_uri)

    @cached_property
    def ledger(self) -> Ledger:
        """The one that is named, or the repository's own, whether that exists yet or not."""
        from trueup.stores.ledger import Ledger
        from trueup.stores.ledger_engine import ledger_of

        named = self._ledger or self.settings.ledger
        return Ledger(named) if named is not None else ledger_of(self.store.config)

    @cached_property
    def online_ledger(self) -> Ledger:
        """The same; where the repository keeps none, what Feast's registry knows."""
        from trueup.stores.ledger_engine import LedgerEngine
        from trueup.stores.registry_ledger import RegistryLedger

        engine = self.store.config.batch_engine_config
        kind = str(engine.get("type", "")) if isinstance(engine, dict) else str(getattr(engine, "type", engine))
        named = self._ledger or self.settings.ledger
        if named is not None or self.ledger.path.exists() or kind.endswith(LedgerEngine.__name__):
            return self.ledger
        return RegistryLedger.of(self.store)

    @cached_property
    def config(self) -> ParityConfig:
        from trueup.parity.config import find_config

        return find_config(self.repo, self._config)

    @property
    def drift(self) -> DriftSection:
        """Thresholds of the distributions; a log alone, without a repository, has the default ones."""
        from trueup.parity.config import find_config

        return find_config(self._repo or self.settings.repo, self._config).drift

    @property
    def declared_types(self) -> bool:
        """See `trueup.stores.feast_rows.has_declared_types`."""
        from trueup.stores.feast_rows import has_declared_types

        return has_declared_types(self.store.config)

    @property
    def applied(self) -> dict[str, datetime]:
        from trueup.stores.applied import applied_since

        return applied_since(self.store, self.ledger)

    @property
    def policy(self) -> Policy:
        """Of the command line and of parity.toml. Raises InputError for a cause or a feature there is not."""
        policy = self.config.policy(self._fail_on)
        self.check_features()
        return policy

    def check_features(self) -> None:
        """Raises InputError for a feature that parity.toml names and the registry does not have."""
        self.config.check_features(self._features)

    @property
    def _features(self) -> set[str]:
        """Names that a setting can be for: features of the repository's views and on-demand views, and predictions."""
        store = self.store
        views = (
            *store.list_feature_views(),
            *store.list_stream_feature_views(),
            *store.list_on_demand_feature_views(),
        )
        names = {f"{view.name}__{item.name}" for view in views for item in view.features}
        for service in store.list_feature_services():
            for projection in service.feature_view_projections:
                names |= {f"{projection.name_to_use()}__{item.name}" for item in projection.features}
        return names | {"prediction"}
