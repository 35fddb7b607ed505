"""Laws of a parity command's outputs: the verdict always, each form asked for, and no half of a file."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import pytest
import typer
from tests.browser.example import START, example
from typer.testing import CliRunner

from trueup.cli.parity.online import online
from trueup.cli.parity.served import served
from trueup.cli.parity.show import ModelOutputs, Outputs, show, with_outputs
from trueup.console import errors, output
from trueup.models.tracking import Tracking
from trueup.parity.report import Report
from trueup.parity.sinks.html import render_html
from trueup.parity.sinks.json import parse_json

EXAMPLE = example()
PASSING = Report(START, START, EXAMPLE.of("transforms"))
FILES = {"report": "report.html", "json_file": "r.json", "markdown": "r.md", "junit": "r.xml", "prometheus": "r.prom"}


def outputs_in(folder: Path) -> Outputs:
    return Outputs(**{name: folder / file for name, file in FILES.items()})


def code_of(report: Report, outputs: Outputs | Path | None, *, as_json: bool = False) -> int:
    with pytest.raises(typer.Exit) as left:
        show(report, outputs, as_json=as_json)
    return left.value.exit_code


@pytest.mark.parametrize(
    ("report", "code"),
    [(PASSING, 0), (EXAMPLE, 1), (Report(START, START, ()), 2)],
    ids=["pass", "fail", "could not run"],
)
def test_every_form_is_written_whatever_the_verdict(report: Report, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert code_of(report, outputs_in(folder)) == code
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES.values())
    assert parse_json((folder / "r.json").read_text(encoding="utf-8")) == report
    assert len(ElementTree.parse(folder / "r.xml").getroot()) == len(report.results)
    assert (folder / "r.md").read_text(encoding="utf-8").splitlines()[0].endswith(report.verdict)
    assert (folder / "report.html").read_text(encoding="utf-8") == render_html(report)
    assert "trueup_parity_verdict" in (folder / "r.prom").read_text(encoding="utf-8")


def test_a_form_that_cannot_be_written_is_told_after_the_verdict_and_the_others_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a-file"
    file.write_text("kept")
    outputs = Outputs(report=file / "report.html", markdown=tmp_path, junit=tmp_path / "r.xml")
    assert code_of(PASSING, outputs) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("PASS")
    said = " ".join(shown.err.split())
    assert f"the report cannot be written to {file}/report.html: {file} is a file." in said
    assert f"the report cannot be written to {tmp_path}: Is a directory." in said
    assert (tmp_path / "r.xml").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "r.xml"]
    assert file.read_text() == "kept"


def test_a_file_that_was_there_is_replaced_whole_and_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "r.prom"
    path.write_text("x" * 10**6)
    code_of(PASSING, Outputs(prometheus=path))
    assert path.read_text(encoding="utf-8").startswith("# HELP trueup_parity")
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_tracking_store_that_refuses_leaves_the_verdict_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'none.db'}")
    for report, said in (
        (EXAMPLE, "none.db does not exist, or is empty"),
        (PASSING, "the report is about no registered model"),
    ):
        with pytest.raises(typer.Exit) as left:
            show(report, ModelOutputs(mlflow=True), tracking=tracking)
        assert left.value.exit_code == 2
        shown = capsys.readouterr()
        assert shown.out.startswith(report.verdict.upper())
        assert said in shown.err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_json_stands_alone_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(EXAMPLE, Outputs(as_json=True, markdown=tmp_path / "r.md")) == 1
    assert Report.from_json(json.loads(capsys.readouterr().out)) == EXAMPLE


def test_a_path_alone_is_the_html_report_as_it_was_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(EXAMPLE, tmp_path / "report.html") == 1
    assert f"report: {tmp_path / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    assert code_of(EXAMPLE, None, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["schema"] == "trueup.parity/2"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_file_name_that_is_no_utf_8_is_written_out_and_read_back(tmp_path: Path) -> None:
    odd = Report(START, START, (), facts={"log": b"\xff/log".decode("utf-8", "surrogateescape")})
    code_of(odd, outputs_in(tmp_path))
    assert parse_json((tmp_path / "r.json").read_text(encoding="utf-8")) == odd


# ------------------------------------------------------------------ options


def test_one_parameter_gives_a_command_every_option(tmp_path: Path) -> None:
    app = typer.Typer()
    seen: list[tuple[str, int, Outputs]] = []

    @app.command()
    @with_outputs
    def check(name: str, size: Annotated[int, typer.Option()] = 3, *, outputs: ModelOutputs) -> None:
        """What it checks."""
        seen.append((name, size, outputs))

    arguments = [f"--{name.replace('_', '-')}={tmp_path / file}" for name, file in FILES.items()]
    result = CliRunner().invoke(app, ["a", *arguments, "--json", "--mlflow", "--size", "5"])
    assert result.exit_code == 0, result.output
    given = {name: tmp_path / file for name, file in FILES.items()}
    assert seen == [("a", 5, ModelOutputs(**given, as_json=True, mlflow=True))]
    assert CliRunner().invoke(app, ["a"]).exit_code == 0
    assert seen[1] == ("a", 3, ModelOutputs())


@pytest.mark.parametrize(("command", "kind"), [(served, ModelOutputs), (online, Outputs)])
def test_the_commands_list_their_forms(command: object, kind: type[Outputs]) -> None:
    app = typer.Typer()
    app.command()(command)  # type: ignore[arg-type]
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "Example:" in shown
    for each in fields(kind):
        assert f"--{'json' if each.name == 'as_json' else each.name.replace('_', '-')}" in shown
    assert ("--mlflow" in shown) == (kind is ModelOutputs)


def test_a_name_between_colons_is_no_emoji() -> None:
    for console in (errors, output):
        with console.capture() as captured:
            console.print("features.a:b: is no such name", markup=True)
        assert captured.get() == "features.a:b: is no such name\n"
