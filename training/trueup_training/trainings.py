"""The trainings of one reproduction: as recorded, and with any factors as they are today, each combination once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trueup.datasets.snapshot import Snapshot, build_again, build_snapshot
from trueup.datasets.training_set import Progress
from trueup.models.environment import HASH_SEED, read_environment
from trueup.models.tracking import ENVIRONMENT_FILE, LoggedRun
from trueup.stores.ledger import Ledger
from trueup_training.factors import FACTORS, Swap
from trueup_training.outcome import Outcome, compare_outcomes, outcome_of
from trueup_training.recorded import RecordedRun
from trueup_training.retrain import Training, retrain
from trueup_training.runtime import Runtime, recorded_variables
from trueup_training.today import AsRecorded, Today
from trueup_training.worktree import Checkout

AS_RECORDED: Swap = frozenset()


@dataclass(frozen=True)
class Place:
    """repo: the user's Feast repository. scratch: for stores and snapshots. python, paths: of a second environment."""

    repo: Path
    scratch: Path
    ledger: Ledger | None
    python: Path | None = None
    paths: tuple[Path, ...] = ()


@dataclass
class Trainings:
    """today: None until it is known; only trainings as recorded can be asked for until then."""

    recorded: RecordedRun
    tree: Checkout
    place: Place
    tell: Progress
    today: Today | None = None
    _outcomes: dict[Swap, Outcome] = field(default_factory=dict)
    _rebuilt: dict[str, Snapshot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.training_set = self.recorded.snapshot.load()
        python = self.place.python or Path(sys.executable)
        self.runtime = Runtime(python, recorded_variables(self.recorded.environment, os.environ), self.place.paths)

    def first(self) -> AsRecorded:
        """Trains as recorded, for `outcome` to have, and says in what."""
        self.tell("training again as recorded")
        run = self._run(AS_RECORDED)
        self._outcomes[AS_RECORDED] = outcome_of(run, self.training_set)
        return AsRecorded(read_environment(run.files[ENVIRONMENT_FILE]), self.runtime)

    def outcome(self, swap: Swap) -> Outcome:
        if swap not in self._outcomes:
            names = ", ".join(factor for factor in FACTORS if factor in swap)
            self.tell(f"training again with {names} as of today")
            self._outcomes[swap] = outcome_of(self._run(swap), self._snapshot(swap).load())
        return self._outcomes[swap]

    def repeats(self, variables: Mapping[str, str] | None = None) -> bool:
        """Whether training once more as recorded gives the same model. variables: set in both trainings."""
        runtime = (
            None if variables is None else replace(self.runtime, variables={**self.runtime.variables, **variables})
        )
        if runtime is None:
            one = self.outcome(AS_RECORDED)
        else:
            one = outcome_of(self._run(AS_RECORDED, runtime=runtime), self.training_set)
        return compare_outcomes(one, outcome_of(self._run(AS_RECORDED, runtime=runtime), self.training_set)).same

    def why_random(self) -> tuple[str, ...]:
        """Of a training that gives another model each time, what it depends on, as far as a variable tells."""
        if self.runtime.variables.get(HASH_SEED) is not None:
            return ()
        self.tell("training twice with a fixed hash seed")
        fixed = self.repeats({HASH_SEED: "0"})
        return (f"with {HASH_SEED}=0 it gives one model: it depends on Python's hash seed, which was random",) * fixed

    def with_seed(self, seed: int) -> Outcome:
        """As recorded but for the seed."""
        run = self._run(AS_RECORDED, recipe={**self.recorded.document, "seed": seed})
        return outcome_of(run, self.training_set)

    def sources_now(self) -> Snapshot:
        """What the recorded definitions give of the sources as they are now."""
        if "data" not in self._rebuilt:
            manifest = self.recorded.snapshot.manifest
            self._rebuilt["data"] = build_again(
                manifest, repo=self.place.repo, root=self._datasets, ledger=self.place.ledger
            )
        return self._rebuilt["data"]

    def on_sources(self) -> Swap:
        """The factors that ask for rows the recorded snapshot has not."""
        today, manifest = self.today, self.recorded.snapshot.manifest
        asks = {
            "code": today is not None and today.contract != manifest.contract,
            "recipe": today is not None and today.spec != manifest.spec,
        }
        return frozenset(factor for factor in FACTORS if asks.get(factor))

    def _run(self, swap: Swap, *, recipe: Mapping[str, Any] | None = None, runtime: Runtime | None = None) -> LoggedRun:
        runtime = runtime or self._runtime(swap)
        training = Training(
            recipe=recipe or self._recipe(swap),
            snapshot=self._snapshot(swap),
            code=self.tree.origin if "code" in swap else self.tree.folder,
            repo=self.place.repo if "code" in swap else self.tree.repo,
            threads=self.today.threads if self.today and "threads" in swap else self.recorded.threads,
            runtime=runtime,
        )
        second = self.place.python is not None and runtime.python == self.place.python
        return retrain(training, self.place.scratch, store="second.db" if second else "mlflow.db")

    def _runtime(self, swap: Swap) -> Runtime:
        if self.today is None:
            return self.runtime
        return self.runtime.swapped(self.today.runtime, environment="environment" in swap, threads="threads" in swap)

    def _snapshot(self, swap: Swap) -> Snapshot:
        asks = swap & self.on_sources()
        if self.today is None or not asks:
            return self.sources_now() if "data" in swap else self.recorded.snapshot
        manifest = self.recorded.snapshot.manifest
        spec = self.today.spec if "recipe" in asks else manifest.spec
        contract = self.today.contract if "code" in asks else manifest.contract
        key = " ".join(sorted(asks))
        if key not in self._rebuilt:
            place = self.place
            self._rebuilt[key] = build_snapshot(
                spec, contract, repo=place.repo, root=self._datasets, ledger=place.ledger
            )
        return self._rebuilt[key]

    @property
    def _datasets(self) -> Path:
        return self.place.scratch / "datasets"

    def _recipe(self, swap: Swap) -> Mapping[str, Any]:
        if self.today is None:
            return self.recorded.document
        document = self.today.recipe.to_json() if "recipe" in swap else self.recorded.document
        seed = self.today.recipe.seed if "seed" in swap else self.recorded.recipe.seed
        return {**document, "seed": seed}
