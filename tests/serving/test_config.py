"""Settings: file, then environment, then command line; a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import InputError
from trueup_serving.config import PREFIX, load_config

SHIPPED = Path("serving/serving.toml")
TEXT = """
repo = "from_file"
[experiment]
name = "ab"
unit = "flight"
salt = "s"
[[experiment.variants]]
name = "a"
model = "m"
weight = 1
[log]
batch_rows = 10
"""


def _file(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "serving.toml"
    path.write_text(text)
    return path


def test_the_shipped_settings_are_the_flights_ab_test() -> None:
    config = load_config(SHIPPED, env={})
    assert [(v.name, v.model, v.alias, v.weight) for v in config.design.variants] == [
        ("flights", "flights", "champion", 50),
        ("flights_leaky", "flights_leaky", "champion", 50),
    ]
    assert (config.design.unit, config.design.shadow, config.clock) == ("flight_id", True, "request")
    (design,) = config.design.experiments
    assert [(each.name, each.kind, each.guardrail) for each in (*design.metrics, *design.guardrails)] == [
        ("squared_error", "mean", False),
        ("correct", "mean", False),
        ("auc", "model", False),
        ("log_loss", "mean", True),
    ]


LAYERED = """
name = "{name}"
unit = "flight"
salt = "{name}"
layer = {{name = "main", salt = "main", from = {begin}, to = {end}}}
[[variants]]
name = "{name}-a"
model = "m"
weight = 1
"""


def _experiments(tmp_path: Path, *parts: tuple[str, float, float], named: str = "ab/{name}.toml") -> Path:
    """A server's settings that name one file for each (name, from, to), in a folder beside them."""
    (tmp_path / "ab").mkdir()
    for name, begin, end in parts:
        text = LAYERED.format(name=name, begin=begin, end=end)
        (tmp_path / "ab" / f"{name}.toml").write_text(text, encoding="utf-8")
    files = ", ".join(f'"{named.format(name=name)}"' for name, *_ in parts)
    return _file(tmp_path, f"experiments = [{files}]\n")


def test_experiments_are_files_relative_to_the_settings_that_name_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _experiments(tmp_path, ("one", 0.0, 0.5), ("two", 0.5, 1.0))
    monkeypatch.chdir("/")
    design = load_config(path, env={}).design
    assert [each.name for each in design.experiments] == ["one", "two"]
    assert [variant.name for variant in design.variants] == ["one-a", "two-a"]


def test_an_experiment_in_the_settings_is_the_one_in_a_file(tmp_path: Path) -> None:
    text = TEXT.partition("[experiment]")[2].partition("[log]")[0]
    (tmp_path / "ab.toml").write_text(text.replace("experiment.variants", "variants"), encoding="utf-8")
    inline = load_config(_file(tmp_path), env={}).design
    in_a_file = load_config(_file(tmp_path, 'experiments = ["ab.toml"]\n'), env={}).design
    assert inline == in_a_file


def test_experiments_that_cannot_be_served_together_do_not_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'one' and 'two' share a part of layer 'main': 0 to 0.6 and 0.5 to 1"):
        load_config(_experiments(tmp_path, ("one", 0.0, 0.6), ("two", 0.5, 1.0)), env={})


def test_an_experiment_in_the_settings_and_one_in_a_file_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name it in a file of its own") as refused:
        load_config(_file(tmp_path, f'experiments = ["ab.toml"]\n{TEXT}'), env={})
    assert refused.value.field == "experiments"


