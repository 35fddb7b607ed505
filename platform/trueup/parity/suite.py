"""A Great Expectations suite of a model's features, made from its contract and its training set. Pure JSON: no GX here.

What it expects, feature by feature: the declared type; at most so many nulls; values in the training set's range, all
but a few; categories of the training set, all but a few. How many are a few is the training set's own doing: see
`margins`. For a range the marked rows are those outside the range of all other blocks, for categories those whose
category no other block has; a range is widened by the distance of its most extreme block to the next one.

The share a window of WINDOW_ROWS rows exceeds with probability FALSE_ALARM_RATE / number of such expectations
(Bonferroni) is allowed: GX's `mostly` is one minus it. Each expectation keeps in `meta` what its margin was made from,
so that `for_rows` can widen it for a smaller window.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.contracts.dtypes import is_json
from trueup.errors import ModelError
from trueup.frame import FeatureFrame
from trueup.parity.margins import WINDOW_ROWS, Codes, Marks, Share, block_numbers, blocks_of, share_of

SUITE_FILE = "expectations.json"
"""The suite's name among a model's files."""
FORMAT = 1
FALSE_ALARM_RATE = 0.01
"""Of a whole suite, on a window that is like the training set's blocks."""
MOST_CATEGORIES = 1_000
"""More different strings than these are no categories."""
_DECIMALS = 4
_NAMESPACE = uuid.UUID("6f0c1c4e-3d0a-5c8e-9a55-7b3a5f3f3c11")

TYPES: Mapping[str, str] = {
    "Bool": "bool",
    "Int32": "int32",
    "Int64": "int64",
    "Float32": "float32",
    "Float64": "float64",
    "String": "str",
    "Json": "str",
    "Uuid": "str",
    "TimeUuid": "str",
    "Decimal": "str",
    "Bytes": "bytes",
    "PdfBytes": "bytes",
    "ImageBytes": "bytes",
    "UnixTimestamp": "Timestamp",
}
"""Feast type -> GX's name of what `window_frame` (in `evidence.expectations`) makes of it. Maps and structs are text,
anything else is a list."""


