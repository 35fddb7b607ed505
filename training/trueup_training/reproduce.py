"""`trueup reproduce`: a recorded run trained again, compared, and what has moved since, factor by factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueup.datasets.snapshot import Snapshot, build_again, build_snapshot
from trueup.datasets.training_set import Progress
from trueup.errors import TrueupError
from trueup.models.environment import read_environment
from trueup.models.environment_diff import EnvironmentDiff, diff
from trueup.models.tracking import ENVIRONMENT_FILE, LoggedRun, Tracking
from trueup.parity.snapshots import compare_snapshots
from trueup.stores.ledger import Ledger
from trueup_training.factors import FACTORS, Culprit, Factor, Swap, Trials, try_factors, why_not_reproduced
from trueup_training.outcome import TIER, Comparison, Outcome, Verdict, compare_outcomes, outcome_of
from trueup_training.recorded import RecordedRun, load_recorded
from trueup_training.retrain import Training, retrain
from trueup_training.today import Today, moved_factors, take_today
from trueup_training.worktree import Checkout, checkout

SCHEMA = "trueup.reproduction/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""


@dataclass(frozen=True)
class AsOfToday:
    """moved: factor -> evidence that it is not as it was recorded. trials: what each of them does to the model; None
    when nothing moved. problem: why today's training could not be tried; nothing else is known then."""

    moved: Mapping[Factor, tuple[str, ...]]
    trials: Trials | None
    recipe_file: Path | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "moved": {factor: list(lines) for factor, lines in self.moved.items()},
            "trials": self.trials.to_json() if self.trials is not None else None,
            "recipe_file": str(self.recipe_file) if self.recipe_file is not None else None,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Reproduction:
    """comparison: from the recorded run to the one trained again with everything restored.

    environment: from the recorded one to the one it was trained again in, `environment_hash`. culprits: why it differs;
    none when it does not.
    """

    recorded: RecordedRun
    comparison: Comparison
    environment: EnvironmentDiff
    environment_hash: str
    culprits: tuple[Culprit, ...]
    today: AsOfToday

    @property
    def verdict(self) -> Verdict:
        return self.comparison.verdict

    @property
    def reproduced(self) -> bool:
        return self.verdict in ("bit-identical", "within tolerance")

    def to_json(self) -> dict[str, Any]:
        recorded = self.recorded
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "tolerance": TIER,
            "run_id": recorded.run.run_id,
            "recipe": recorded.recipe.name,
            "commit": recorded.commit,
            "dirty": recorded.diff is not None,
            "snapshot": recorded.snapshot.id,
            "seed": recorded.recipe.seed,
            "threads": recorded.threads,
            "comparison": self.comparison.to_json(),
            "environment": self.environment.to_json(),
            "environment_hashes": {"recorded": recorded.environment.hash, "again": self.environment_hash},
            "culprits": list(self.culprits),
            "today": self.today.to_json(),
        }