def test_a_wrong_experiment_is_named_with_its_file(tmp_path: Path) -> None:
    path = _experiments(tmp_path, ("one", 0.0, 1.0))
    (tmp_path / "ab" / "one.toml").write_text("traffic = 2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"ab/one\.toml: .*traffic: input should be less than or equal to 1 \(got 2\)"):
        load_config(path, env={})
    (tmp_path / "ab" / "one.toml").unlink()
    with pytest.raises(InputError, match=r"ab/one\.toml cannot be read"):
        load_config(path, env={})


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_SERVING_REPO", "from_environment")
    monkeypatch.setenv("TRUEUP_SERVING_LOG__BATCH_SECONDS", "2.5")
    monkeypatch.setenv("TRUEUP_SERVING_SERVER__PORT", "1")
    monkeypatch.setenv("TRUEUP_SERVING_SERVER__HOST", "::1")
    config = load_config(_file(tmp_path), {"server": {"port": 2}})
    assert config.repo == Path("from_environment")
    assert (config.log.batch_rows, config.log.batch_seconds) == (10, 2.5)
    assert (config.server.port, config.server.host) == (2, "::1")


def test_what_the_server_is_not_told_it_takes_from_trueups_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_LOG_DIR", "elsewhere")
    monkeypatch.setenv("TRUEUP_REPO", "not this one")
    config = load_config(_file(tmp_path))
    assert (config.log_dir, config.repo) == (Path("elsewhere"), Path("from_file"))


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("", "experiments", "no model answers"),
        (TEXT + "surprise = 1\n", "log.surprise", "not permitted"),
        (TEXT.replace("weight = 1", "weight = 0.5"), "experiment.variants.0.weight", "valid integer"),
        (TEXT.replace("weight = 1", "wieght = 1"), "experiment.variants.0.wieght", "not permitted"),
        (TEXT.replace("weight = 1", ""), "experiment.variants.0", "has no weight"),
        (TEXT.replace("weight = 1", "weight = 0"), "variants", "add up to 0"),
        (TEXT.replace('unit = "flight"', 'unit = ""'), "unit", "unit is empty"),
        (TEXT.replace("batch_rows = 10", "batch_rows = 0"), "batch_rows", "not between 1 and"),
        (TEXT.replace("batch_rows = 10", "queue_rows = 100\nbatch_rows = 1"), "log.queue_rows", "always be dropped"),
        ('clock = "sun"' + TEXT, "clock", "'wall' or 'request'"),
        (TEXT + "[server]\nport = 65536\n", "server.port", "less than or equal to 65535"),
        (TEXT + "[limits]\nmax_rows = 0\n", "limits.max_rows", "greater than or equal to 1"),
        ('environment_check = "on"' + TEXT, "environment_check", "'off', 'warn' or 'refuse'"),
        (TEXT + "[limits]\nconcurrency = 0\n", "limits.concurrency", "greater than or equal to 1"),
        (TEXT + "[server]\nworkers = 4\n", "server.workers", "start more servers behind a load balancer"),
        ('fallback = "zero"' + TEXT, "fallback", "'refuse' or 'missing'"),
        ("alias_poll_seconds = -1" + TEXT, "alias_poll_seconds", "greater than or equal to 0"),
        ("online_timeout_seconds = 0" + TEXT, "online_timeout_seconds", "greater than 0"),
        ("not toml", "config", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, field: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        load_config(_file(tmp_path, text), env={})
    assert refused.value.field == field
    assert says in str(refused.value)


@pytest.mark.parametrize(("variable", "threads"), [("1", 1), ("4,2", 4), ("", None), ("many", None)])
def test_the_serving_version_is_made_of_the_settings_and_of_the_threads(
    tmp_path: Path, variable: str, threads: int | None
) -> None:
    text = 'fallback = "missing"' + TEXT + "[limits]\nmax_rows = 7\nconcurrency = 5\n"
    version = load_config(_file(tmp_path, text), env={}).version({"OMP_NUM_THREADS": variable})
    assert (version.fallback, version.max_rows, version.concurrency, version.log_batch_rows) == ("missing", 7, 5, 10)
    assert (version.workers, version.service_threads, version.model_threads) == (1, 1, threads)


def test_the_message_says_where_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"server\.port: .*got 99999.*serving\.toml, or as {PREFIX}SERVER__PORT"):
        load_config(_file(tmp_path), {"server": {"port": 99_999}}, env={})


@pytest.mark.parametrize("name", ["TRUEUP_SERVING_LOGDIR", "TRUEUP_SERVING_", "TRUEUP_SERVING_POTR__X"])
def test_a_mistyped_variable_is_an_error_not_ignored(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name} names no setting") as refused:
        load_config(_file(tmp_path), env={name: "1"})
    assert refused.value.field == name


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml cannot be read"):
        load_config(tmp_path / "nothing.toml", env={})
