"""What requests and answers look like. The request's shape is made of the served models' contracts.

A body is checked as a whole before anything is read for it, and everything wrong with it is named at once.
"""

from __future__ import annotations

import base64
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, NotRequired

import numpy as np
from annotated_types import Ge, Le, Len
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from trueup.contracts.contract import FeatureContract
from trueup.contracts.contract import Field as ContractField
from trueup.errors import ContractError, InputError
from trueup.eventlog.records import input_fields
from trueup.instants import format_instant, parse_instant
from trueup_serving.problems import FieldError, Problem, bad_fields
from trueup_serving.request_ids import PATTERN

Row = Mapping[str, Any]

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Instants a request may bring: every one of them can be computed with, whatever the TTL or the time zone."""

REFS = "#/components/schemas/{model}"


class Prediction(BaseModel):
    """One row's answer."""

    model_config = ConfigDict(extra="forbid")

    row: int = Field(description="The row's number in `entities`, from 0.")
    prediction: float = Field(description="P(positive), as the assigned variant's model says.")
    variant: str = Field(description="The variant the row's unit is assigned to.")
    model: str
    model_version: str
    fallback: bool = Field(description="True: the online store did not answer, so every feature of a view was missing.")


class PredictResponse(BaseModel):
    """Answers in the order of the request's `entities`."""

    model_config = ConfigDict(extra="forbid")

    request_id: str
    as_of: str = Field(description="The instant the features were read as of (ISO 8601, UTC).")
    predictions: list[Prediction]


class FeatureValue(BaseModel):
    """One feature as it was read. Null unless `status` is PRESENT."""

    model_config = ConfigDict(extra="forbid")

    value: Any = Field(
        description='NaN and infinities as text ("NaN", "Infinity"), instants as ISO 8601, bytes base64.'
    )
    status: Literal["PRESENT", "NULL", "MISSING", "EXPIRED"]
    event_time: str | None = Field(description="Event time of the row it came from; null for on-demand features.")


class RowFeatures(BaseModel):
    """One row's features under its variant's contract."""

    model_config = ConfigDict(extra="forbid")

    row: int
    variant: str
    model: str
    model_version: str
    contract_hash: str
    features: dict[str, FeatureValue]


class FeaturesResponse(BaseModel):
    """Features in the order of the request's `entities`. Nothing is scored, and nothing is logged."""

    model_config = ConfigDict(extra="forbid")

    request_id: str
    as_of: str
    rows: list[RowFeatures]


@dataclass(frozen=True)
class Body:
    """A checked request. request_id, variant: None where the body has none."""

    rows: tuple[Row, ...]
    request_id: str | None
    variant: str | None


class RequestSchema:
    """What a request to these contracts must bring.

    unit: the experiment's unit field, which may be one of the contracts' inputs or one of its own.
    Raises ContractError when two contracts want a field in two types, or a field no JSON can bring;
    InputError for a unit of a type that is not assigned by.
    """

    def __init__(self, contracts: Iterable[FeatureContract], unit: str, variants: Iterable[str], max_rows: int) -> None:
        fields: dict[str, ContractField] = {}
        for contract in contracts:
            for item in input_fields(contract):
                if fields.setdefault(item.name, item).dtype != item.dtype:
                    raise ContractError(
                        f"request field {item.name!r} is {fields[item.name].dtype} for one variant and {item.dtype} "
                        f"for another ({contract.service}); one request cannot bring both."
                    )
        types = {name: _nullable(item) for name, item in fields.items()}
        types[unit] = _unit_type(fields.get(unit), unit)
        row = _typed_dict("Entity", types)
        rows = Annotated[list[row], Len(1, max_rows)]  # type: ignore[valid-type] # made at run time
        request_id = Annotated[str, Strict(), StringConstraints(pattern=PATTERN)]
        common = {"entities": rows, "request_id": NotRequired[request_id]}
        self.predict = BodyType("PredictRequest", common)
        names: Any = Literal.__getitem__(tuple(variants))
        self.features = BodyType("FeaturesRequest", {**common, "variant": NotRequired[names]})
        self.example = {"entities": [{name: _example(fields.get(name)) for name in types}], "request_id": "r-1"}


class BodyType:
    """One kind of request body: checks JSON text, and says what it expects."""

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.name = name
        self._adapter: TypeAdapter[Any] = TypeAdapter(_typed_dict(name, fields))

    def parse(self, text: bytes) -> Body:
        """Raises Problem: 400 for what is not JSON, 422 with every field at fault for what is not this."""
        try:
            body = self._adapter.validate_python(parse_json(text))
        except ValidationError as error:
            raise bad_fields([_field_error(item) for item in error.errors(include_url=False)]) from error
        return Body(tuple(body["entities"]), body.get("request_id"), body.get("variant"))

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema, its `$defs` beside it."""
        return self._adapter.json_schema(ref_template=REFS)


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    """A dict type with these keys and no other. Not a model: a field may have any name, `schema` and `a b` too."""
    make: Any = TypedDict
    kind = make(name, fields)
    kind.__pydantic_config__ = ConfigDict(extra="forbid")
    return kind


def parse_json(text: bytes) -> Any:
    """RFC 8259 in UTF-8, and no more: no NaN, no name twice in an object. Raises Problem with status 400."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, or an integer of thousands of digits
        raise _malformed(str(error)) from error


