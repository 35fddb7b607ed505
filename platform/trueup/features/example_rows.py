"""Rows made up by type, to try a function on: ordinary values, and whatever a column of that type may hold. Pure."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import Field
from trueup.contracts.documents import document_text
from trueup.contracts.dtypes import document_kind
from trueup.errors import ContractError

NULL_SHARE = 0.15
EXTREME_SHARE = 0.35
_F32 = float(np.finfo(np.float32).max)
_STRINGS = (
    "",
    " ",
    "a",
    "A",
    "null",
    "None",
    "NaN",
    "0",
    "Łódź",
    "S\u00e3o",
    "Sa\u0303o",
    "日本",
    "🛫",
    "\x00",
    "'; --",
    "x" * 300,
)

_LIST = re.compile(r"(?:Array|Set)\(")

EXTREMES: Mapping[str, Sequence[Any]] = {
    "Bool": (True, False),
    "Int32": (0, -1, 2**31 - 1, -(2**31)),
    "Int64": (0, -1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)),
    "Float32": (0.0, -0.0, math.nan, math.inf, -math.inf, _F32, -_F32, float(np.float32(1e-45))),
    "Float64": (0.0, -0.0, math.nan, math.inf, -math.inf, 1.7976931348623157e308, 5e-324, 0.1 + 0.2, -1e-300),
    "String": _STRINGS,
    "Json": ("null", "{}", "[]", '{"a": null}', '"ł"', "1e400"),
    "Uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "TimeUuid": ("00000000-0000-1000-8000-000000000000",),
    "Decimal": ("0", "-0.00", "1E+30", "0.1", "123456789012345678901234567890.5"),
    "Bytes": (b"", b"\x00", b"\xff\xfe", "é".encode()),
    "PdfBytes": (b"", b"%PDF"),
    "ImageBytes": (b"", b"\x89PNG"),
    # The first and last instants Python knows, 1970 and its eve, a leap day, both sides of a clock change in New York.
    "UnixTimestamp": (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(2013, 11, 3, 5, 59, 59, tzinfo=UTC),
        datetime(2013, 11, 3, 6, tzinfo=UTC),
    ),
}
"""Feast type -> values at the edge of it."""

_ORDINARY: Mapping[str, Callable[[np.random.Generator], Any]] = {
    "Bool": lambda random: bool(random.random() < 0.5),
    "Int32": lambda random: int(random.integers(-100, 1000)),
    # Every other one a plausible instant in seconds: many request fields are.
    "Int64": lambda random: int(
        random.integers(0, 100) if random.random() < 0.5 else random.integers(10**9, 2 * 10**9)
    ),
    "Float32": lambda random: float(np.float32(random.normal(10, 20))),
    "Float64": lambda random: float(random.normal(10, 20)),
    "String": lambda random: f"v{int(random.integers(0, 30))}",
    "Json": lambda random: json.dumps({"n": int(random.integers(0, 9))}),
    "Uuid": lambda random: str(uuid.UUID(bytes=random.bytes(16), version=4)),
    "TimeUuid": lambda random: str(uuid.UUID(bytes=random.bytes(16), version=1)),
    "Decimal": lambda random: f"{int(random.integers(-9999, 9999)) / 100:.2f}",
    "Bytes": lambda random: random.bytes(4),
    "PdfBytes": lambda random: b"%PDF" + random.bytes(4),
    "ImageBytes": lambda random: b"\x89PNG" + random.bytes(4),
    "UnixTimestamp": lambda random: (
        datetime(2013, 1, 1, tzinfo=UTC) + timedelta(seconds=int(random.integers(0, 10**8)))
    ),
}


def example_rows(fields: Sequence[Field], count: int, *, seed: int, ordinary: bool = False) -> pa.Table:
    """`count` rows of these fields, of their Arrow types. The same arguments give the same rows.

    Every other row is ordinary (all of them, if asked for); in the rest each value is null, at the edge of its type, or
    ordinary. Raises ContractError for a type there are no examples of (`has_examples`).
    """
    random = np.random.default_rng(seed)
    if unknown := [item for item in fields if not has_examples(item.dtype)]:
        raise ContractError(f"{unknown[0].name} is {unknown[0].dtype}; there are no example values of that type.")
    types = {item.name: item.arrow for item in fields}
    columns: dict[str, list[Any]] = {item.name: [] for item in fields}
    for row in range(count):
        for item in fields:
            columns[item.name].append(_value(item.dtype, random, wild=row % 2 == 1 and not ordinary))
    return pa.table({name: pa.array(columns[name], kind) for name, kind in types.items()})


def has_examples(dtype: str) -> bool:
    """Whether rows of this Feast type can be made up."""
    if document_kind(dtype) is not None:
        return all(map(has_examples, _fields(dtype).values()))
    return _LIST.sub("", dtype).rstrip(")") in EXTREMES


def _fields(dtype: str) -> dict[str, str]:
    """Names and Feast types that a struct declares, such as `Struct({a: Int64, b: Array(String)})`. None of a map."""
    inside = dtype[dtype.find("{") + 1 : dtype.rfind("}")] if "{" in dtype else ""
    parts, depth = [""], 0
    for letter in inside:
        depth += (letter in "({") - (letter in ")}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return {name.strip(): kind.strip() for name, _, kind in (part.partition(":") for part in parts if part.strip())}


def _document(dtype: str, random: np.random.Generator, *, wild: bool) -> Any:
    if dtype.startswith("Array("):
        inner = dtype.removeprefix("Array(").removesuffix(")")
        return [_document(inner, random, wild=wild) for _ in range(int(random.integers(0, 4)))]
    names = _fields(dtype) or {f"k{int(random.integers(0, 9))}": ("Int64", "Float64", "String")[i] for i in range(3)}
    return {
        name: (_value if document_kind(kind) is None else _document)(kind, random, wild=wild)
        for name, kind in names.items()
    }


def _value(dtype: str, random: np.random.Generator, *, wild: bool) -> Any:
    if document_kind(dtype) is not None:
        return None if wild and random.random() < NULL_SHARE else document_text(_document(dtype, random, wild=wild))
    if dtype not in EXTREMES:  # Array(item) or Set(item)
        if wild and random.random() < NULL_SHARE:
            return None
        inner = dtype.partition("(")[2].removesuffix(")")
        return [_value(inner, random, wild=wild) for _ in range(int(random.integers(0, 5)))]
    drawn = random.random() if wild else 1.0
    if drawn < NULL_SHARE:
        return None
    if drawn < NULL_SHARE + EXTREME_SHARE:
        return EXTREMES[dtype][int(random.integers(len(EXTREMES[dtype])))]
    return _ORDINARY[dtype](random)
