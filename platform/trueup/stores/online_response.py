"""Rows read from Redis as Feast's own response: values, statuses and event times, in the order asked for. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feast import FeatureService, FeatureView
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from trueup.frame import Status
from trueup.stores.redis_read import Reply
from trueup.stores.redis_views import ViewRead

_STATUSES: dict[Status, Any] = {
    Status.PRESENT: FieldStatus.PRESENT,
    Status.NULL: FieldStatus.NULL_VALUE,
    Status.MISSING: FieldStatus.NOT_FOUND,
    Status.EXPIRED: FieldStatus.OUTSIDE_MAX_AGE,
}


def respond(
    response: Any,
    reads: Sequence[ViewRead],
    keys: Sequence[Sequence[bytes | None]],
    replies: Sequence[Mapping[bytes, Reply]],
    now: int,
    full_feature_names: bool,
    with_versions: bool,
) -> None:
    """Put every view's features into Feast's response, one row per entity row, in order."""
    for read, own, found in zip(reads, keys, replies, strict=True):
        cells = {key: _cells(read, reply, now) for key, reply in found.items()}
        nowhere = [(Value(), FieldStatus.NOT_FOUND, Timestamp())] * len(read.features)
        rows = [nowhere if key is None else cells[key] for key in own]
        projection = read.table.projection
        name = projection.name_to_use()
        response.metadata.feature_names.val.extend(
            f"{name}__{feature}" if full_feature_names else feature for feature in read.features
        )
        for column in range(len(read.features)):
            response.results.append(
                GetOnlineFeaturesResponse.FeatureVector(
                    values=[row[column][0] for row in rows],
                    statuses=[row[column][1] for row in rows],
                    event_timestamps=[row[column][2] for row in rows],
                )
            )
        if with_versions:
            _add_version(response, projection.name_alias or projection.name, read.table)
        present = sum(cell[1] == FieldStatus.PRESENT for row in rows for cell in row)
        _count(read.table.name, present, len(rows) * len(read.features) - present)


def _cells(read: ViewRead, reply: Reply, now: int) -> list[tuple[Any, Any, Any]]:
    """(value, status, event time) of each feature in one row."""
    status = read.status(reply, now)
    written = Timestamp.FromString(reply[-1]) if reply[-1] is not None else Timestamp()
    if status is not Status.PRESENT:
        return [(Value(), _STATUSES[status], written)] * len(read.features)
    values = read.values(reply)
    cells: list[tuple[Any, Any, Any]] = []
    for feature in read.features:
        value = values.get(feature)
        if value is None:
            cells.append((Value(), FieldStatus.NOT_FOUND, Timestamp()))
        else:
            null = value.WhichOneof("val") is None
            cells.append((value, FieldStatus.NULL_VALUE if null else FieldStatus.PRESENT, written))
    return cells


def _add_version(response: Any, name: str, table: FeatureView) -> None:
    versions = response.metadata.feature_view_metadata
    if name not in [known.name for known in versions]:
        versions.add(name=name, version=getattr(table, "current_version_number", 0) or 0)


def _count(view: str, present: int, absent: int) -> None:
    """Feast's own metric of found and not found values, as its stores keep it."""
    try:
        from feast.metrics import track_feature_statuses  # needs prometheus-client, which is optional in Feast
    except ImportError:
        return
    track_feature_statuses(view, present, absent)


def in_order(response: OnlineResponse, features: FeatureService | Sequence[str], full: bool) -> OnlineResponse:
    """Entity and request columns first, as they are; then the features as they were asked for."""
    proto = response.proto
    names = list(proto.metadata.feature_names.val)
    if isinstance(features, FeatureService):
        wanted = [
            (projection.name_to_use(), feature.name)
            for projection in features.feature_view_projections
            for feature in projection.features
        ]
    else:
        wanted = [(view, feature) for view, _, feature in (reference.partition(":") for reference in features)]
    places = {f"{view}__{feature}" if full else feature: place for place, (view, feature) in enumerate(wanted)}
    order = sorted(range(len(names)), key=lambda column: places.get(names[column], -1))
    if order != list(range(len(names))):
        results = [
            GetOnlineFeaturesResponse.FeatureVector.FromString(item.SerializeToString()) for item in proto.results
        ]
        del proto.metadata.feature_names.val[:]
        del proto.results[:]
        proto.metadata.feature_names.val.extend(names[column] for column in order)
        proto.results.extend(results[column] for column in order)
    return response
