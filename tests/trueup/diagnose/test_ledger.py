"""What a ledger says of worlds that are known, and of evidence that is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tests.trueup.diagnose.worlds import A, B, facts, frame, holdout, ledger, population, predict, served, skewed

from trueup.diagnose.facts import Missing, Predicted
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.six import SIX
from trueup.errors import InputError
from trueup.frame import FeatureFrame
from trueup.parity.causes import BIT

WHY = Missing("somebody deleted it")


def by_cause(found: GapLedger) -> dict[str, float | None]:
    return {total.cause: None if total.effect is None else total.effect.value for total in found.causes}


def test_where_nothing_is_wrong_nothing_is_claimed_and_only_the_population_moved() -> None:
    found = ledger(facts())
    assert found.exit_code == 0
    assert found.sums_exact
    assert found.complete
    assert by_cause(found) == dict.fromkeys(SIX, 0.0)
    moved = {step.title: step.effect.value for step in found.steps if step.effect is not None and step.effect.value}
    assert list(moved) == ["population shift"]
    assert "None of the six causes is behind it" in found.summary


def test_a_leak_is_feature_logic_with_its_size_and_its_features() -> None:
    found = ledger(facts(rows=skewed(served(1500))))
    assert [total.cause for total in found.claimed] == ["feature logic"]
    assert found.causes[0].harmful
    assert found.exit_code == 1
    skew = next(step for step in found.steps if step.title == "feature skew")
    split = skew.split("cause")
    assert split is not None
    assert [(term.name, term.cause) for term in split.terms] == [("late_arrival", "feature logic")]
    assert found.sums_exact
    features = skew.split("feature")
    assert features is not None
    assert [term.name for term in features.terms] == [A]


def test_two_causes_of_one_cell_switch_it_together_and_share_what_it_does() -> None:
    rows = skewed(served(1500))
    both = replace(rows, causes={A: np.where(rows.mismatches[A], BIT["late_arrival"] | BIT["lag"], np.uint64(0))})
    found = ledger(facts(rows=both))
    split = next(step for step in found.steps if step.title == "feature skew").split("cause")
    assert split is not None
    late, lag = (
        next(term for term in split.terms if term.name == name).effect.value for name in ("late_arrival", "lag")
    )
    assert late == pytest.approx(lag, abs=1e-12)


def test_cells_that_nothing_explains_have_a_term_and_no_cause() -> None:
    rows = skewed(served(1500))
    found = ledger(facts(rows=replace(rows, causes={A: np.zeros(1500, np.uint64)})))
    assert not found.claimed
    split = next(step for step in found.steps if step.title == "feature skew").split("cause")
    assert split is not None
    assert [(term.name, term.cause) for term in split.terms] == [("unexplained", None)]
    assert found.sums_exact


def test_a_feature_the_model_does_not_eat_explains_nothing() -> None:
    rows = skewed(served())

    def of_b(features: FeatureFrame) -> np.ndarray:
        return 1 / (1 + np.exp(-features.values.column(B).to_numpy()))

    found = ledger(replace(facts(rows=replace(rows, predict=of_b, predictions=of_b(rows.served))), inputs=(B,)))
    assert by_cause(found)["feature logic"] == 0
    assert not found.claimed


@pytest.mark.parametrize(("metric", "sign"), [("auc", -1), ("accuracy", -1), ("log_loss", 1), ("brier", 1)])
def test_worse_is_worse_in_every_metric(metric: str, sign: int) -> None:
    found = ledger(facts(rows=skewed(served(2000), share=0.9)), metric)
    first = found.causes[0]
    assert first.cause == "feature logic"
    assert first.harmful
    assert first.effect is not None
    assert np.sign(first.effect.value) == sign


def test_another_version_that_answered_is_serving_and_other_numbers_are_environment() -> None:
    rows = served(1500)
    rng = np.random.default_rng(0)
    noisy = 1 / (1 + np.exp(-rng.normal(size=1500)))
    half = np.arange(1500) < 700
    for version, cause in (("2", "serving"), ("1", "environment")):
        given = replace(
            rows,
            predictions=np.where(half, noisy, rows.predictions),
            version=np.where(half, version, "1").astype(object),
        )
        found = ledger(facts(rows=given))
        assert [total.cause for total in found.claimed] == [cause]


def test_the_links_of_the_promise_are_told_apart() -> None:
    promise = holdout(2000)
    assert isinstance(promise.kept, Predicted)
    a, b, labels = population(2000, 1)
    lucky = replace(promise.kept, predictions=0.5 * promise.kept.predictions + 0.5 * labels)
    worse = replace(promise.kept, labels=np.where(np.arange(2000) % 8 == 0, 1 - labels, labels))
    other = replace(promise.kept, predictions=predict(frame(-a * 0.2, b)))
    cases = {
        "environment": replace(promise, recorded=lucky, logged={}),
        "randomness": replace(promise, recorded=lucky, same_fit=False, logged={}),
        "data": replace(promise, today=worse, logged={}),
        "code": replace(promise, as_served=other, logged={}),
    }
    for cause, given in cases.items():
        found = ledger(facts(given))
        assert [total.cause for total in found.claimed] == [cause], cause
        assert found.sums_exact
    measured = ledger(facts(replace(promise, logged={"auc": promise.logged["auc"] + 0.03})))  # type: ignore[index]
    assert by_cause(measured)["code"] == pytest.approx(-0.03, abs=1e-12)


def test_another_fit_is_what_its_reproduction_named() -> None:
    promise = holdout(2000)
    assert isinstance(promise.kept, Predicted)
    lucky = replace(promise.kept, predictions=0.5 * promise.kept.predictions + 0.5 * promise.kept.labels)
    given = replace(promise, recorded=lucky, same_fit=False, logged={}, culprits=("data",))
    assert [total.cause for total in ledger(facts(given)).claimed] == ["data"]


def test_whatever_is_missing_no_number_is_invented_and_what_there_is_adds_up() -> None:
    promise, rows = holdout(), skewed(served())
    fields = ("logged", "recorded", "kept", "today")
    for gone in product([False, True], repeat=len(fields)):
        for offline, online in ((rows.offline, True), (WHY, True), (rows.offline, False)):
            given = replace(promise, **{name: WHY for name, missing in zip(fields, gone, strict=True) if missing})
            found = ledger(
                facts(given, replace(rows, offline=offline) if online else Missing("no outcomes yet")), replicates=20
            )
            json.dumps(found.to_json())
            assert found.sums_exact
            for state in found.states:
                assert (state.estimate is None) == (state.missing is not None), state
            assert [s.start for s in found.steps][1:] == [s.end for s in found.steps][:-1]
            assert (found.steps[0].start, found.steps[-1].end) == ("logged", "matured")
            covered = [name for step in found.steps for name in step.names]
            assert covered == ["reproduction", "population shift", "feature skew", "serving", "label delay"]
            for step in found.steps:
                assert step.effect is not None or step.missing
            for total in found.causes:
                assert total.effect is not None or total.missing
            if not online:
                assert found.gap is None
                assert found.exit_code in (1, 2)
                assert "no outcomes yet" in found.summary


def test_steps_that_cannot_be_told_apart_are_one_and_say_why() -> None:
    found = ledger(facts(replace(holdout(), today=WHY), skewed(served())))
    merged = found.steps[0]
    assert merged.names == ("reproduction", "population shift")
    assert merged.missing is not None
    assert WHY.why in merged.missing
    split = merged.split("factor")
    assert split is not None
    assert [term.name for term in split.terms if term.effect.value] == ["not told apart: the rest"]
    data = next(total for total in found.causes if total.cause == "data")
    assert data.missing is not None
    assert WHY.why in data.missing


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.r_[np.ones(4), np.zeros(6)], "only 10 rows"),
        (np.zeros(200), "one class only: all 200 outcomes are 0"),
        (np.ones(200), "one class only: all 200 outcomes are 1"),
        (np.r_[np.ones(3), np.zeros(197)], "only 3 positive and 197 negative"),
        (np.full(200, np.nan), "no rows with a known outcome"),
    ],
)
def test_too_few_outcomes_are_said_and_give_no_number(labels: np.ndarray, says: str) -> None:
    rows = replace(served(len(labels)), labels=labels)
    found = ledger(facts(rows=rows))
    assert all(state.estimate is None for state in found.states[2:])
    assert says in found.summary
    assert found.exit_code == 2


def test_rows_that_are_not_mature_leave_the_last_state_only() -> None:
    rows = served(600)
    found = ledger(facts(rows=replace(rows, mature=np.arange(600) < 300)))
    states = {state.name: state for state in found.states}
    assert (states["served"].rows, states["matured"].rows) == (600, 300)
    assert found.steps[-1].effect is not None
    assert found.steps[-1].effect.value != 0
    none = ledger(facts(rows=replace(rows, mature=np.zeros(600, np.bool_))))
    assert none.states[-1].estimate is None
    assert none.gap is None


def test_an_outcome_that_is_no_yes_or_no_is_refused() -> None:
    with pytest.raises(InputError, match="neither 0 nor 1, such as 2"):
        ledger(facts(rows=replace(served(100), labels=np.full(100, 2.0))))


def test_the_same_facts_and_seed_give_the_same_ledger_and_another_seed_other_intervals() -> None:
    given = facts(rows=skewed(served()))
    assert ledger(given).to_json() == ledger(given).to_json()
    other = ledger(given, seed=1)
    assert other.gap is not None
    assert other.gap.value == ledger(given).gap.value  # type: ignore[union-attr]
    assert other.gap.low != ledger(given).gap.low  # type: ignore[union-attr]


def test_a_segment_column_splits_the_population_and_the_split_adds_up() -> None:
    found = ledger(facts())
    split = next(step for step in found.steps if step.title == "population shift").split("segment")
    assert split is not None
    assert split.what == "side"
    assert {term.name for term in split.terms} == {"left", "right"}
