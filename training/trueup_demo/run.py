"""The main job, start to end: real flights in, an explained A/B test out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureStore

from trueup.console import step
from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.diagnose.sinks.html import ledger_section
from trueup.errors import StoreError
from trueup.eventlog.reader import find_logs, read_log
from trueup.gate.server_process import HOST, model_server
from trueup.models.tracking import Tracking
from trueup.parity.evidence.online import redis_reader
from trueup.parity.report import Experiment, Report, VariantScores
from trueup.parity.runs.online import run_online
from trueup.parity.runs.served import run_served
from trueup.parity.sinks.html import render_html
from trueup.stores.ledger import Ledger
from trueup.stores.local_redis import LocalRedis
from trueup.stores.redis_connection import connect
from trueup_demo.client import ReplayClient
from trueup_demo.explained import LATER, Explained, explain, import_outcomes
from trueup_demo.outcomes import OnlineScore, online_scores
from trueup_demo.replay import fill, replay
from trueup_demo.requests import flights_to_ask, requests_of
from trueup_demo.workspace import Workspace, fresh_workspace
from trueup_serving.config import load_config
from trueup_training.recipe import Recipe
from trueup_training.train import TrainedModel, train

REDIS_URL = "TRUEUP_REDIS_URL"


@dataclass(frozen=True)
class Plan:
    """What a demo replays. requests: at most so many, None for every flight of the days. The instants are UTC."""

    feature_repo: Path
    recipes: tuple[Recipe, ...]
    serving_config: Path
    workspace: Path
    start: datetime
    end: datetime
    requests: int | None


@dataclass(frozen=True)
class Outcome:
    """summary: what `summary.json` holds. report: the parity report, with the experiment in it. explained: the read-out
    and the ledgers."""

    summary: Mapping[str, Any]
    report: Report
    explained: Explained
    workspace: Workspace


def run_demo(plan: Plan) -> Outcome:
    """Runs the whole loop in a fresh workspace and leaves everything in it. Raises TrueupError when a step fails."""
    began = time.monotonic()
    workspace = fresh_workspace(plan.workspace, plan.feature_repo)
    with step("flights: raw files to event-time Parquet"):
        _in_repo(workspace, [sys.executable, "ingest.py", "--data", "data"])
    with step("feast apply"):
        _in_repo(workspace, [str(Path(sys.executable).with_name("feast")), "apply"])
    tracking = Tracking(workspace.tracking_uri)
    store = FeatureStore(repo_path=str(workspace.repo))
    trained = {recipe.model.name: _train(recipe, workspace, tracking) for recipe in plan.recipes}
    contract = extract_contract(store, plan.recipes[0].feature_service)
    flights = flights_to_ask(workspace.data / "outcomes.parquet", plan.start, plan.end, plan.requests)
    with _redis(workspace, store) as environment:
        runs = _play(plan, workspace, store, contract, flights, environment)
        report = _parity(workspace, tracking, contract, plan.end)
    with step("outcomes"):
        scores = _scores(workspace, flights, tuple(trained))
        import_outcomes(workspace, plan.end + LATER)
    with step("read out and explain") as advance:
        explained = explain(
            workspace,
            load_config(plan.serving_config).design.experiments[0],
            tracking,
            tuple(trained),
            report,
            now=plan.end + LATER,
            progress=lambda doing: advance(1, doing),
        )
    report = report.with_experiment(_experiment(trained, scores))
    sections = [ledger_section(ledger, index) for index, ledger in enumerate(explained.ledgers)]
    workspace.report.write_text(render_html(report, sections), encoding="utf-8")
    summary = {
        **_summary(workspace, report, trained, scores, flights.num_rows, runs),
        **explained.to_json(),
        "seconds": round(time.monotonic() - began, 1),
    }
    workspace.summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return Outcome(summary, report, explained, workspace)


def _train(recipe: Recipe, workspace: Workspace, tracking: Tracking) -> TrainedModel:
    with step(f"train {recipe.name} (known_at = {recipe.as_of.known_at})") as advance:
        return train(
            recipe,
            repo=workspace.repo,
            tracking=tracking,
            ledger=None,
            progress=lambda now: advance(1, now),
        )


def _play(
    plan: Plan,
    workspace: Workspace,
    store: FeatureStore,
    contract: FeatureContract,
    flights: pa.Table,
    environment: Mapping[str, str],
) -> int:
    with step("fill the online store"):
        fill(store, plan.start)
    with ExitStack() as server:
        with step("start the server"):
            port = server.enter_context(model_server(plan.serving_config, workspace.server_output, environment))
        with (
            ReplayClient(HOST, port) as client,
            step(f"replay {flights.num_rows:,} flights through the server", total=flights.num_rows) as advance,
        ):
            runs = replay(
                store, contract, requests_of(flights), client, start=plan.start, end=plan.end, progress=advance
            )
        with step("stop the server"):
            server.close()
    return runs


def _parity(workspace: Workspace, tracking: Tracking, contract: FeatureContract, now: datetime) -> Report:
    ledger = Ledger(workspace.ledger)
    with step("parity served") as advance:
        served = run_served(
            workspace.repo,
            workspace.log_dir,
            tracking.load_card,
            ledger=ledger,
            progress=lambda doing: advance(1, doing),
        )
    with step("parity online") as advance:
        online = run_online(
            workspace.repo,
            contract,
            redis_reader(connect(os.environ[REDIS_URL])),
            now=now,
            ledger=ledger,
            progress=lambda doing: advance(1, doing),
        )
    return served | online


def _scores(workspace: Workspace, flights: pa.Table, models: tuple[str, ...]) -> Mapping[str, OnlineScore]:
    rows = pa.concat_tables(read_log(directory).table for directory in find_logs(workspace.log_dir))
    return online_scores(rows, flights, models)


def _experiment(trained: Mapping[str, TrainedModel], scores: Mapping[str, OnlineScore]) -> Experiment:
    variants = tuple(
        VariantScores(
            name=name,
            requests=scores[name].requests,
            auc_offline=model.metrics["auc"],
            auc_online=scores[name].auc,
            log_loss_offline=model.metrics["log_loss"],
            log_loss_online=scores[name].log_loss,
        )
        for name, model in trained.items()
    )
    return Experiment("Real flights, two models, one A/B test", _story(variants), variants)


def _story(variants: tuple[VariantScores, ...]) -> str:
    """What happened, in plain words, whichever way it went."""
    best_offline = max(variants, key=lambda variant: variant.auc_offline)
    best_online = max(variants, key=lambda variant: variant.auc_online)
    if best_offline.name == best_online.name:
        return (
            f"{best_offline.name} is ahead offline (AUC {best_offline.auc_offline:.3f}) "
            f"and on served features ({best_online.auc_online:.3f})."
        )
    return (
        f"{best_offline.name} won offline (AUC {best_offline.auc_offline:.3f} against {best_online.auc_offline:.3f}) "
        f"and lost on served features ({best_offline.auc_online:.3f} against {best_online.auc_online:.3f}): "
        "it was trained on values that nobody knew yet."
    )


def _summary(
    workspace: Workspace,
    report: Report,
    trained: Mapping[str, TrainedModel],
    scores: Mapping[str, OnlineScore],
    requests: int,
    runs: int,
) -> dict[str, Any]:
    parity = report.summary()
    departures = workspace.data / "departures.parquet"
    return {
        "flights": _rows_of(departures),
        "requests": requests,
        "materializations": runs,
        "variants": {
            name: {
                "auc_offline": model.metrics["auc"],
                "auc_online": scores[name].auc,
                "log_loss_offline": model.metrics["log_loss"],
                "log_loss_online": scores[name].log_loss,
                "requests": scores[name].requests,
                "scored": scores[name].scored,
                "auc_answered": scores[name].auc_answered,
                "known_at": model.card.rule.known_at,
            }
            for name, model in trained.items()
        },
        "parity": {"served": parity["served"], "online": parity["online"]},
        "report": os.path.relpath(workspace.report),
    }


def _rows_of(path: Path) -> int:
    from pyarrow import parquet

    return int(parquet.read_metadata(path).num_rows)


@contextmanager
def _redis(workspace: Workspace, store: FeatureStore) -> Iterator[Mapping[str, str]]:
    """The online store of this demo, empty, and what the server must know of it and of the workspace."""
    environment = {
        "TRUEUP_SERVING_REPO": str(workspace.repo),
        "TRUEUP_SERVING_TRACKING_URI": workspace.tracking_uri,
        "TRUEUP_SERVING_LOG_DIR": str(workspace.log_dir),
        "TRUEUP_SERVING_CLOCK": "request",
        # The story needs the leaky model served, which no gate would let through.
        "TRUEUP_SERVING_ALLOW_UNVERIFIED": "true",
    }
    if REDIS_URL in os.environ:
        # Somebody's own Redis: only what an earlier demo left of this project is deleted in it.
        store._get_provider().online_store.teardown(store.config, store.list_feature_views(), store.list_entities())
        yield environment
        return
    with LocalRedis(workspace.redis) as server:
        os.environ[REDIS_URL] = server.url
        try:
            yield {**environment, REDIS_URL: server.url}
        finally:
            del os.environ[REDIS_URL]


def _in_repo(workspace: Workspace, command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 (our own commands)
        command, cwd=workspace.repo, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"}
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StoreError(f"`{' '.join([Path(command[0]).name, *command[1:]])}` failed:\n{tail}")
