"""The causes a mismatch can have: their names, what they mean and what to do. Pure.

A cause is the smallest change of rule that reproduces the served cell exactly: value, status and event time. How
each is proven stands in `reading.py` (how the source is read), `distortions.py` (what happened to the value) and
`proofs/` (everything that needs more than one cell). `CAUSES` is the one list of them, in the order they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trueup.parity.reading import Reading

__all__ = ["BIT", "BY_NAME", "CAUSES", "UNEXPLAINED", "Cause", "Reading"]

UNEXPLAINED = "unexplained"
"""Counted where no cause was found. It is no cause, and it is the only mystery."""


@dataclass(frozen=True)
class Cause:
    """name: as it is counted. meaning: one line. advice: what to do next, in plain words."""

    name: str
    meaning: str
    advice: str


CAUSES: tuple[Cause, ...] = (
    Cause(
        "late_arrival",
        "The value learned from was not known yet when the row was served.",
        "Train with known_at = served (or label): the training set learned from rows that no server could have "
        "had. Until then the model's offline score promises what it cannot hold online.",
    ),
    Cause(
        "lag",
        "The value was known, and the online store was not due to hold it yet.",
        "Materialize more often, or train with known_at = served so that the model learns from values as old as "
        "those it will be served.",
    ),
    Cause(
        "missed_materialization",
        "The online store held what it held before a run that should have brought the newer row.",
        "Find the run: it failed, did not start, or said it had finished and wrote elsewhere. Materialize the view "
        "again over the row's event time, and alert on runs that are late by the view's declared cadence.",
    ),
    Cause(
        "ahead_of_ledger",
        "The online store held a value that no run in the ledger had landed yet.",
        "Something writes to the online store past the ledger: a push, another batch engine, a run that never "
        "finished, or a declared cadence slower than the real one. Send it through `trueup materialize`, or mend the "
        "view's trueup.cadence and trueup.delay tags.",
    ),
    Cause(
        "stale_overwrite",
        "An older row of the entity had replaced a newer one in the online store.",
        "An older window was materialized again, an older row was pushed, or two writers raced. Use a store that "
        "compares event times as it writes (trueup's does), and materialize the view again over the newer rows.",
    ),
    Cause(
        "redis_refused_equal_ts",
        "A correction with the event time of the row it corrects did not replace it online.",
        "Feast's Redis store refuses a row that is not newer than the one it has. Write through trueup's store, or "
        "give a correction an event time of its own.",
    ),
    Cause(
        "ttl_not_enforced",
        "The served value is older than the view's TTL, so training takes it for expired.",
        "The online read does not apply the TTL (stock Feast does not). Read through trueup's online store, or "
        "set a TTL that both sides can keep.",
    ),
    Cause(
        "expired",
        "The served read took the very row that is recomputed for expired.",
        "The server applied a shorter TTL, or a later clock, than the model was trained with. Compare the two with "
        "`trueup contract diff`, and check the server's clock.",
    ),
    Cause(
        "missing_online",
        "The online store had no row for an entity that should have been there.",
        "The row was never written, or it was evicted or deleted. Materialize the view again over the row's event "
        "time, and check the store's memory policy (it must not evict).",
    ),
    Cause(
        "serving_fallback",
        "The server answered without features: those of all views were absent at once.",
        "Look at the server's log of that time: the online store was down or too slow, and the request was answered "
        "with defaults. Log that it was, and keep such rows out of training.",
    ),
    Cause(
        "missing_offline",
        "The online store had a row that the source does not have, and that no run can have brought.",
        "It was pushed online only, or written by hand or into the wrong project. Write it to the source as well "
        "(`feast push` with to = online_and_offline), or delete it online.",
    ),
    Cause(
        "tombstone_missing",
        "The online store still had a row that a run brought and that the source has lost since.",
        "If the entity was deleted at the source, delete it online: nothing else does. If the source lost its "
        "history, bring it back: no training set can be built again without it.",
    ),
    Cause(
        "future_event",
        "The served row's event time is after the instant it was served at.",
        "Keep rows of the future out of the online store: end the materialized window at the present, and check the "
        "clock of whoever writes the event times.",
    ),
    Cause(
        "ambiguous_source",
        "The source has two rows of the entity with both clocks equal and other values; the other one was served.",
        "Make the two rows one, or give the later one a later created time. Until then nobody can say which is right, "
        "and training refuses the source.",
    ),
    Cause(
        "timezone_shift",
        "Times are off by a whole number of quarter hours, as when a local time is taken for UTC.",
        "Write event times with their time zone, and read times without one as UTC on every side. Compare the "
        "source's column type with what the writer's clock said.",
    ),
    Cause(
        "swapped_entity",
        "The view's whole row is another entity's.",
        "Look at the join keys: two key columns exchanged (origin and destination), or the answer of one row of a "
        "batch given to another. Compare the request's key columns with the view's join_key_map.",
    ),
    Cause(
        "definition_changed",
        "The served value is what another definition of the view gives.",
        "The server and the model hold different contracts. Deploy the contract the model was trained with, or train "
        "again with the new one; `trueup contract diff` says what changed.",
    ),
    Cause(
        "definition_not_backfilled",
        "The row was written under an older definition of the view, and not written again since.",
        "Materialize the view again over its whole window: a changed query, type or feature reaches the rows that "
        "are already online only so.",
    ),
    Cause(
        "registry_stale",
        "The server still used a definition that had been replaced in the registry.",
        "Shorten the server's registry cache (cache_ttl_seconds), refresh it after `feast apply`, or restart the "
        "servers as a step of the deployment.",
    ),
    Cause(
        "odfv_batch_dependent",
        "The on-demand function's answer for a row depends on the other rows of the batch.",
        "Write it row by row: no mean, rank, sort or shift over the batch. `trueup parity transforms` tries "
        "every function of the repository so.",
    ),
    Cause(
        "dtype_narrowing",
        "A Float64 was rounded to Float32 on its way to the model.",
        "Declare the feature Float64 on every side, or round it in the source's query so that training sees the "
        "rounded value too.",
    ),
    Cause(
        "dtype_coercion",
        "The source's type is not the declared one: the online value was cast to it, the offline one is not.",
        "Cast the column in the source's query, so that both sides read one type, or declare the type the source has.",
    ),
    Cause(
        "int_precision",
        "An Int64 beyond 2^53 went through a float and lost its last digits.",
        "Some step holds the column as a float (a pandas column with nulls does). Keep it as an Arrow or nullable "
        "integer; if it is an identifier, make it a String.",
    ),
    Cause(
        "ts_precision",
        "A timestamp lost what it had below the second (or the millisecond).",
        "Feast keeps whole seconds online. Round the timestamp in the source's query, or declare it Int64 "
        "microseconds if the rest matters.",
    ),
    Cause(
        "null_default",
        "A default was served where there is no value.",
        "Some step fills nulls (fillna, a default of the client or of the server). Fill them where the features are "
        "defined, so that training sees the same, or let the model take nulls.",
    ),
    Cause(
        "list_null",
        "Nulls within a list were replaced by a default, or left out.",
        "Feast's lists hold no nulls online. Replace or drop them in the source's query, so that training sees the "
        "same list.",
    ),
)

BY_NAME = {cause.name: cause for cause in CAUSES}
assert len(BY_NAME) == len(CAUSES) <= 64, "one bit each"
BIT = {cause.name: np.uint64(1 << index) for index, cause in enumerate(CAUSES)}
"""The bit a cause is noted by in a cell's set of causes."""
