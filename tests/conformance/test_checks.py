"""What every check keeps, whatever it compares. One suite over `registry.EXAMPLES`."""

from __future__ import annotations

import ast
import random
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conformance.example import Example, counts_add_up, found
from tests.conformance.registry import EXAMPLES

from trueup.frame import FeatureFrame
from trueup.parity import checks
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, Result, could_not_run
from trueup.parity.sinks.json import parse_json, render_json

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:great_expectations")

AT = datetime(2013, 11, 1, tzinfo=UTC)
FOLDER = Path(next(iter(checks.__path__)))
FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
OUTSIDE = {
    *(
        "os",
        "io",
        "pathlib",
        "shutil",
        "tempfile",
        "glob",
        "socket",
        "subprocess",
        "sqlite3",
        "urllib",
        "http",
        "requests",
    ),
    *("time", "threading", "asyncio", "logging", "random", "duckdb", "redis", "mlflow", "feast", "great_expectations"),
}
"""Modules that read, write, wait, or decide by chance: no check imports them."""
RIM = ("trueup.parity.evidence", "trueup.stores", "trueup.eventlog.reader", "trueup.eventlog.writer", "trueup.models")

every_check = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.check)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def report(result: AnyResult) -> Report:
    return Report(AT, AT, (result,))


def rows(example: Example) -> range:
    return range(example.rows)


def shuffled(example: Example, seed: int = 7) -> list[int]:
    return random.Random(seed).sample(rows(example), example.rows)


def test_every_check_has_its_example() -> None:
    assert sorted(example.check for example in EXAMPLES) == [path.stem for path in FILES]


@every_check
def test_empty_evidence_could_not_run_and_exits_with_2(example: Example) -> None:
    for unusable in (0, 3):
        result = example.run(example.make([], unusable=unusable))
        assert (result.verdict, report(result).exit_code) == ("could not run", 2)


@every_check
def test_clean_evidence_passes_and_exits_with_0(example: Example) -> None:
    result = example.run(example.make(rows(example)))
    assert (result.verdict, found(result), report(result).exit_code) == ("pass", 0, 0)


@every_check
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_changed_value_fails_and_is_counted_exactly_once(example: Example, place: str) -> None:
    changed = {"first": 0, "middle": example.rows // 2, "last": example.rows - 1}[place]
    result = example.run(example.make(rows(example), changed=changed))
    assert (result.verdict, found(result), report(result).exit_code) == ("fail", 1, 1)


@every_check
@pytest.mark.parametrize("changed", [None, 2])
@pytest.mark.parametrize("unusable", [0, 3])
def test_counts_add_up_and_no_row_is_lost(example: Example, changed: int | None, unusable: int) -> None:
    result = example.run(example.make(rows(example), changed=changed, unusable=unusable))
    assert counts_add_up(result)
    assert result.rows + sum(result.uncompared.values()) == example.rows + unusable


@every_check
@pytest.mark.parametrize("changed", [None, 2])
def test_the_order_of_rows_does_not_change_the_result(example: Example, changed: int | None) -> None:
    """Where a row stood, a sample may say, and a note of `transforms`."""
    results = [example.run(example.make(order, changed=changed)) for order in (rows(example), shuffled(example))]
    assert places_aside(results[0]) == places_aside(results[1])


@every_check
def test_checking_twice_gives_the_same_bytes(example: Example) -> None:
    evidence = example.make(rows(example), changed=2, unusable=1)
    texts = {render_json(report(example.run(evidence))) for _ in range(2)}
    texts.add(render_json(report(example.run(example.make(rows(example), changed=2, unusable=1)))))
    assert len(texts) == 1


@every_check
@pytest.mark.parametrize("changed", [None, 2])
def test_the_result_survives_the_reports_json(example: Example, changed: int | None) -> None:
    made = report(example.run(example.make(rows(example), changed=changed, unusable=1)))
    again = parse_json(render_json(made))
    assert again == made
    assert (again.verdict, again.results[0].check) == (made.verdict, example.check)


@every_check
def test_a_problem_is_a_result_of_the_checks_own_shape(example: Example) -> None:
    result = could_not_run(example.check, "subject", "why not.", rows=4)
    assert type(result) is type(example.run(example.make(rows(example))))
    assert (result.verdict, result.problem, sum(result.uncompared.values())) == ("could not run", "why not.", 4)


@every_check
@pytest.mark.parametrize("changed", [None, 2])
def test_the_evidence_is_not_changed_by_the_check(example: Example, changed: int | None) -> None:
    evidence = example.make(rows(example), changed=changed, unusable=2)
    before = content(evidence)
    example.run(evidence)
    assert content(evidence) == before == content(example.make(rows(example), changed=changed, unusable=2))


@every_file
def test_a_checks_file_does_no_input_or_output(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {name for node in ast.walk(tree) for name in _imports(node)}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert {name.partition(".")[0] for name in imported} & OUTSIDE == set()
    assert [name for name in imported if name.startswith(RIM)] == []
    assert called & {"open", "print", "input", "exec", "eval", "__import__"} == set()


@every_file
def test_a_checks_file_says_which_check_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert any(
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "CHECK"
        and ast.literal_eval(node.value or ast.Constant(None)) == path.stem
        for node in tree.body
    )


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [item.name for item in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def places_aside(result: AnyResult) -> AnyResult:
    if not isinstance(result, Result):
        return result
    samples = tuple(replace(sample, request=None) for sample in result.samples)
    return replace(result, samples=samples, notes={} if result.check == "transforms" else result.notes)


def content(value: Any) -> Any:
    """A value's whole content, to compare; functions by name."""
    if isinstance(value, FeatureFrame):
        return [content(table) for table in (value.values, value.statuses, value.event_timestamps)]
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: content(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: content(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [content(item) for item in value]
    if isinstance(value, (pa.Table, pa.Array, pa.ChunkedArray)):
        return value.to_pylist()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    return getattr(value, "__qualname__", None) if callable(value) else repr(value)