def json_value(value: Any) -> Any:
    """A feature's value as JSON can carry it, the way protobuf's JSON form does."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value


def _malformed(why: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "malformed-json", f"The body is not JSON: {why}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = "stands twice in one object"
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "duplicate-field",
            f"The body's field {twice!a} {message}; which one is meant?",
            [FieldError(field=_printable(twice), message=message)],
        )
    return result


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; send null for a value there is not")


def _field_error(error: ErrorDetails) -> FieldError:
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    if error["type"] == "missing":
        message = "is missing"
    elif error["type"] == "extra_forbidden":
        message = "is not a field of this request"
    else:
        message = f"{error['msg']}, got {_short.repr(error['input'])}"
    return FieldError(field=_printable(path) or "(body)", message=_printable(message))


def _printable(text: str) -> str:
    """Without lone surrogates, which JSON may bring and UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxstring, _short.maxother = 2, 3, 3, 60, 60


# Field types ---------------------------------------------------------------------------------------------------------


def _integer(bits: int) -> Any:
    return Annotated[int, Strict(), Ge(-(2 ** (bits - 1))), Le(2 ** (bits - 1) - 1)]


def _float32(value: Any) -> float:
    """The nearest float32, so that what a model sees is what the log holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    try:
        with np.errstate(over="ignore"):
            narrow = float(np.float32(value))
    except OverflowError:
        narrow = math.inf
    if not math.isfinite(narrow):
        raise PydanticCustomError("finite_number", "Input should be a finite number that float32 can hold")
    return narrow


def _float64(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PydanticCustomError("finite_number", "Input should be a finite number that float64 can hold")
    return number


def _instant(value: Any) -> datetime:
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "Input should be an ISO 8601 instant in text")
    return check_instant(value)


def check_instant(text: str) -> datetime:
    """ISO 8601 to an instant a read can be made as of; PydanticCustomError (a ValueError) where it is none."""
    try:
        instant = parse_instant(text)
    except (InputError, OverflowError):  # Python raises the latter at either end of its calendar
        instant = None
    if instant is None or not EARLIEST <= instant < LATEST:
        raise PydanticCustomError(
            "datetime_parsing", "Input should be an ISO 8601 instant of 1900 to 2199, such as 2013-11-01T00:00:00Z"
        )
    return instant


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (AttributeError, ValueError):
        raise PydanticCustomError("bytes_type", "Input should be bytes in base64") from None


def _plain(check: Callable[[Any], Any], schema: dict[str, Any]) -> Any:
    return Annotated[Any, PlainValidator(check), WithJsonSchema(schema)]


def _unicode(text: str) -> str:
    """JSON can escape half a surrogate pair, which no store, hash or log can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "Input should be a valid string, without lone surrogates") from None
    return text


_TEXT = Annotated[str, Strict(), AfterValidator(_unicode)]
_SCALARS: dict[str, Any] = {
    "Int32": _integer(32),
    "Int64": _integer(64),
    "Float32": _plain(_float32, {"type": "number"}),
    "Float64": _plain(_float64, {"type": "number"}),
    "Bool": Annotated[bool, Strict()],
    "String": _TEXT,
    "Json": _TEXT,
    "Uuid": _TEXT,
    "TimeUuid": _TEXT,
    "Bytes": _plain(_bytes, {"type": "string", "contentEncoding": "base64"}),
    "UnixTimestamp": _plain(_instant, {"type": "string", "format": "date-time"}),
}


def _nullable(field: ContractField) -> Any:
    return _type(field.dtype, field.name) | None


def _type(dtype: str, name: str) -> Any:
    if dtype in _SCALARS:
        return _SCALARS[dtype]
    if dtype.startswith(("Array(", "Set(")):
        item = dtype.partition("(")[2].removesuffix(")")
        return Annotated[list[_type(item, name) | None], Strict()]  # type: ignore[misc] # made at run time
    raise ContractError(f"request field {name!r} is {dtype}, which a JSON request cannot bring.")


def _unit_type(field: ContractField | None, unit: str) -> Any:
    """Text or a whole number, never null and never empty: every row must be assigned."""
    if field is None:
        schema = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
        return _plain(_own_unit, schema)
    if field.dtype in ("Int32", "Int64"):
        return _SCALARS[field.dtype]
    if field.dtype in ("String", "Uuid", "TimeUuid"):
        return Annotated[_TEXT, Len(1)]
    raise InputError(
        "experiment.unit",
        f"experiment.unit: {unit!r} is {field.dtype}; units are text or whole numbers.",
        hint="Name another field; it need not be one the features use.",
    )


_UNIT_NUMBER: TypeAdapter[int] = TypeAdapter(_integer(64))
_UNIT_TEXT: TypeAdapter[str] = TypeAdapter(Annotated[_TEXT, Len(1)])


def _own_unit(value: Any) -> str | int:
    for adapter in (_UNIT_TEXT, _UNIT_NUMBER):
        try:
            checked: str | int = adapter.validate_python(value)
        except ValidationError:
            continue
        return checked
    raise PydanticCustomError("unit_type", "Input should be text that is not empty, or a 64-bit integer")


_EXAMPLES: dict[str, Any] = {
    "Int32": 1,
    "Int64": 1,
    "Float32": 0.5,
    "Float64": 0.5,
    "Bool": True,
    "Bytes": "AA==",
    "UnixTimestamp": "2013-11-01T00:00:00Z",
}


def _example(field: ContractField | None) -> Any:
    if field is None:
        return "unit-1"
    return [] if field.dtype.startswith(("Array(", "Set(")) else _EXAMPLES.get(field.dtype, "text")
