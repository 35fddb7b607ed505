"""When each alert fires, and its near misses: series as Prometheus would have scraped them, in promtool's notation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.instants import Schedule
from trueup.monitoring.config import MonitoringConfig

HOUR = timedelta(hours=1)
SOURCE = Source("test", "at", None, None, {"source": "none"}, {})
CONFIG = MonitoringConfig.model_validate({"slo": {"availability": 0.999, "latency_seconds": 0.1, "latency": 0.99}})


def view(name: str, *, ttl: timedelta | None, cadence: timedelta, delay: timedelta = timedelta()) -> View:
    keys = (JoinKey("k", "String", "k"),)
    return View(name, name, keys, (Field("f", "Float64"),), ttl, SOURCE, Schedule(cadence, delay))


VIEWS = (
    view("weather", ttl=6 * HOUR, cadence=HOUR, delay=timedelta(minutes=5)),
    view("facts", ttl=None, cadence=timedelta()),
    view('a "b" \\c', ttl=24 * HOUR, cadence=24 * HOUR),
)


@dataclass(frozen=True)
class Case:
    """fires: labels beside the rule's own; None: a near miss. at: how long after the first sample it is looked at."""

    alert: str
    why: str
    series: Mapping[str, str]
    at: str
    fires: Mapping[str, str] | None = None
    interval: str = "1m"
    static: Mapping[str, str] = field(default_factory=dict)
    """Which of several rules of the alert's name, by their labels."""


REQUESTS = 'trueup_requests_total{route="/v1/predict",code="%s"}'
SLOW = 'trueup_request_seconds_%s{route="/v1/predict"%s}'
UP = 'up{job="trueup-serving",instance="%s"}'
LOOKUPS = 'trueup_lookups_total{service="s",outcome="%s"}'
VALUES = 'trueup_feature_values_total{service="s",feature="weather__wind",status="%s"}'
TRAINED = 'trueup_parity_absent_ratio{check="distribution",subject="m@1",feature="weather__wind",side="training"}'
JOB = '{task="parity",kind="parity"}'
GAP = 'trueup_ledger_gap%s{model="m",version="1",metric="%s"}'


def requests(errors: float, minutes: int, per_minute: int = 10_000) -> dict[str, str]:
    """A steady share of errors."""
    wrong = errors * per_minute
    return {REQUESTS % "200": f"0+{per_minute - wrong:g}x{minutes}", REQUESTS % "503": f"0+{wrong:g}x{minutes}"}


def latencies(slow: float, minutes: int, per_minute: int = 10_000) -> dict[str, str]:
    """A steady share of requests beyond 100 ms."""
    fast = (1 - slow) * per_minute
    return {
        SLOW % ("bucket", ',le="0.1"'): f"0+{fast:g}x{minutes}",
        SLOW % ("count", ""): f"0+{per_minute}x{minutes}",
    }


def burning(alert: str, share: float, series: object) -> tuple[Case, ...]:
    """share: what the objective allows. The three windows of a budget, and their near misses."""
    make = series
    assert callable(make)
    hour, six, days = {"window": "1h"}, {"window": "6h"}, {"window": "3d"}
    return (
        Case(alert, "15 times too fast for an hour", make(15 * share, 80), "70m", {}, static=hour),
        Case(alert, "14 times too fast for an hour", make(14 * share, 80), "70m", static=hour),
        Case(alert, "7 times too fast for six hours", make(7 * share, 420), "400m", {}, static=six),
        Case(alert, "5.9 times too fast for six hours", make(5.9 * share, 420), "400m", static=six),
        Case(alert, "1.2 times too fast for three days", make(1.2 * share, 1200), "90h", {}, "5m", days),
        Case(alert, "0.9 times for three days", make(0.9 * share, 1200), "90h", None, "5m", days),
    )


