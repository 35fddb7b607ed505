"""`trueup diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.files import write_whole
from trueup.cli.options import (
    Datasets,
    Json,
    LedgerPath,
    Metrics,
    Repo,
    TrackingUri,
    datasets_folder,
    instant,
    print_json,
    window,
    write_file,
)
from trueup.cli.parity.place import LogPath, Place
from trueup.console import step
from trueup.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from trueup.diagnose.evidence.places import Places
    from trueup.diagnose.evidence.promised import Promised
    from trueup.diagnose.evidence.served import Wanted
    from trueup.eventlog.labelled import Absent
    from trueup.experiments.metric import Metric

_ROLES = {"answer": ("answer",), "shadow": ("shadow",), "all": ("answer", "shadow")}


def diagnose(
    models: Annotated[
        list[str], typer.Option("--model", help="MODEL (its champion), MODEL@ALIAS or MODEL/VERSION; repeatable.")
    ],
    since: Annotated[str | None, typer.Option(help="Rows served from this instant on, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option(help="Rows served before this instant.")] = None,
    metric: Annotated[str, typer.Option(help="auc, log_loss, brier or accuracy.")] = "auc",
    outcome: Annotated[
        str | None, typer.Option(help="The imported outcome; default: the label the model learned.")
    ] = None,
    delay: Annotated[
        str | None, typer.Option(help="Label delay: how long after a request its outcome may come, such as 24h.")
    ] = None,
    absent: Annotated[
        str | None, typer.Option(help="A row without an outcome after its delay: unknown (left out) or zero.")
    ] = None,
    experiment: Annotated[
        Path | None, typer.Option("--experiment", help="Experiment TOML: outcome, delay and absent are its metrics'.")
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option("--segment", help="Split the population shift by this request field; default: a few."),
    ] = None,
    role: Annotated[str, typer.Option(help="Rows the model scored as answer, as shadow, or all.")] = "all",
    repo: Repo = None,
    log: LogPath = None,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="Imported outcomes [TRUEUP_OUTCOMES, default: build/outcomes].")
    ] = None,
    datasets: Datasets = None,
    ledger: LedgerPath = None,
    tracking_uri: TrackingUri = None,
    now: Annotated[str | None, typer.Option(help="Outcomes known by this instant count; default: the present.")] = None,
    replicates: Annotated[int, typer.Option(min=100, help="Bootstrap replicates behind each interval.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    report: Annotated[Path | None, typer.Option("--report", help="Write an HTML page with the waterfall.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write it as Markdown.")] = None,
    prometheus: Metrics = None,
    as_json: Json = False,
) -> None:
    """Why a model's metric online is not what its holdout promised: a ledger that adds up, over six causes.

    From the holdout as logged, over the holdout as it is read today, the served requests with offline features, the
    features as served and the predictions as served, to matured outcomes: each step with a bootstrap interval, split by
    what made it. Causes: environment, data, code, randomness, feature logic, serving.

    Exits 0 when none of them is behind the gap, 1 when one is, 2 when there is no gap to explain yet.

    Example: trueup diagnose --model flights_leaky --since 2013-11-24T05:00:00Z --report build/diagnose.html
    """
    from trueup.diagnose.metrics import metric_kind
    from trueup.diagnose.run import run_diagnose
    from trueup.diagnose.sinks.terminal import show_ledger
    from trueup.instants import utc_now

    kind = metric_kind(metric)
    if role not in _ROLES:
        raise InputError("role", f"role: {role!r} is not one of {', '.join(_ROLES)}.")
    place = Place(repo=repo, log=log, tracking_uri=tracking_uri, ledger=ledger)
    found = []
    for model in models:
        with step(f"diagnose {model}") as advance:
            promised = _promised(place, model)
            wanted = _wanted(
                promised,
                window(since, until),
                _metric(experiment, outcome),
                outcome=outcome,
                delay=delay,
                absent=absent,
                folder=outcomes,
                now=instant("now", now) or utc_now(),
                role=role,
                segments=segment,
            )
            found.append(
                run_diagnose(
                    promised,
                    _places(place, datasets),
                    wanted,
                    kind,
                    replicates=replicates,
                    seed=seed,
                    progress=lambda doing: advance(1, doing),
                )
            )
    if report is not None:
        from trueup.diagnose.sinks.html import render_page

        write_file(report, render_page(found), field="report")
    if markdown is not None:
        from trueup.diagnose.sinks.markdown import render_markdown

        write_file(markdown, "\n".join(render_markdown(each) for each in found), field="markdown")
    if prometheus is not None:
        from trueup.monitoring.samples.gap_ledger import ledger_samples
        from trueup.monitoring.samples.text import text_of

        write_whole(prometheus, text_of(ledger_samples(found)), field="prometheus", what="metrics")
    if as_json:
        print_json([each.to_json() for each in found] if len(found) > 1 else found[0].to_json())
    else:
        for each in found:
            show_ledger(each)
    codes = [each.exit_code for each in found]
    raise typer.Exit(1 if 1 in codes else max(codes))


def _promised(place: Place, model: str) -> Promised:
    from trueup.diagnose.evidence.promised import load_promised

    named = model if "@" in model or "/" in model else f"{model}@champion"
    return load_promised(place.tracking, place.tracking.resolve(named))


def _metric(experiment: Path | None, outcome: str | None) -> Metric | None:
    """The experiment's metric of the outcome: the one with the longest delay."""
    if experiment is None:
        return None
    from trueup.experiments.toml import load_experiment

    design = load_experiment(experiment)
    metrics = [each for each in (*design.metrics, *design.guardrails) if outcome in (None, each.outcome)]
    if not metrics:
        raise InputError(
            "outcome", f"outcome: experiment {design.name} has no metric of outcome {outcome!r}.", hint="Name another."
        )
    return max(metrics, key=lambda each: each.delay)


