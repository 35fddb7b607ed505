"""The six causes, and which of them each finding of parity and of a reproduction belongs to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from trueup.parity.causes import BY_NAME

SixCause = Literal["environment", "data", "code", "randomness", "feature logic", "serving"]
SIX: tuple[SixCause, ...] = get_args(SixCause)

MEANING: Mapping[SixCause, str] = {
    "environment": "the same model gives other numbers where it runs now",
    "data": "the sources do not say any more what they said when the model was trained",
    "code": "the definitions, or the code that measured, are not those the promise was made with",
    "randomness": "the promise was another fit's: training again gives another model",
    "feature logic": "training and serving compute or time a feature differently",
    "serving": "the server answered from a store or with a model that was not as it should have been",
}

ADVICE: Mapping[SixCause, str] = {
    "environment": "Serve in the environment the model was trained in: `trueup env diff MODEL here` ranks what "
    'differs, and `environment_check = "refuse"` keeps a server from starting in another.',
    "data": "Find out what rewrote the sources (`trueup dataset diff` names rows and columns), then train again on "
    "what they say now; until then the holdout metric is of data that no longer exists.",
    "code": "Run `trueup reproduce MODEL` to see which change of code it was; train and measure again with the code "
    "and the definitions that are served.",
    "randomness": "Fix the seed and the threads, and run `trueup reproduce MODEL --seeds 10`: a promise within the "
    "spread of seeds is luck. Gate on a reproduction.",
    "feature logic": "Make training read what serving can: `known_at = served`, one definition for both. "
    "`trueup parity served` lists the features and the remedy for each cause.",
    "serving": "Look at the materialization runs, the online store and the deployed version: `trueup parity served` "
    "and `trueup parity online` name rows; `trueup rollback` goes back to the version that was promised.",
}

_FEATURE_LOGIC = (
    "late_arrival",
    "lag",
    "timezone_shift",
    "swapped_entity",
    "definition_changed",
    "definition_not_backfilled",
    "odfv_batch_dependent",
    "dtype_narrowing",
    "dtype_coercion",
    "int_precision",
    "ts_precision",
    "null_default",
    "list_null",
)
_SERVING = (
    "missed_materialization",
    "ahead_of_ledger",
    "stale_overwrite",
    "redis_refused_equal_ts",
    "ttl_not_enforced",
    "expired",
    "missing_online",
    "serving_fallback",
    "registry_stale",
)
_DATA = ("missing_offline", "tombstone_missing", "future_event", "ambiguous_source")

OF_PARITY: Mapping[str, SixCause] = {
    **dict.fromkeys(_FEATURE_LOGIC, "feature logic"),
    **dict.fromkeys(_SERVING, "serving"),
    **dict.fromkeys(_DATA, "data"),
}
"""Parity's cause of a mismatch -> the one of the six; `unexplained` is none of them."""
assert OF_PARITY.keys() == BY_NAME.keys()

OF_FACTOR: Mapping[str, SixCause] = {
    "data": "data",
    "code": "code",
    "recipe": "code",
    "seed": "randomness",
    "randomness": "randomness",
    "threads": "environment",
    "environment": "environment",
}
"""What `trueup reproduce` names -> the one of the six; `unexplained` is none of them."""