CASES: tuple[Case, ...] = (
    Case("TrueupServingDown", "all are down", {UP % "a": "1x2 0x10", UP % "b": "1x2 0x10"}, "6m", {}),
    Case("TrueupServingDown", "nobody is known", {"x": "1x10"}, "3m", {}),
    Case("TrueupServingDown", "one is up", {UP % "a": "1x20", UP % "b": "0x20"}, "15m"),
    Case(
        "TrueupServerDown",
        "one is down",
        {UP % "a": "1x20", UP % "b": "0x20"},
        "6m",
        {"job": "trueup-serving", "instance": "b"},
    ),
    Case("TrueupServerDown", "not for long enough", {UP % "a": "1x20", UP % "b": "0x4 1x16"}, "6m"),
    Case(
        "TrueupNoTraffic",
        "nobody asks",
        {'trueup_variant_requests_total{experiment="e",variant="v",outcome="answered"}': "7x30"},
        "20m",
        {"experiment": "e"},
    ),
    Case(
        "TrueupNoTraffic",
        "one asks now and then",
        {'trueup_variant_requests_total{experiment="e",variant="v",outcome="answered"}': "0+1x30"},
        "20m",
    ),
    Case("TrueupNoTraffic", "there is no server: another alert says so", {"x": "1x30"}, "20m"),
    Case(
        "TrueupOnlineStoreFails",
        "3 %",
        {LOOKUPS % "failed": "0+3x20", LOOKUPS % "answered": "0+97x20"},
        "10m",
        {"service": "s"},
    ),
    Case("TrueupOnlineStoreFails", "0.5 %", {LOOKUPS % "failed": "0+5x20", LOOKUPS % "answered": "0+995x20"}, "10m"),
    Case(
        "TrueupOnlineStoreFails", "nothing is read", {LOOKUPS % "failed": "5x20", LOOKUPS % "answered": "5x20"}, "10m"
    ),
    Case(
        "TrueupFallbackAnswers",
        "rows without features",
        {'trueup_fallback_rows_total{experiment="e",variant="v"}': "0 0 0+2x20"},
        "10m",
        {"experiment": "e", "variant": "v"},
    ),
    Case(
        "TrueupFallbackAnswers", "long ago", {'trueup_fallback_rows_total{experiment="e",variant="v"}': "9x20"}, "10m"
    ),
    Case(
        "TrueupLogRowsLost",
        "a write failed once",
        {'trueup_log_rows_total{instance="a",outcome="failed"}': "0 0 0 4x20"},
        "6m",
        {"instance": "a", "outcome": "failed"},
    ),
    Case("TrueupLogRowsLost", "long ago", {'trueup_log_rows_total{instance="a",outcome="failed"}': "0 0 4x60"}, "30m"),
    Case(
        "TrueupLogRowsLost",
        "rows are written",
        {'trueup_log_rows_total{instance="a",outcome="written"}': "0+9x60"},
        "30m",
    ),
    Case(
        "TrueupLogQueueFills",
        "81 %",
        {'trueup_log_queue_rows{instance="a"}': "81x9", 'trueup_log_queue_limit_rows{instance="a"}': "100x9"},
        "5m",
        {"instance": "a"},
    ),
    Case(
        "TrueupLogQueueFills",
        "80 %",
        {'trueup_log_queue_rows{instance="a"}': "80x9", 'trueup_log_queue_limit_rows{instance="a"}': "100x9"},
        "5m",
    ),
    Case(
        "TrueupOverloaded",
        "it refuses",
        {'trueup_overloaded_requests_total{instance="a"}': "0+1x20"},
        "15m",
        {"instance": "a"},
    ),
    Case("TrueupOverloaded", "it refused once", {'trueup_overloaded_requests_total{instance="a"}': "0 3x20"}, "15m"),
    Case(
        "TrueupAliasNotFollowed",
        "for long",
        {'trueup_alias_followed{instance="a",variant="v"}': "0x20"},
        "6m",
        {"instance": "a", "variant": "v"},
    ),
    Case(
        "TrueupAliasNotFollowed", "for a moment", {'trueup_alias_followed{instance="a",variant="v"}': "0x3 1x9"}, "6m"
    ),
    *burning("TrueupErrorBudgetBurn", 0.001, requests),
    Case(
        "TrueupErrorBudgetBurn",
        "it was bad for an hour, and is good for ten minutes",
        {REQUESTS % "200": "0+9000x60 540000+10000x20", REQUESTS % "503": "0+1000x60 60000x20"},
        "71m",
        static={"window": "1h"},
    ),
    Case(
        "TrueupErrorBudgetBurn",
        "nobody asks",
        {REQUESTS % "200": "5x80", REQUESTS % "503": "5x80"},
        "70m",
        static={"window": "1h"},
    ),
    *burning("TrueupLatencyBudgetBurn", 0.01, latencies),
    Case(
        "TrueupLateMaterialization",
        "a run was missed",
        {'trueup_view_known_timestamp_seconds{view="weather"}': "0x200"},
        "131m",
        {},
        static={"view": "weather"},
    ),
    Case(
        "TrueupLateMaterialization",
        "one may be on its way",
        {'trueup_view_known_timestamp_seconds{view="weather"}': "0x200"},
        "129m",
        static={"view": "weather"},
    ),
    Case(
        "TrueupLateMaterialization",
        "they come",
        {'trueup_view_known_timestamp_seconds{view="weather"}': "0+60x300"},
        "250m",
        static={"view": "weather"},
    ),
    Case(
        "TrueupStaleView",
        "older than its TTL",
        {'trueup_view_newest_event_timestamp_seconds{view="weather"}': "0x400"},
        "366m",
        {},
        static={"view": "weather"},
    ),
    Case(
        "TrueupStaleView",
        "as old as its TTL, inclusive",
        {'trueup_view_newest_event_timestamp_seconds{view="weather"}': "0 60x400"},
        "366m",
        static={"view": "weather"},
    ),
    Case(
        "TrueupStaleView",
        "a name with quotes",
        {'trueup_view_newest_event_timestamp_seconds{view="a \\"b\\" \\\\c"}': "0x2000"},
        "1446m",
        {},
        static={"view": 'a "b" \\c'},
    ),
    Case(
        "TrueupEmptyView",
        "nothing is there",
        {'trueup_view_entities{view="weather"}': "0x20"},
        "6m",
        {"view": "weather"},
    ),
    Case("TrueupEmptyView", "one is there", {'trueup_view_entities{view="weather"}': "1x20"}, "6m"),
    Case(
        "TrueupNullRate",
        "16.7 % against 10 %",
        {VALUES % "present": "0+50x90", VALUES % "missing": "0+10x90", TRAINED: "0.1x90"},
        "80m",
        {"service": "s", "feature": "weather__wind", "view": "weather"},
    ),
    Case(
        "TrueupNullRate",
        "14.5 % against 10 %",
        {VALUES % "present": "0+53x90", VALUES % "missing": "0+9x90", TRAINED: "0.1x90"},
        "80m",
    ),
    Case(
        "TrueupNullRate",
        "60 rows an hour say little",
        {VALUES % "present": "0x90", VALUES % "missing": "0+1x90", TRAINED: "0.1x90"},
        "80m",
    ),
    Case("TrueupNullRate", "training is not known", {VALUES % "present": "0x90", VALUES % "null": "0+9x90"}, "80m"),
    *(
        Case(
            "TrueupParityMismatch",
            why,
            {'trueup_parity_view_mismatch_ratio{check="served",subject="m@1",view="weather"}': f"{ratio}x20"},
            "6m",
            fires,
        )
        for why, ratio, fires in (
            ("0.11 %", 0.0011, {"check": "served", "subject": "m@1", "view": "weather", "model": "m"}),
            ("0.1 %", 0.001, None),
        )
    ),
    Case(
        "TrueupParityMismatch",
        "a view of the online store is no model",
        {'trueup_parity_view_mismatch_ratio{check="online",subject="weather",view="weather"}': "1x20"},
        "6m",
        {"check": "online", "subject": "weather", "view": "weather"},
    ),
    *(
        Case(alert, why, {f"{metric}{{{labels}}}": f"{value}x20"}, "6m", fires)
        for alert, metric, labels, near, bad, fires in (
            (
                "TrueupUnexplainedMismatch",
                "trueup_parity_cause_cells",
                'check="served",subject="m@1",cause="unexplained"',
                0,
                1,
                {"check": "served", "subject": "m@1", "model": "m"},
            ),
            (
                "TrueupParityCannotRun",
                "trueup_parity_verdict",
                'check="served",subject="m@1",verdict="could_not_run"',
                0,
                1,
                {"check": "served", "subject": "m@1"},
            ),
            (
                "TrueupDrift",
                "trueup_parity_drifted_features",
                'check="distribution",subject="m@1"',
                0,
                1,
                {"check": "distribution", "subject": "m@1", "model": "m"},
            ),
            (
                "TrueupExpectationsFail",
                "trueup_parity_failed_expectations",
                'check="expectations",subject="m@1"',
                0,
                1,
                {"check": "expectations", "subject": "m@1", "model": "m"},
            ),
            (
                "TrueupSampleRatioMismatch",
                "trueup_experiment_sample_ratio_p_value",
                'experiment="e"',
                0.001,
                0.0009,
                {"experiment": "e"},
            ),
            (
                "TrueupGuardrailBroken",
                "trueup_experiment_guardrail",
                'experiment="e",variant="v",metric="q",verdict="broken"',
                0,
                1,
                {"experiment": "e", "variant": "v", "metric": "q"},
            ),
            (
                "TrueupJobMetricsUnreadable",
                "trueup_job_metrics_readable",
                'task="parity",kind="parity"',
                1,
                0,
                {"task": "parity", "kind": "parity"},
            ),
        )
        for why, value, fires in ((f"{bad}", bad, fires), (f"{near}", near, None))
    ),
    *(
        Case(
            "TrueupModelQuality",
            why,
            {GAP % ("", metric): f"{gap}x20", GAP % (end, metric): f"{bound}x20"},
            "6m",
            {"model": "m", "version": "1", "metric": metric} if fires else None,
        )
        for why, metric, gap, end, bound, fires in (
            ("AUC is 0.03 lower, for certain", "auc", -0.03, "_high", -0.01, True),
            ("AUC is 0.03 lower, perhaps", "auc", -0.03, "_high", 0.01, False),
            ("AUC is 0.02 lower", "auc", -0.02, "_high", -0.01, False),
            ("AUC is higher", "auc", 0.03, "_high", 0.05, False),
            ("log loss is 0.03 higher, for certain", "log_loss", 0.03, "_low", 0.01, True),
            ("log loss is lower", "log_loss", -0.03, "_low", -0.05, False),
        )
    ),
    Case("TrueupMonitorMissing", "nobody runs", {"x": "1x20"}, "6m", {}),
    Case("TrueupMonitorMissing", "one runs", {'trueup_monitor_info{version="1"}': "1x20"}, "6m"),
    Case("TrueupMonitorMissing", "it was restarted", {'trueup_monitor_info{version="1"}': "1 _x3 1x20"}, "12m"),
    *(
        Case(
            "TrueupJobNotRun",
            why,
            {
                f"trueup_job_last_success_timestamp_seconds{JOB}": "0x300",
                f"trueup_job_interval_seconds{JOB}": "3600x300",
            },
            at,
            {"task": "parity", "kind": "parity"} if fires else None,
            static={"since": "last"},
        )
        for why, at, fires in (("three hours and a little", "186m", True), ("three hours", "183m", False))
    ),
    *(
        Case(
            "TrueupJobNotRun",
            why,
            {f"trueup_job_interval_seconds{JOB}": "3600x300"},
            at,
            {"task": "parity", "kind": "parity"} if fires else None,
            static={"since": "ever"},
        )
        for why, at, fires in (("never", "121m", True), ("not yet", "119m", False))
    ),
)