def suite_bytes(contract: FeatureContract, features: FeatureFrame, *, model: str) -> bytes:
    """The suite as JSON that `great_expectations.ExpectationSuite` takes. The same arguments give the same bytes.

    features: the training set, in time order. model: the registered name, which the suite is named after.
    """
    return (
        json.dumps(suite(contract, features, model=model), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()


def suite(contract: FeatureContract, features: FeatureFrame, *, model: str) -> dict[str, Any]:
    name = f"{model} on {contract.service}@{contract.hash[:12]}"
    drafts = list(_drafts(contract, features))
    shares = sum(draft.share is not None for draft in drafts)
    alarm_rate = FALSE_ALARM_RATE / max(shares, 1)
    expectations, left_out = [], []
    for draft in drafts:
        item = draft.to_json(alarm_rate)
        if item is None:
            left_out.append(
                {
                    "type": draft.kind,
                    "column": draft.column,
                    "because": "the training set's own blocks are nothing alike in it",
                }
            )
        else:
            expectations.append({**item, "id": str(uuid.uuid5(_NAMESPACE, json.dumps([name, item], sort_keys=True)))})
    meta = {
        "format": FORMAT,
        "contract": contract.hash,
        "rows": features.num_rows,
        "false_alarm_rate": FALSE_ALARM_RATE,
        "window_rows": WINDOW_ROWS,
        "blocks": blocks_of(features.num_rows),
        "left_out": left_out,
    }
    return {
        "name": name,
        "id": str(uuid.uuid5(_NAMESPACE, json.dumps([name, expectations], sort_keys=True))),
        "expectations": expectations,
        "meta": {"trueup": meta},
    }


def read_suite(content: bytes) -> dict[str, Any]:
    """Raises ModelError when it is no suite of this format."""
    try:
        found = json.loads(content)
        known = found["meta"]["trueup"]["format"] == FORMAT and isinstance(found["expectations"], list)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{SUITE_FILE} cannot be read: {error}.", hint="Train the model again.") from error
    if not known:
        raise ModelError(f"{SUITE_FILE} is of another format than {FORMAT}.", hint="Train the model again.")
    return dict(found)


def for_rows(kept: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The suite for a window of so many rows: below WINDOW_ROWS chance alone moves a share further: `mostly` is less.

    An expectation that such a window cannot tell anything about is left out.
    """
    meta = kept["meta"]["trueup"]
    if rows >= meta["window_rows"]:
        return dict(kept)
    alarm_rate = meta["false_alarm_rate"] / max(sum("share" in _ours(item) for item in kept["expectations"]), 1)
    chosen = []
    for item in kept["expectations"]:
        if "share" in _ours(item):
            mostly = _mostly(Share(**_ours(item)["share"]).allowed(rows, alarm_rate))
            if mostly <= 0:
                continue
            item = {**item, "kwargs": {**item["kwargs"], "mostly": min(mostly, item["kwargs"]["mostly"])}}
        chosen.append(item)
    return {**kept, "expectations": chosen}


def _ours(item: Mapping[str, Any]) -> Mapping[str, Any]:
    ours: Mapping[str, Any] = item.get("meta", {}).get("trueup", {})
    return ours


@dataclass(frozen=True)
class _Draft:
    """An expectation before its margin. share: of the rows that may be against it; None: none may."""

    kind: str
    column: str | None
    kwargs: Mapping[str, Any]
    share: Share | None = None

    def to_json(self, alarm_rate: float) -> dict[str, Any] | None:
        """None when every row may be against it: then it expects nothing."""
        kwargs = {**({"column": self.column} if self.column is not None else {}), **self.kwargs}
        if self.share is None:
            return {"type": self.kind, "kwargs": kwargs, "meta": {"trueup": {}}}
        mostly = _mostly(self.share.allowed(WINDOW_ROWS, alarm_rate))
        if mostly <= 0:
            return None
        return {
            "type": self.kind,
            "kwargs": {**kwargs, "mostly": mostly},
            "meta": {"trueup": {"share": self.share.to_json()}},
        }


def _drafts(contract: FeatureContract, features: FeatureFrame) -> Iterator[_Draft]:
    dtypes = {view.column(item.name): item.dtype for view in contract.views for item in view.features}
    dtypes |= {view.column(item.name): item.dtype for view in contract.on_demand for item in view.outputs}
    yield _Draft("expect_table_columns_to_match_ordered_list", None, {"column_list": list(contract.columns)})
    block = block_numbers(features.num_rows)
    for column in contract.columns:
        dtype = dtypes[column]
        type_ = "str" if is_json(dtype) else TYPES.get(dtype, "list")
        yield _Draft("expect_column_values_to_be_of_type", column, {"type_": type_})
        values = features.values.column(column).combine_chunks()
        null = _null(values)
        yield _Draft("expect_column_values_to_not_be_null", column, {}, share_of(null, np.ones_like(null), block))
        if dtype in ("Int32", "Int64", "Float32", "Float64"):
            draft = _range(column, values, ~null, block)
        elif dtype == "String":
            draft = _categories(column, values, ~null, block)
        else:
            draft = None
        if draft is not None:
            yield draft


def _null(values: pa.Array) -> Marks:
    """Null or NaN: pandas, and so GX, does not tell them apart, and neither does a model."""
    null: Marks = np.asarray(values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), np.bool_)
    return null


def _range(column: str, values: pa.Array, valid: Marks, block: Codes) -> _Draft | None:
    """The training set's range, widened; the share is of values outside the range of the other blocks."""
    numbers = pc.cast(values, pa.float64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
    usable = valid & np.isfinite(numbers)
    if not usable.any():
        return None
    blocks = int(block.max()) + 1
    lows, highs = np.full(blocks, np.inf), np.full(blocks, -np.inf)
    np.minimum.at(lows, block[usable], numbers[usable])
    np.maximum.at(highs, block[usable], numbers[usable])
    low, next_low = _two(lows)
    high, next_high = (-bound for bound in _two(-highs))
    owner_low, owner_high = int(lows.argmin()), int(highs.argmax())
    outside = valid & ~np.isfinite(numbers)
    outside |= usable & (block == owner_low) & (numbers < next_low)
    outside |= usable & (block == owner_high) & (numbers > next_high)
    bounds = {
        "min_value": _outward(low - (next_low - low), -math.inf),
        "max_value": _outward(high + (high - next_high), math.inf),
    }
    share = share_of(outside, valid, block)
    return _Draft("expect_column_values_to_be_between", column, bounds, share)


def _two(bounds: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The smallest and the next; twice the same where there is but one block with values."""
    finite = np.sort(bounds[np.isfinite(bounds)])
    return float(finite[0]), float(finite[min(1, len(finite) - 1)])


def _outward(bound: float, towards: float) -> float:
    """A bound that GX, which keeps bounds as floats, cannot place inside the range: integers from 2^53 are rounded."""
    return (
        bound
        if abs(bound) < 2**53
        else max(min(math.nextafter(bound, towards), 1.7976931348623157e308), -1.7976931348623157e308)
    )


def _categories(column: str, values: pa.Array, valid: Marks, block: Codes) -> _Draft | None:
    """The training set's strings; the share is of values that only their own block has."""
    encoded = values.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if not 0 < len(names) <= MOST_CATEGORIES:
        return None
    codes = np.asarray(encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.int64)
    pairs = np.unique(codes[valid] * (int(block.max()) + 1) + block[valid])
    blocks_with = np.bincount(pairs // (int(block.max()) + 1), minlength=len(names))
    alone = valid & (blocks_with[codes] == 1)
    return _Draft(
        "expect_column_values_to_be_in_set", column, {"value_set": sorted(names)}, share_of(alone, valid, block)
    )


def _mostly(allowed: float) -> float:
    """Rounded down, so that rounding never raises an alarm."""
    scale: int = 10**_DECIMALS
    return math.floor((1 - allowed) * scale) / scale
