"""`trueup reproduce`: a recorded run trained again, compared, and what has moved since, factor by factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueup.datasets.restored import restore_snapshot
from trueup.datasets.training_set import Progress
from trueup.errors import InputError, TrueupError
from trueup.hashing import digest_bytes
from trueup.models.environment_diff import EnvironmentDiff, diff
from trueup.models.tracking import GIT_PATH_TAG, LoggedRun, Tracking
from trueup.parity.snapshots import compare_snapshots
from trueup.stores.ledger import Ledger
from trueup_training.factors import FACTORS, Culprit, Factor, Trials, try_factors, why_not_reproduced
from trueup_training.outcome import TIER, Comparison, Outcome, Verdict, compare_outcomes, kept_model, outcome_of
from trueup_training.recorded import RecordedRun, load_recorded
from trueup_training.second_environment import BUILD, build_environment, interpreter, lend_trueup
from trueup_training.seeds import FEWEST, SeedBand, other_seeds, seed_bands
from trueup_training.today import AsRecorded, moved_factors, take_today
from trueup_training.trainings import AS_RECORDED, Place, Trainings
from trueup_training.worktree import checkout

SCHEMA = "trueup.reproduction/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""
_NOT_ALIKE = "training twice as recorded gave two models, so no swap would say anything"


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

    environment: from the recorded one to the one it was trained again in, `environment_hash`. second: the interpreter
    of a second environment, where there was one. culprits: why it differs; none when it does not. evidence: what else
    was found of them. seeds: metric -> how much the seed alone moves it; empty when it was not asked for.
    """

    recorded: RecordedRun
    comparison: Comparison
    environment: EnvironmentDiff
    environment_hash: str
    culprits: tuple[Culprit, ...]
    today: AsOfToday
    evidence: tuple[str, ...] = ()
    second: Path | None = None
    seeds: Mapping[str, SeedBand] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return self.comparison.verdict

    @property
    def reproduced(self) -> bool:
        return self.verdict in ("bit-identical", "within tolerance")

    @property
    def named(self) -> tuple[Culprit, ...]:
        """Why it is not reproduced; or, where it is, why today's training gives another model. Empty: no culprit."""
        trials = self.today.trials
        return self.culprits or (trials.culprits if self.reproduced and trials is not None else ())

    def to_json(self) -> dict[str, Any]:
        recorded = self.recorded
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "named": list(self.named),
            "tolerance": TIER,
            "run_id": recorded.run.run_id,
            "recipe": recorded.recipe.name,
            "commit": recorded.commit,
            "dirty": recorded.diff is not None,
            "snapshot": recorded.snapshot.id,
            "estimator": digest_bytes(recorded.run.estimator),
            "seed": recorded.recipe.seed,
            "threads": recorded.threads,
            "comparison": self.comparison.to_json(),
            "environment": self.environment.to_json(),
            "environment_hashes": {"recorded": recorded.environment.hash, "again": self.environment_hash},
            "second_environment": self.second is not None,
            "culprits": list(self.culprits),
            "evidence": list(self.evidence),
            "today": self.today.to_json(),
            "seeds": {name: band.to_json() for name, band in self.seeds.items()},
        }


@dataclass(frozen=True)
class Asked:
    """What of today is compared, and how. recipe_file, threads: today's.

    environment: a second one to train in as recorded: `build`, or a virtual environment or interpreter. seeds: how many
    other seeds to train with. against: a run or model version whose metrics are held against the recorded ones; today's
    by default.
    """

    recipe_file: Path | None = None
    threads: int = 1
    environment: str | None = None
    seeds: int = 0
    against: str | None = None

    def __post_init__(self) -> None:
        if self.seeds and self.seeds < FEWEST:
            raise InputError(
                "seeds", f"seeds: {self.seeds} has no spread; expected {FEWEST} or more.", hint="Ten say more."
            )
        if self.against is not None and not self.seeds:
            raise InputError("against", "against: it is judged by the seeds' band.", hint="Add --seeds 10.")


