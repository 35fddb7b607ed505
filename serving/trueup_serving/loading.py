"""From settings to a service: loads each model once, and refuses to serve one on other features than it learned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.errors import ContractError, ModelError, StoreError, UnavailableError
from trueup.eventlog.writer import LogWriter
from trueup.experiments.design import Variant
from trueup.features.online import OnlineReader
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.models.bundle import Bundle
from trueup.models.tracking import Registered, Tracking
from trueup.settings import feature_repo
from trueup.stores.redis_connection import Client, connect, store_errors
from trueup_serving.config import ServingConfig
from trueup_serving.environment_check import environment_check
from trueup_serving.repository import open_to_serve
from trueup_serving.service import ServedModel, Service, predict
from trueup_serving.verdict_check import VerdictCheck

logger = logging.getLogger(__name__)


def load_service(config: ServingConfig) -> Service:
    """The service these settings describe; its log is not started yet. Raises what `Loader` and its `load` raise."""
    return Loader(config).load()


class Loader:
    """Makes the services of one server, one after the other: each of the models that its aliases name then.

    Raises InputError for a setting, GateError for a gate's key that is not there or cannot be read, StoreError for an
    online store that is not Redis.
    """

    def __init__(self, config: ServingConfig) -> None:
        self._design, self._limits = config.design, config.log_limits
        self._config = config
        self._repo = feature_repo(config.repo)
        self._tracking = Tracking(config.tracking_uri)
        self.verdicts = VerdictCheck(config.gate_key, config.allow_unverified, self._tracking)
        self._environment = environment_check(config.environment_check, self._tracking)
        store = self._store()
        self._client = _client(store, config.online_timeout_seconds)
        self._key_format = store.config.entity_key_serialization_version

    def load(self) -> Service:
        """A service of all variants; its log is not started yet.

        An online store that does not answer now may do so later: the server then starts, and is not ready. One that
        refuses the password, or is none, never will: StoreError.

        Raises ModelError for a model that cannot be found or cannot predict (or, where the settings refuse that, was
        trained in another environment), ContractError for a model whose features are not the registry's, GateError
        for one that the gate did not let have its alias.
        """
        ping = _ping(self._client)
        try:
            ping()
        except UnavailableError as error:
            logger.warning("the server starts without its online store: %s", error)
        store = self._store()
        models = [self.model(variant, self.resolve(variant), store) for variant in self._design.variants]
        contracts = {model.contract.hash: model.contract for model in models}
        splits = {each.hash: each.split() for each in self._design.experiments}
        log = LogWriter(
            self._config.log_dir,
            contracts.values(),
            self._limits,
            serving=self._config.version(),
            experiments=splits,
        )
        return Service(
            self._design,
            models,
            {name: self._reader(contract) for name, contract in contracts.items()},
            log,
            ping,
            self._config.fallback,
        )

    def resolve(self, variant: Variant) -> Registered:
        """The version that a variant's alias names now."""
        return self._tracking.resolve(variant.model, variant.alias)

    def model(self, variant: Variant, version: Registered, store: FeatureStore | None = None) -> ServedModel:
        """A version with every check that a start makes. store: opened for it, if none is given: a registry that was
        read before may have changed since."""
        store = store or self._store()
        # By its number: the alias may move between the check of the card and the loading of the model.
        card = self._tracking.load_card(variant.model, version.version)
        live = extract_contract(store, card.contract.service)
        check_contract(str(version), card.contract, live)
        verdict = self.verdicts.check(version, variant.alias)
        environment = self._environment(version)
        bundle = self._tracking.load_bundle(variant.model, version.version)
        _check_predicts(bundle, live)
        return ServedModel(variant, bundle, live, environment, verdict)

    def with_models(self, before: Service, models: Sequence[ServedModel]) -> Service:
        """The same server with other models: its log goes on, and takes in the contracts it has not had.

        Raises StoreError, ContractError where the log cannot take a contract in.
        """
        readers = dict(before.readers)
        wanted = {model.contract.hash: model.contract for model in models}
        for name, contract in wanted.items():
            if name not in readers:
                readers[name] = self._reader(contract)
            before.log.take_in(contract)
        chosen = {name: readers[name] for name in wanted}
        return Service(before.design, models, chosen, before.log, before.ping, before.fallback)

    def _store(self) -> FeatureStore:
        return open_to_serve(self._repo)

    def _reader(self, contract: FeatureContract) -> OnlineReader:
        return OnlineReader(contract, client=self._client, key_format=self._key_format)


def check_contract(model: str, trained: FeatureContract, live: FeatureContract) -> None:
    """Raises ContractError that names the parts and fields in which they differ."""
    if differences := trained.diff(live):
        listed = "\n".join(f"  {difference}" for difference in differences)
        raise ContractError(
            f"{model}: the registry's feature service {live.service!r} is not what it was trained on. "
            f"From its contract to the registry's:\n{listed}\n",
            hint="Train a new version on the definitions as they are and move the alias to it, or restore the "
            "definitions it was trained on and run `feast apply`.",
        )


def _check_predicts(bundle: Bundle, contract: FeatureContract) -> None:
    """A row of which nothing is known must get a prediction: it will come. The first prediction is slow, too."""
    nothing = FeatureFrame(
        values=_nulls(contract.schema),
        statuses=pa.table({name: pa.array([int(Status.MISSING)], STATUS) for name in contract.columns}),
        event_timestamps=pa.table({view.name: pa.nulls(1, EVENT_TIME) for view in contract.views}),
    )
    try:
        predict(bundle, nothing)
    except ValueError as error:  # what scikit-learn raises for NaN where it cannot take it
        raise ModelError(
            f"model {bundle.card}: it cannot predict a row whose features are all missing: {error}",
            hint="An entity may be unknown or its features expired: train a pipeline that takes nulls.",
        ) from error


def _nulls(schema: pa.Schema) -> pa.Table:
    return pa.table([pa.nulls(1, item.type) for item in schema], schema=schema)


def _client(store: FeatureStore, timeout: float) -> Client:
    """A client of the repository's Redis that gives up in time: redis-py by itself tries for many seconds."""
    online: Any = store.config.online_store
    if not isinstance(online, RedisOnlineStoreConfig) or online.redis_type != RedisType.redis:
        raise StoreError(
            f"the online store of project {store.config.project} is {getattr(online, 'type', online)!r}; "
            "the server reads a single Redis.",
            hint="Set online_store.type to trueup.stores.redis_online.RedisOnlineStore in feature_store.yaml.",
        )
    client = connect(online.connection_string, repo_path=store.config.repo_path)
    options = client.connection_pool.connection_kwargs
    options["socket_timeout"] = options["socket_connect_timeout"] = timeout
    # Once more at once, for a connection that went stale while nobody asked; what took its time gets no more.
    client.set_retry(Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))
    return client


def _ping(client: Client) -> Callable[[], None]:
    def ping() -> None:
        with store_errors(client):
            client.ping()

    return ping
