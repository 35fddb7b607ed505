"""From settings to a service: loads each model once, and refuses to serve one on other features than it learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
from redis.backoff import NoBackoff
from redis.retry import Retry

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.errors import ContractError, ModelError, StoreError
from trueup.eventlog.writer import LogWriter
from trueup.experiments.design import Variant
from trueup.features.online import OnlineReader
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.models.bundle import Bundle
from trueup.models.tracking import Tracking
from trueup.settings import feature_repo
from trueup.stores.redis_connection import Client, connect, store_errors
from trueup_serving.config import ServingConfig
from trueup_serving.environment_check import CheckEnvironment, environment_check
from trueup_serving.service import ServedModel, Service, predict
from trueup_serving.verdict_check import CheckVerdict, verdict_check


def load_service(config: ServingConfig) -> Service:
    """The service these settings describe; its log is not started yet.

    Raises InputError for a setting, ModelError for a model that cannot be found or cannot predict (or, where the
    settings refuse that, was trained in another environment), ContractError for a model whose features are not the
    registry's, GateError for one that the gate did not let have its alias, StoreError for an online store that is not
    Redis.
    """
    design, limits = config.design, config.log_limits
    store = FeatureStore(repo_path=str(feature_repo(config.repo)))
    tracking = Tracking(config.tracking_uri)
    check = environment_check(config.environment_check, tracking)
    allowed = verdict_check(config.gate_key, config.allow_unverified, tracking)
    models = [_load(variant, tracking, store, check, allowed) for variant in design.variants]
    contracts = {model.contract.hash: model.contract for model in models}
    client = _client(store, config.online_timeout_seconds)
    key_format = store.config.entity_key_serialization_version
    return Service(
        design=design,
        models=models,
        readers={
            contract_hash: OnlineReader(contract, client=client, key_format=key_format)
            for contract_hash, contract in contracts.items()
        },
        log=LogWriter(config.log_dir, contracts.values(), limits),
        ping=_ping(client),
    )


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


def _load(
    variant: Variant, tracking: Tracking, store: FeatureStore, check: CheckEnvironment, allowed: CheckVerdict
) -> ServedModel:
    # Resolved once: the alias may move between the check of the card and the loading of the model.
    version = tracking.resolve(variant.model, variant.alias)
    card = tracking.load_card(variant.model, version.version)
    live = extract_contract(store, card.contract.service)
    check_contract(f"{variant.model}@{version.version}", card.contract, live)
    verdict = allowed(version, variant.alias)
    environment = check(version)
    bundle = tracking.load_bundle(variant.model, version.version)
    _check_predicts(bundle, live)
    return ServedModel(variant, bundle, live, environment, verdict)


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
    # Once more at once, for a connection that went stale while nobody asked.
    client.set_retry(Retry(NoBackoff(), 1))
    return client


def _ping(client: Client) -> Callable[[], None]:
    def ping() -> None:
        with store_errors(client):
            client.ping()

    return ping