def reproduce(
    ref: str,
    *,
    repo: Path,
    tracking: Tracking,
    datasets: Path,
    scratch: Path,
    ledger: Ledger | None = None,
    recipe_file: Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Reproduction:
    """Trains a run again from its commit, snapshot, seed and threads, and then with each factor as it is today.

    ref: a run's id, NAME@ALIAS or NAME/VERSION. repo: the Feast repository as it is now, in the git repository that has
    the commit. datasets: where the run's snapshot lies. scratch: an empty folder, for a tracking store and snapshots;
    nothing is written elsewhere but git's own note of the worktree, which is taken back. recipe_file, threads: today's.

    It runs the code of the run's commit and diff, so only for a run that is trusted as code is. Raises ModelError,
    DatasetError or InputError when what was recorded cannot be restored.
    """
    tell = progress or (lambda _: None)
    repo, scratch = repo.resolve(), scratch.resolve()  # the trainings run in folders of their own
    tell(f"recorded run {ref}")
    recorded = load_recorded(ref, tracking, datasets)
    tell(f"checkout of {recorded.commit[:12]}{' with its diff' if recorded.diff is not None else ''}")
    with checkout(repo, recorded.commit, recorded.diff, scratch / "tree") as tree:
        bench = _Bench(recorded, tree, repo, scratch, ledger, tell)
        tell("training again as recorded")
        again = bench.run(frozenset())
        before = outcome_of(recorded.run, bench.training_set)
        comparison = compare_outcomes(before, bench.outcome(frozenset()))
        today = _today(bench, before, recipe_file, threads)
        now = read_environment(again.files[ENVIRONMENT_FILE])
        environment = diff(recorded.environment, now)
        culprits = _culprits(bench, comparison, today, environment)
        return Reproduction(recorded, comparison, environment, now.hash, culprits, today)


@dataclass
class _Bench:
    """Trains with any factors as they are today, each combination once. today: None until they are known."""

    recorded: RecordedRun
    tree: Checkout
    repo: Path
    scratch: Path
    ledger: Ledger | None
    tell: Progress
    today: Today | None = None
    _outcomes: dict[Swap, Outcome] = field(default_factory=dict)
    _rebuilt: dict[str, Snapshot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.training_set = self.recorded.snapshot.load()

    def outcome(self, swap: Swap) -> Outcome:
        if swap not in self._outcomes:
            names = ", ".join(factor for factor in FACTORS if factor in swap)
            self.tell(f"training again with {names} as of today")
            self.run(swap)
        return self._outcomes[swap]

    def run(self, swap: Swap) -> LoggedRun:
        """Trains, whether or not it did before."""
        snapshot = self._snapshot(swap)
        training = Training(
            recipe=self._recipe(swap),
            snapshot=snapshot,
            code=self.tree.origin if "code" in swap else self.tree.folder,
            repo=self.repo if "code" in swap else self.tree.repo,
            threads=self.today.threads if self.today and "threads" in swap else self.recorded.threads,
            environment=self.recorded.environment,
        )
        run = retrain(training, self.scratch)
        self._outcomes[swap] = outcome_of(run, snapshot.load())
        return run

    def sources_now(self) -> Snapshot:
        """What the recorded definitions give of the sources as they are now."""
        if "data" not in self._rebuilt:
            manifest = self.recorded.snapshot.manifest
            root = self.scratch / "datasets"
            self._rebuilt["data"] = build_again(manifest, repo=self.repo, root=root, ledger=self.ledger)
        return self._rebuilt["data"]

    def on_sources(self) -> Swap:
        """The factors that ask for rows the recorded snapshot has not."""
        today, manifest = self.today, self.recorded.snapshot.manifest
        asks = {
            "code": today is not None and today.contract != manifest.contract,
            "recipe": today is not None and today.spec != manifest.spec,
        }
        return frozenset(factor for factor in FACTORS if asks.get(factor))

    def _snapshot(self, swap: Swap) -> Snapshot:
        asks = swap & self.on_sources()
        if self.today is None or not asks:
            return self.sources_now() if "data" in swap else self.recorded.snapshot
        manifest = self.recorded.snapshot.manifest
        spec = self.today.spec if "recipe" in asks else manifest.spec
        contract = self.today.contract if "code" in asks else manifest.contract
        key = " ".join(sorted(asks))
        if key not in self._rebuilt:
            root = self.scratch / "datasets"
            self._rebuilt[key] = build_snapshot(spec, contract, repo=self.repo, root=root, ledger=self.ledger)
        return self._rebuilt[key]

    def _recipe(self, swap: Swap) -> Mapping[str, Any]:
        if self.today is None:
            return self.recorded.document
        document = self.today.recipe.to_json() if "recipe" in swap else self.recorded.document
        seed = self.today.recipe.seed if "seed" in swap else self.recorded.recipe.seed
        return {**document, "seed": seed}


def _today(bench: _Bench, before: Outcome, recipe_file: Path | None, threads: int) -> AsOfToday:
    recorded = bench.recorded
    moved: Mapping[Factor, tuple[str, ...]] = {}
    try:
        bench.tell("sources, code and recipe as they are today")
        bench.today = today = take_today(recorded, bench.tree, bench.repo, recipe_file=recipe_file, threads=threads)
        now = bench.sources_now()
        manifests = recorded.snapshot.manifest, now.manifest
        moved = moved_factors(recorded, today, compare_snapshots(manifests, (bench.training_set, now.load())))
        if not moved:
            return AsOfToday(moved, None, today.recipe_file)
        order = [factor for factor in FACTORS if factor in moved]
        trials = try_factors(order, bench.outcome, recorded=before, on_sources=bench.on_sources())
        return AsOfToday(moved, trials, today.recipe_file)
    except TrueupError as error:  # the reproduction itself stands, whatever has become of the sources since
        return AsOfToday(moved, None, problem=str(error))


def _culprits(
    bench: _Bench, comparison: Comparison, today: AsOfToday, environment: EnvironmentDiff
) -> tuple[Culprit, ...]:
    if comparison.verdict != "different":
        return ()
    first = bench.outcome(frozenset())
    bench.tell("training once more as recorded")
    bench.today = None
    bench.run(frozenset())
    deterministic = compare_outcomes(first, bench.outcome(frozenset())).same
    return why_not_reproduced(today.trials, environment, deterministic=deterministic)
