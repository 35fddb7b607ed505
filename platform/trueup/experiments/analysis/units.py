"""Rows to units: an experiment assigns units, so units are what is compared, one row each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from trueup.experiments.metric import Kind

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MetricRows:
    """Answered rows of one metric; all arrays are as long. value, denominator: NaN where a row has none (immature,
    unknown). covariate: NaN where it is null; None without one. at: microseconds since 1970."""

    unit: npt.NDArray[np.object_]
    variant: npt.NDArray[np.object_]
    at: npt.NDArray[np.int64]
    value: Floats
    denominator: Floats | None = None
    covariate: Floats | None = None


@dataclass(frozen=True)
class Units:
    """table: one row a unit, by its first exposure: unit, variant, value, denominator, covariate, first (microseconds).

    both: units of more than one variant, which are left out. empty: units none of whose rows has a value yet.
    without_covariate: units whose covariate is null throughout; the mean of the others stands in.
    """

    table: pd.DataFrame
    both: int
    empty: int
    without_covariate: int = 0


def to_units(rows: MetricRows, kind: Kind) -> Units:
    """mean: a unit's mean over its rows with a value; sum: their sum; ratio: the sums of value and denominator."""
    frame = pd.DataFrame(
        {
            "unit": rows.unit,
            "variant": rows.variant,
            "first": rows.at,
            "value": rows.value,
            "denominator": rows.denominator if rows.denominator is not None else np.ones(len(rows.value)),
            "covariate": rows.covariate if rows.covariate is not None else np.nan,
        }
    )
    variants = frame.groupby("unit")["variant"].nunique()
    several = set(variants.index[variants > 1])
    frame = frame[~frame["unit"].isin(several)]
    everyone = frame["unit"].nunique()
    # The covariate is of all the unit's rows: which of them are mature is no reason to know less of it.
    covariates = frame.groupby("unit")["covariate"].mean()
    first = frame.groupby("unit")["first"].min()
    whole = frame[np.isfinite(frame["value"]) & np.isfinite(frame["denominator"])]
    grouped = whole.groupby("unit", sort=False)
    table = pd.DataFrame(
        {
            "variant": grouped["variant"].first(),
            "value": grouped["value"].mean() if kind == "mean" else grouped["value"].sum(),
            "denominator": grouped["denominator"].sum(),
        }
    )
    table["covariate"] = covariates.reindex(table.index)
    table["first"] = first.reindex(table.index)
    unknown = int(table["covariate"].isna().sum()) if rows.covariate is not None else 0
    if unknown:
        table["covariate"] = table["covariate"].fillna(table["covariate"].mean())
    table = table.reset_index().sort_values(["first", "unit"], kind="stable").reset_index(drop=True)
    return Units(table, both=len(several), empty=everyone - len(table), without_covariate=unknown)