def reproduce(
    ref: str,
    *,
    repo: Path,
    tracking: Tracking,
    datasets: Path,
    scratch: Path,
    ledger: Ledger | None = None,
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Trains a run again from its commit, snapshot, seed and threads, and then with each factor as it is today.

    ref: a run's id, NAME@ALIAS or NAME/VERSION. repo: the Feast repository as it is now, in the git repository that has
    the commit. datasets: where the run's snapshot lies; where it is not there, it is brought back from what DVC tracks,
    into scratch. scratch: an empty folder, for tracking stores and snapshots; nothing is written elsewhere but git's
    own note of the worktree, which is taken back.

    It runs the code of the run's commit and diff, so only for a run that is trusted as code is. Raises ModelError,
    DatasetError or InputError when what was recorded cannot be restored.
    """
    tell = progress or (lambda _: None)
    asked = asked or Asked()
    repo, scratch = repo.resolve(), scratch.resolve()  # the trainings run in folders of their own
    build = asked.environment == BUILD
    second = interpreter(Path(asked.environment)) if asked.environment is not None and not build else None

    def restore(snapshot: str, /, *, commit: str) -> Path:
        tell(f"snapshot {snapshot[:12]} from what DVC tracks")
        place = scratch / "restored"
        return restore_snapshot(snapshot, place, git_repo=repo, commit=commit, progress=lambda at: tell(f"  {at}"))

    tell(f"recorded run {ref}")
    recorded = load_recorded(ref, tracking, datasets, restore=restore)
    other = tracking.load_run(asked.against) if asked.against is not None else None
    tell(f"checkout of {recorded.commit[:12]}{' with its diff' if recorded.diff is not None else ''}")
    inside = recorded.run.tags.get(GIT_PATH_TAG)
    with checkout(repo, recorded.commit, recorded.diff, scratch / "tree", inside=inside) as tree:
        if build:
            second = build_environment(recorded.environment, tree.folder, scratch / "environment", tell)
        paths = lend_trueup(second, scratch / "lent") if second is not None else ()
        trainings = Trainings(recorded, tree, Place(repo, scratch, ledger, second, paths), tell)
        return _compare(trainings, asked, other)


def _compare(trainings: Trainings, asked: Asked, other: LoggedRun | None) -> Reproduction:
    recorded = trainings.recorded
    again = trainings.first()
    before = outcome_of(recorded.run, trainings.training_set)
    compared = compare_outcomes(before, trainings.outcome(AS_RECORDED))
    comparison = Comparison((*compared.lines, kept_model(recorded.run, before, trainings.training_set)))
    environment = diff(recorded.environment, again.environment)
    different = compared.verdict == "different"
    if different:
        trainings.tell("training once more as recorded")
    deterministic = not different or trainings.repeats()
    evidence = () if deterministic else trainings.why_random()
    today = _today(trainings, before, asked, again) if deterministic else AsOfToday({}, None, problem=_NOT_ALIKE)
    return Reproduction(
        recorded=recorded,
        comparison=comparison,
        environment=environment,
        environment_hash=again.environment.hash,
        culprits=why_not_reproduced(today.trials, environment, deterministic=deterministic) if different else (),
        today=today,
        evidence=evidence,
        second=trainings.place.python,
        seeds=_seeds(trainings, before, today, asked, other) if asked.seeds else {},
    )


def _today(trainings: Trainings, before: Outcome, asked: Asked, again: AsRecorded) -> AsOfToday:
    recorded = trainings.recorded
    moved: Mapping[Factor, tuple[str, ...]] = {}
    try:
        trainings.tell("sources, code, recipe and environment as they are today")
        trainings.today = today = take_today(
            recorded,
            trainings.tree,
            trainings.place.repo,
            recipe_file=asked.recipe_file,
            threads=asked.threads,
        )
        now = trainings.sources_now()
        manifests = recorded.snapshot.manifest, now.manifest
        data = compare_snapshots(manifests, (trainings.training_set, now.load()))
        moved = moved_factors(recorded, today, data, again)
        if not moved:
            return AsOfToday(moved, None, today.recipe_file)
        order = [factor for factor in FACTORS if factor in moved]
        trials = try_factors(order, trainings.outcome, recorded=before, on_sources=trainings.on_sources())
        return AsOfToday(moved, trials, today.recipe_file)
    except TrueupError as error:  # the reproduction itself stands, whatever has become of the sources since
        trainings.today = None
        return AsOfToday(moved, None, problem=str(error))


def _seeds(
    trainings: Trainings, before: Outcome, today: AsOfToday, asked: Asked, other: LoggedRun | None
) -> dict[str, SeedBand]:
    metrics = {}
    seeds = other_seeds(trainings.recorded.recipe.seed, asked.seeds)
    for number, seed in enumerate(seeds, start=1):
        trainings.tell(f"training again with another seed: {number} of {len(seeds)}")
        metrics[seed] = trainings.with_seed(seed).metrics
    if other is not None:
        same = other.card.dataset == before.content
        return seed_bands(metrics, before.metrics, other.card.metrics, against=str(asked.against), same_data=same)
    if today.problem is not None:
        return seed_bands(metrics, before.metrics)
    now = trainings.outcome(frozenset(today.moved))
    return seed_bands(metrics, before.metrics, now.metrics, same_data=now.content == before.content)
