"""Read-outs and ledgers as metrics: the very numbers, well-formed, and no sample for what is not known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.trueup.diagnose.ledgers import every, flights_leaky, no_outcomes

from trueup.monitoring.samples.gap_ledger import ledger_samples
from trueup.monitoring.samples.text import text_of


def parsed(families: Iterable[Metric]) -> dict[str, Metric]:
    found = list(text_string_to_metric_families(text_of(families)))
    assert len({family.name for family in found}) == len(found)
    for family in found:
        series = Counter(tuple(sorted(sample.labels.items())) for sample in family.samples)
        assert set(series.values()) <= {1}, family.name
        assert len({frozenset(sample.labels) for sample in family.samples}) <= 1, family.name
        assert re.fullmatch(r"trueup_[a-z0-9_]+", family.name)
        assert family.documentation.endswith(".")
    return {family.name: family for family in found}


@pytest.mark.parametrize("name", every())
def test_a_ledgers_metrics_are_its_own_numbers(name: str) -> None:
    ledger = every()[name]
    families = parsed(ledger_samples([ledger]))
    place = {"model": ledger.model, "version": ledger.version, "metric": ledger.metric}

    def values(name: str, label: str) -> dict[str, float]:
        for sample in families[name].samples:
            assert {key: value for key, value in sample.labels.items() if key != label} == place
        return {sample.labels[label]: sample.value for sample in families[name].samples}

    states = {state.name: state.estimate.value for state in ledger.states if state.estimate is not None}
    assert values("trueup_ledger_state", "state") == states
    steps = {" and ".join(step.names): step.effect.value for step in ledger.steps if step.effect is not None}
    assert values("trueup_ledger_step", "step") == steps
    causes = {total.cause: total.effect.value for total in ledger.causes if total.effect is not None}
    assert values("trueup_ledger_cause", "cause") == causes
    claimed = {total.cause: float(total.claimed) for total in ledger.causes}
    assert values("trueup_ledger_cause_claimed", "cause") == claimed
    gaps = [sample.value for sample in families["trueup_ledger_gap"].samples]
    assert gaps == ([] if ledger.gap is None else [ledger.gap.value])


def test_what_was_not_measured_has_no_sample_and_several_ledgers_share_families() -> None:
    families = parsed(ledger_samples([flights_leaky(), no_outcomes()]))
    assert len({sample.labels["model"] for sample in families["trueup_ledger_last_run_timestamp_seconds"].samples}) == 2