def _wanted(
    promised: Promised,
    between: tuple[datetime | None, datetime | None],
    metric: Metric | None,
    *,
    outcome: str | None,
    delay: str | None,
    absent: str | None,
    folder: Path | None,
    now: datetime,
    role: str,
    segments: list[str] | None,
) -> Wanted:
    from trueup.diagnose.evidence.served import Wanted
    from trueup.eventlog.outcomes import read_outcomes
    from trueup.settings import Settings

    label = promised.bundle.card.label
    name = outcome or (metric.outcome if metric is not None else label)
    if name is None:
        raise InputError("outcome", "outcome: the model does not say which label it learned; name it with --outcome.")
    return Wanted(
        outcomes=read_outcomes(folder or Settings().outcomes, name),
        delay=_delay(delay, metric),
        absent=_absent(absent, metric),
        now=now,
        since=between[0],
        until=between[1],
        roles=_ROLES[role],
        segments=segments,
    )


def _delay(text: str | None, metric: Metric | None) -> timedelta:
    from datetime import timedelta

    from trueup.instants import parse_duration

    if text is not None:
        return parse_duration(text, field="delay")
    return metric.delay if metric is not None else timedelta()


def _absent(text: str | None, metric: Metric | None) -> Absent:
    match text:
        case None:
            return metric.absent if metric is not None else "unknown"
        case "unknown" | "zero":
            return text
    raise InputError("absent", f"absent: {text!r} is not one of unknown, zero.")


def _places(place: Place, datasets: Path | None) -> Places:
    from trueup.diagnose.evidence.places import Places

    config = place.config
    return Places(
        repo=place.repo,
        log=place.log,
        datasets=datasets_folder(datasets, place.tracking_uri),
        ledger=place.ledger,
        project=place.store.project,
        tolerances=config.tolerances,
        applied=place.applied,
        defaults=config.null_default,
        declared_types=place.declared_types,
    )
