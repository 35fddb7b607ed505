"""`parity.toml`: what it settles, and what it says of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import InputError
from trueup.parity.compare import Tolerance
from trueup.parity.config import EXAMPLE, ParityConfig, find_config, load_config
from trueup.parity.policy import STRICT, Policy


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "parity.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_is_a_file_that_loads(tmp_path: Path) -> None:
    loaded = load_config(_written(tmp_path, EXAMPLE))
    assert loaded.policy() == Policy(("unexplained", "late_arrival"), {"plane__seats": 0.001})
    assert loaded.tolerances == {"weather__wind_speed": Tolerance(absolute=1e-9)}
    assert loaded.null_default == {"plane__seats": 0}
    assert loaded.serving == {"fallback": "refuse", "online_timeout_seconds": 2.0}
    assert loaded.drift.min_effect == {"weather__wind_speed": 0.1}


def test_without_a_file_everything_is_exact_and_any_mismatch_fails(tmp_path: Path) -> None:
    assert find_config(tmp_path) == ParityConfig()
    assert find_config(tmp_path).policy() == STRICT


def test_a_repository_brings_its_own_and_a_named_file_wins(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    _written(tmp_path / "repo", 'fail_on = ["lag"]')
    named = _written(tmp_path, 'fail_on = ["expired"]')
    assert find_config(tmp_path / "repo").fail_on == ("lag",)
    assert find_config(tmp_path / "repo", named).fail_on == ("expired",)


def test_causes_of_the_command_line_win_over_the_files(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, 'fail_on = ["lag"]'))
    assert config.policy(["unexplained"]).fail_on == ("unexplained",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fail_on = [", "is not TOML"),
        ("fail_on = []", "fail_on names no cause. Leave it out: any mismatch then fails"),
        ("[drift.min_effect]\na = -0.1", "drift.min_effect.a is -0.1; expected a distance, 0 or more"),
        ("[drift.min_effect]\na = nan", "drift.min_effect.a is nan; expected a distance, 0 or more"),
        ("luck = 1", "`trueup parity config --example` shows every section"),
        ('fail_on = ["bad_luck"]', "there is no cause 'bad_luck'; there are late_arrival"),
        ("[tolerance.a]\nabsolut = 1", "tolerance.a.absolut = 1: Extra inputs are not permitted"),
        ("[tolerance.a]\nabsolute = -1", "tolerance.a.absolute = -1: Input should be greater than or equal to 0"),
        ("[allowed]\na = 1.5", "allowed.a is 1.5; expected a share, 0 to 1"),
        ("[drift]\nfalse_alarm_rate = 0", "drift.false_alarm_rate = 0: Input should be greater than 0"),
        ("[null_default]\na = [1]", "null_default.a"),
        ("[serving]\ntimeout = 1", "serving.timeout is no setting that a server's configuration has"),
        ("[serving]\nworkers = [1]", "serving.workers"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(_written(tmp_path, text))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_when_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        find_config(tmp_path, tmp_path / "absent.toml")


def test_a_setting_of_a_feature_that_nothing_has_is_a_mistake(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, "[allowed]\nplane__seat = 0.1"))
    with pytest.raises(InputError, match="names 'plane__seat', which no checked feature service has"):
        config.check_features(["plane__seats"])
    config.check_features(["plane__seat"])


@pytest.mark.parametrize(
    ("policy", "counts", "fails"),
    [
        (STRICT, {"lag": 1}, True),
        (STRICT, {}, False),
        (Policy(("unexplained",)), {"lag": 5}, False),
        (Policy(("unexplained", "lag")), {"lag": 5}, True),
        (Policy(("unexplained",)), {"unexplained": 1}, True),
        (Policy(allowed={"f": 0.05}), {"lag": 5}, False),
        (Policy(allowed={"f": 0.049}), {"lag": 5}, True),
        (Policy(allowed={"g": 1.0}), {"lag": 1}, True),
        (Policy((), {}), {"lag": 1}, False),
    ],
)
def test_a_policy_says_which_mismatches_fail_and_how_many_may_be(
    policy: Policy, counts: dict[str, int], fails: bool
) -> None:
    assert policy.fails("f", compared=100, mismatched=sum(counts.values()), by_cause=counts) is fails
