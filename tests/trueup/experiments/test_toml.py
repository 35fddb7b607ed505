"""An experiment's file: what it may say, and that whatever is wrong is named with file, field and what came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueup.errors import InputError
from trueup.experiments.design import Layer, Variant
from trueup.experiments.metric import Metric
from trueup.experiments.toml import load_experiment

LEAST = """
name = "ab"
unit = "flight_id"
salt = "s"
[[variants]]
name = "a"
model = "m"
weight = 1
"""
FULL = """
name = "ab"
unit = "flight_id"
salt = "s"
start = 2013-11-24T00:00:00-05:00
end = "2013-12-08"
control = "b"
traffic = 0.25
holdout = 0.1
shadow = true
[layer]
name = "departures"
salt = "d"
from = 0.25
to = 0.75
[[variants]]
name = "a"
model = "m"
alias = "next"
weight = 1
[[variants]]
name = "b"
model = "n"
weight = 3
[[variants]]
name = "c"
model = "x"
shadow = true
[[metrics]]
name = "error"
outcome = "late"
value = "squared_error"
goal = "decrease"
delay = "1d12h"
covariate = "route__late_share"
[[metrics]]
name = "clicks"
outcome = "clicks"
kind = "ratio"
denominator = "rows"
absent = "zero"
[[metrics]]
name = "auc"
outcome = "late"
kind = "model"
score = "auc"
[[guardrails]]
name = "correct"
outcome = "late"
value = "correct"
threshold = 0.25
max_regression = 0.02
"""


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ab.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_a_file_may_say_is_taken_as_it_is_said(tmp_path: Path) -> None:
    found = load_experiment(_file(tmp_path, FULL))
    assert (found.name, found.unit, found.salt, found.traffic, found.holdout) == ("ab", "flight_id", "s", 0.25, 0.1)
    assert (found.start, found.end) == (datetime(2013, 11, 24, 5, tzinfo=UTC), datetime(2013, 12, 8, tzinfo=UTC))
    assert (found.shadow, found.control_variant.name) == (True, "b")
    assert found.layer == Layer("departures", "d", 0.25, 0.75)
    assert found.variants == (
        Variant("a", "m", "next", 1),
        Variant("b", "n", "champion", 3),
        Variant("c", "x", "champion", 0, shadow=True),
    )
    assert found.metrics == (
        Metric(
            "error",
            "late",
            value="squared_error",
            goal="decrease",
            delay=timedelta(hours=36),
            covariate="route__late_share",
        ),
        Metric("clicks", "clicks", kind="ratio", denominator="rows", absent="zero"),
        Metric("auc", "late", kind="model", score="auc"),
    )
    assert found.guardrails == (Metric("correct", "late", value="correct", threshold=0.25, max_regression=0.02),)


def test_what_is_left_out_is_everybody_for_ever_with_the_first_variant_as_the_control(tmp_path: Path) -> None:
    found = load_experiment(_file(tmp_path, LEAST))
    assert (found.traffic, found.holdout, found.start, found.end, found.layer) == (1.0, 0.0, None, None, None)
    assert (found.control_variant.name, found.shadow, found.metrics, found.guardrails) == ("a", False, (), ())


def test_a_shadow_that_comes_first_is_not_the_control(tmp_path: Path) -> None:
    shadow = '[[variants]]\nname = "z"\nmodel = "m"\nshadow = true\n'
    found = load_experiment(_file(tmp_path, LEAST.replace("[[variants]]", f"{shadow}[[variants]]")))
    assert ([each.name for each in found.variants], found.control_variant.name) == (["z", "a"], "a")


def test_the_order_of_the_fields_and_how_a_number_or_an_instant_is_written_do_not_change_the_hash(
    tmp_path: Path,
) -> None:
    one = load_experiment(_file(tmp_path, f"start = 2013-11-24T05:00:00Z\ntraffic = 1\n{LEAST}"))
    other = load_experiment(_file(tmp_path, f'traffic = 1.0\nstart = "2013-11-24T00:00:00-05:00"\n{LEAST}'))
    assert one.hash == other.hash


METRIC = '[[metrics]]\nname = "q"\noutcome = "late"\n'
GUARDRAIL = METRIC.replace("metrics", "guardrails")


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("", "name", "name is missing; unit is missing; salt is missing; variants is missing"),
        (f"surprise = 1\n{LEAST}", "surprise", "surprise is not a field of an experiment"),
        (f'traffic = "all"\n{LEAST}', "traffic", "(got 'all')"),
        (f"traffic = nan\n{LEAST}", "traffic", "(got nan)"),
        (f"holdout = -0.1\n{LEAST}", "holdout", "greater than or equal to 0 (got -0.1)"),
        (f"start = 2013-11-24\n{LEAST}", "start", "expected an instant, such as 2013-11-01T00:00:00Z"),
        (f'end = "soon"\n{LEAST}', "end", "(got 'soon')"),
        (
            f"start = 2013-11-24T05:00:00Z\nend = 2013-11-24T05:00:00Z\n{LEAST}",
            "end",
            "end 2013-11-24T05:00:00Z is not after start",
        ),
        (f'control = "b"\n{LEAST}', "variant", "has no variant 'b'; it has a"),
        (LEAST.replace("weight = 1", "weight = true"), "variants.0.weight", "(got True)"),
        (f"traffic = true\n{LEAST}", "traffic", "expected a number (got True)"),
        (f"{LEAST}{GUARDRAIL}max_regression = true\n", "guardrails.0.max_regression", "expected a number (got True)"),
        (f'{LEAST}[layer]\nname="l"\nsalt="l"\nto=1.5\n', "layer.to", "(got 1.5)"),
        (LEAST.replace("weight = 1", "weight = 1.5"), "variants.0.weight", "(got 1.5)"),
        (LEAST.replace("weight = 1", "weight = -1"), "weight", "-1 is not a whole number, 0 or more"),
        (LEAST.replace("weight = 1", ""), "variants.0", "has no weight"),
        (LEAST.replace("weight = 1", "shadow = true"), "variants", "at least one must get units"),
        (f"{LEAST}shadow = true\n", "weight", "a shadow never answers, so its weight is 0, not 1"),
        (f'control = "c"\n{LEAST}[[variants]]\nname="c"\nmodel="m"\nshadow=true\n', "control", "never answers"),
        (LEAST.replace('"flight_id"', '""'), "unit", "unit is empty"),
        (f'{LEAST}[layer]\nname="l"\nsalt="l"\nfrom=0.5\nto=0.5\n', "layer", "0.5 to 0.5 is no part of 0 to 1"),
        (f'{LEAST}[layer]\nname="l"\n', "layer.salt", "layer.salt is missing"),
        (f"{LEAST}{METRIC}{METRIC}", "metrics", "two metrics are named 'q'"),
        (f'{LEAST}{METRIC}delay = "1 day"\n', "metrics.0.delay", "expected a duration, such as 30m, 24h or 7d"),
        (f'{LEAST}{METRIC}kind = "median"\n', "metrics.0.kind", "(got 'median')"),
        (f'{LEAST}{METRIC}kind = "ratio"\n', "denominator", "of kind 'ratio': denominator"),
        (f'{LEAST}{METRIC}score = "auc"\n', "score", "is only of kind 'model'"),
        (
            f'{LEAST}{METRIC}kind = "model"\nscore = "auc"\ncovariate = "x"\n',
            "covariate",
            "a model's score takes no covariate",
        ),
        (
            f'{LEAST}{GUARDRAIL}kind = "model"\nscore = "auc"\nmax_regression = 0.1\n',
            "max_regression",
            "a model's score is no guardrail",
        ),
        (f"{LEAST}{METRIC}threshold = 2\n", "metrics.0.threshold", "(got 2)"),
        (f"{LEAST}{GUARDRAIL}", "guardrails", "does not say how much worse it may get"),
        (f"{LEAST}{GUARDRAIL}max_regression = -1\n", "guardrails.0.max_regression", "(got -1)"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_its_field_and_what_came(
    tmp_path: Path, text: str, field: str, says: str
) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(InputError) as refused:
        load_experiment(path)
    assert refused.value.field == field
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ab\.toml is not TOML"):
        load_experiment(_file(tmp_path, "not toml"))
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        load_experiment(tmp_path / "none.toml")
