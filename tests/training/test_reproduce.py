"""Laws of `trueup reproduce`: a run of a small shop in a git repository, trained again, and what has moved since."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path

import pytest
import skops.io
import typer
from click.testing import Result
from feast import FeatureStore
from mlflow import MlflowClient
from tests.training import changed, shop
from tests.training.patched import patched_environment
from tests.trueup.datasets.dvc_world import dvc_environment
from typer.testing import CliRunner

from trueup.datasets.snapshot import open_snapshot
from trueup.errors import DatasetError, InputError, ModelError
from trueup.gate.reproduction import reproduction_facts
from trueup.models.fitted import FITTED_FILE, PREDICTIONS_FILE
from trueup.models.store_uri import datasets_beside
from trueup.models.tracking import GIT_PATH_TAG, Tracking
from trueup.stores.query_source import DuckDBQuerySource
from trueup_training.cli import add_commands
from trueup_training.outcome import compare_outcomes, kept_model, outcome_of
from trueup_training.recipe import load_recipe
from trueup_training.recorded import RESULT_FILES, load_recorded
from trueup_training.reproduce import Asked, Reproduction, reproduce
from trueup_training.reproduce_text import print_reproduction
from trueup_training.retrain import Training, retrain
from trueup_training.runtime import Runtime
from trueup_training.train import train
from trueup_training.worktree import checkout

# max_features: the seed then decides something.
RECIPE = shop.RECIPE + "max_features = 0.5\n"
COLUMNS = 100


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class World:
    """A git repository with a Feast repository and a recipe; a tracking store outside. run_id: of a clean tree."""

    root: Path
    uri: str
    run_id: str = ""

    @property
    def repo(self) -> Path:
        return self.root / "repo"

    @property
    def recipe(self) -> Path:
        return self.root / "shop.toml"

    def train(self) -> str:
        return train(load_recipe(self.recipe), repo=self.repo, tracking=Tracking(self.uri)).run_id

    def reproduce(self, scratch: Path, ref: str | None = None, **options: object) -> Reproduction:
        scratch.mkdir()
        datasets = options.pop("datasets", datasets_beside(self.uri))
        given = {"repo": self.repo, "tracking": Tracking(self.uri), "datasets": datasets}
        return reproduce(ref or self.run_id, scratch=scratch, asked=Asked(**options), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def first(shop_repo: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    world = World(folder / "git", f"sqlite:///{folder}/mlruns/mlflow.db")
    shutil.copytree(shop_repo, world.repo)
    world.recipe.write_text(RECIPE, encoding="utf-8")
    (world.root / ".gitignore").write_text("data/\n")
    (world.repo / "rules.py").write_text("LIMIT = 1\n")
    git(world.root, "init", "--quiet")
    git(world.root, "add", ".")
    git(world.root, "commit", "--quiet", "-m", "one")
    return replace(world, run_id=world.train())


@pytest.fixture
def world(first: World, tmp_path: Path) -> Iterator[World]:
    """The user's side is a copy, to be changed. Whatever a test does, no worktree is left and no file changed."""
    copy = replace(first, root=Path(shutil.copytree(first.root, tmp_path / "git")))
    yield copy
    assert git(copy.root, "worktree", "list").count("\n") == 0


def test_an_untouched_run_is_bit_identical_and_nothing_has_moved(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _bytes(world.root)
    found = world.reproduce(tmp_path / "scratch", seeds=2)
    assert found.verdict == "bit-identical", found.comparison
    assert {line.verdict for line in found.comparison.lines} == {"bit-identical"}
    assert not found.culprits
    assert not found.today.problem
    assert found.today.recipe_file == world.recipe
    assert not found.today.moved
    assert _bytes(world.root) == before
    assert Tracking(world.uri).versions("shop") == (1,)
    auc = found.seeds["auc"]
    assert len(auc.values) == 2
    assert 11 not in auc.values
    assert len({*auc.values.values(), found.recorded.run.card.metrics["auc"]}) == 3  # the seed decides something
    assert auc.observed is not None
    assert (auc.observed.against, auc.observed.gap, auc.inside) == ("today", 0.0, True)
    print_reproduction(found)
    printed = capsys.readouterr().out
    assert printed.startswith("BIT-IDENTICAL")
    assert "What the seed alone moves, over 2 other seeds" in printed
    assert max(map(len, printed.splitlines())) <= COLUMNS + len(str(world.root))


def test_a_run_from_a_dirty_tree_is_reproduced_with_its_diff(world: World, tmp_path: Path) -> None:
    dirty = replace(world, uri=f"sqlite:///{tmp_path}/own/mlflow.db")
    (world.repo / "rules.py").write_text("LIMIT = 2\n")
    (world.repo / "more.py").write_bytes("LIMIT = 'Łódź'\n".encode())
    run = dirty.train()
    recorded = load_recorded(run, Tracking(dirty.uri), datasets_beside(dirty.uri))
    assert b"more.py" in (recorded.diff or b"")
    git(world.root, "checkout", "--quiet", ".")
    (world.repo / "more.py").unlink()
    found = dirty.reproduce(tmp_path / "moved", run)
    assert found.verdict == "bit-identical"
    assert any("rules.py" in line for line in found.today.moved["code"])
    assert any("more.py" in line for line in found.today.moved["code"])
    assert found.today.trials is not None
    assert not found.today.trials.culprits


def test_a_restated_row_is_named_as_todays_culprit(world: World, tmp_path: Path) -> None:
    changed.restate(world.repo, "facts", "kind", lambda row: "yard" if row["site"] == "Oslo" else row["kind"])
    found = world.reproduce(tmp_path / "scratch")
    assert found.verdict == "bit-identical"
    assert list(found.today.moved) == ["data"]
    assert any("facts__kind" in line and "hub -> yard" in line for line in found.today.moved["data"])
    assert found.today.trials is not None
    assert found.today.trials.culprits == ("data",)
    assert found.today.trials.put_back.same


def test_another_line_of_feature_sql_is_named_as_todays_culprit(world: World, tmp_path: Path) -> None:
    view = FeatureStore(repo_path=str(world.repo)).get_feature_view("load")
    view.batch_source = DuckDBQuerySource(
        name="load_source",
        query="SELECT site, hour, created, CASE WHEN level > 0 THEN level ELSE 0 END AS level, open FROM load",
        tables={"load": "data/load.parquet"},
        timestamp_field="hour",
        created_timestamp_column="created",
    )
    FeatureStore(repo_path=str(world.repo)).apply([view])
    found = world.reproduce(tmp_path / "scratch")
    assert found.verdict == "bit-identical"
    assert list(found.today.moved) == ["code"]
    assert any("CASE WHEN" in line for line in found.today.moved["code"])
    assert found.today.trials is not None
    assert found.today.trials.culprits == ("code",)


def test_of_another_seed_and_other_threads_the_seed_is_named(world: World, tmp_path: Path) -> None:
    world.recipe.write_text(RECIPE.replace("seed = 11", "seed = 12"), encoding="utf-8")
    found = world.reproduce(tmp_path / "scratch", "shop@champion", threads=2)
    assert found.verdict == "bit-identical"
    assert found.today.moved == {"seed": ("seed: 11 -> 12",), "threads": ("threads: 1 -> 2",)}
    assert found.today.trials is not None
    assert found.today.trials.culprits == ("seed",)
    assert not found.today.trials.together.same
    assert found.today.trials.put_back.same


def test_a_run_whose_record_is_wrong_is_different_and_the_wrong_factor_is_named(world: World, tmp_path: Path) -> None:
    own = replace(world, uri=f"sqlite:///{tmp_path}/own/mlflow.db")
    run = own.train()
    (document,) = (tmp_path / "own").rglob("recipe.json")
    document.write_text(document.read_text().replace('"seed": 11', '"seed": 12'))
    result = _command(own, code=1)(run, "--json", "--no-record")
    assert Tracking(own.uri).load_reproduction(run) is None
    said = json.loads(result.stdout)
    assert (said["verdict"], said["culprits"], said["named"]) == ("different", ["seed"], ["seed"])
    assert said["today"]["moved"] == {"seed": ["seed: 12 -> 11"]}


def test_a_second_environment_that_gives_another_model_is_named_by_the_swap(world: World, tmp_path: Path) -> None:
    place = patched_environment(tmp_path / "patched")
    command = _command(world, code=1)
    said = json.loads(command(world.run_id, "--json", "--no-record", "--environment", str(place)).stdout)
    assert (said["verdict"], said["culprits"], said["second_environment"]) == ("different", ["environment"], True)
    version = distribution("scikit-learn").version
    evidence = f"package scikit-learn: {version}+patched -> {version}"
    assert said["today"]["moved"]["environment"][0] == evidence
    assert list(said["today"]["moved"]) == ["environment"]
    assert said["today"]["trials"]["culprits"] == ["environment"]
    assert [each["part"] for each in said["environment"]["differences"]] == ["package scikit-learn"]


def test_a_tree_with_trueups_own_sources_trains_with_them(first: World, tmp_path: Path) -> None:
    recorded = load_recorded(first.run_id, Tracking(first.uri), datasets_beside(first.uri))
    (tmp_path / "platform" / "trueup").mkdir(parents=True)
    (tmp_path / "platform" / "trueup" / "__init__.py").write_text("raise SystemExit('the sources of the tree')\n")
    runtime = Runtime(Path(sys.executable), {})
    training = Training(recorded.document, recorded.snapshot, tmp_path, first.repo, 1, runtime)
    with pytest.raises(ModelError, match="the sources of the tree"):
        retrain(training, tmp_path)


def test_a_snapshot_comes_back_from_dvc_and_sources_that_are_gone_leave_the_reproduction_standing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in dvc_environment(tmp_path / "dvc").items():
        monkeypatch.setenv(name, value)
    shutil.copytree(datasets_beside(world.uri), world.root / "datasets")
    dvc = (sys.executable, "-m", "dvc", "--cd", str(world.root))
    for words in (("init", "--quiet"), ("add", "--quiet", "datasets")):
        subprocess.run([*dvc, *words], check=True, capture_output=True)
    git(world.root, "add", ".")
    git(world.root, "commit", "--quiet", "-m", "data")
    shutil.rmtree(world.root / "datasets")
    shutil.rmtree(world.repo / "data")
    found = world.reproduce(tmp_path / "scratch", datasets=tmp_path / "nowhere")
    assert found.verdict == "bit-identical"
    assert found.recorded.snapshot.folder.is_relative_to(tmp_path / "scratch")
    assert not (tmp_path / "nowhere").exists()
    assert found.today.problem


def test_the_command_says_it_as_json_and_keeps_it_with_the_run(world: World, tmp_path: Path) -> None:
    command = _command(world)
    said = json.loads(command("shop/1", "--json", "--keep", str(tmp_path / "kept")).stdout)
    assert (said["verdict"], said["run_id"], said["named"]) == ("bit-identical", world.run_id, [])
    assert (tmp_path / "kept" / "mlflow.db").is_file()
    assert not (tmp_path / "kept" / "tree").exists()
    record = Tracking(world.uri).load_reproduction(world.run_id)
    assert record is not None
    assert {name: record[name] for name in said} == said
    judged = reproduction_facts(record, world.run_id, record["snapshot"])  # as the gate reads it
    assert (judged.verdict, judged.kept[0], judged.files) == (
        "bit-identical",
        "bit-identical",
        Tracking(world.uri).file_digests("shop", 1),
    )
    assert record["environment_hashes"]["recorded"] == Tracking(world.uri).load_card("shop", 1).environment
    for words, wrong in (
        (("--keep", str(tmp_path / "kept")), "is not an empty folder"),
        (("--seeds", "1"), "seeds: 1 has no spread"),
        (("--against", "shop/1"), "against: it is judged by the seeds' band"),
        (("--environment", str(tmp_path)), "neither a virtual environment nor an interpreter"),
    ):
        with pytest.raises(InputError, match=wrong):
            command(world.run_id, *words)


def test_a_run_without_recorded_results_is_compared_by_its_kept_model(first: World) -> None:
    tracking = Tracking(first.uri)
    data = load_recorded(first.run_id, tracking, datasets_beside(first.uri)).snapshot.load()
    new, old = (outcome_of(tracking.load_run(first.run_id, names), data) for names in (RESULT_FILES, ()))
    assert not new.computed
    assert old.computed == ("fitted state", "predictions")
    found = compare_outcomes(old, new)
    assert found.verdict == "bit-identical"
    assert "computed now" in found.line("fitted state").detail
    assert {*tracking.load_run(first.run_id, RESULT_FILES).kept} == {FITTED_FILE, PREDICTIONS_FILE}


def test_a_kept_model_that_is_not_what_its_run_recorded_is_different(first: World) -> None:
    tracking = Tracking(first.uri)
    run = tracking.load_run(first.run_id, RESULT_FILES)
    data = open_snapshot(str(run.card.snapshot), datasets_beside(first.uri)).load()
    recorded = outcome_of(run, data)
    assert kept_model(run, recorded, data).verdict == "bit-identical"
    estimator = run.bundle().estimator
    estimator.named_steps["classifier"]._baseline_prediction += 0.5
    exchanged = kept_model(replace(run, estimator=skops.io.dumps(estimator)), recorded, data)
    assert exchanged.verdict == "different"
    assert exchanged.detail == "it is not what its run recorded: other bits in baseline"
    damaged = kept_model(replace(run, estimator=run.estimator[:100]), recorded, data)
    assert damaged.verdict == "not compared"
    assert "is no skops file, or damaged" in damaged.detail


def test_a_run_that_is_not_there_or_not_trueups_is_said(first: World) -> None:
    datasets = datasets_beside(first.uri)
    client = MlflowClient(first.uri)
    strange = client.create_run("0").info.run_id
    broken = client.create_run("0", tags={"trueup.recipe": "shop"}).info.run_id
    for ref, said in (
        ("0" * 32, r"run '0+' is not in sqlite.*--tracking-uri"),
        ("shop@nobody", "has no alias 'nobody'"),
        (strange, "was not logged by trueup"),
        (broken, "is RUNNING: it was not logged whole"),
    ):
        with pytest.raises(ModelError, match=said):
            load_recorded(ref, Tracking(first.uri), datasets)


def test_a_run_without_a_commit_is_said(shop_repo: Path, tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    recipe = tmp_path / "shop.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    run = train(load_recipe(recipe), repo=shop_repo, tracking=tracking).run_id
    with pytest.raises(ModelError, match=r"recorded no commit .*cannot be restored"):
        load_recorded(run, tracking, tmp_path / "datasets")


def test_a_commit_that_is_not_there_is_said(world: World, tmp_path: Path) -> None:
    shutil.rmtree(world.root / ".git")
    with pytest.raises(InputError, match=r"is in no git repository"):
        world.reproduce(tmp_path / "none")
    git(world.root, "init", "--quiet")
    with pytest.raises(ModelError, match=r"commit [0-9a-f]{12} of the run is not in .*Fetch it"):
        world.reproduce(tmp_path / "other")


def test_a_snapshot_that_is_gone_or_was_changed_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"was trained from snapshot .*cannot be opened.*--datasets"):
        world.reproduce(tmp_path / "gone", datasets=tmp_path / "nowhere")
    datasets = Path(shutil.copytree(datasets_beside(world.uri), tmp_path / "datasets"))
    ref = Tracking(world.uri).load_card("shop", 1).snapshot
    part = open_snapshot(str(ref), datasets).folder / "features.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match=r"is not what was trained from: features\.parquet .*were changed"):
        world.reproduce(tmp_path / "changed", datasets=datasets)


@pytest.mark.parametrize("inside", ["repo", None])
def test_a_feast_repository_that_was_moved_is_found_where_it_lay(
    world: World, tmp_path: Path, inside: str | None
) -> None:
    commit = git(world.root, "rev-parse", "HEAD")
    assert Tracking(world.uri).load_run(world.run_id).tags[GIT_PATH_TAG] == "repo"
    git(world.root, "mv", "repo", "features")
    with checkout(world.root / "features", commit, None, tmp_path / "tree", inside=inside) as tree:
        assert tree.repo == tmp_path / "tree" / "repo"
        assert any("features" in line for line in tree.change().stat)
    (world.root / "features" / "feature_store.yaml").rename(world.root / "other.yaml")
    git(world.root, "add", ".")
    git(world.root, "commit", "--quiet", "-m", "none")
    with pytest.raises(ModelError, match=r"has no feature_store\.yaml in features, .*it has one in: no folder"):
        with checkout(world.root / "features", git(world.root, "rev-parse", "HEAD"), None, tmp_path / "none"):
            pass


def test_a_git_failure_while_the_code_is_compared_is_said_as_todays_problem(world: World, tmp_path: Path) -> None:
    (world.root / ".git" / "index").write_bytes(b"no index")
    with checkout(world.repo, git(world.root, "rev-parse", "HEAD"), None, tmp_path / "tree") as tree:
        with pytest.raises(ModelError, match=r"the files of .*git cannot be listed: "):
            tree.own_files("*.toml")
        (Path(git(tree.folder, "rev-parse", "--absolute-git-dir")) / "index").write_bytes(b"no index")
        with pytest.raises(ModelError, match=r"the code in .* cannot be compared with the run's: "):
            tree.change()
    (world.root / ".git" / "index").unlink()


def test_the_worktree_goes_when_training_fails(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    broken = tmp_path / "broken" / "trueup"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise SystemExit('broken on purpose')\n")
    with pytest.raises(ModelError, match=r"training again from .* ended with exit code 1: broken on purpose"):
        world.reproduce(tmp_path / "scratch")
    assert not (tmp_path / "scratch" / "tree").exists()


def _command(world: World, code: int = 0) -> Callable[..., Result]:
    app = typer.Typer()
    add_commands(app)

    def command(*words: str) -> Result:
        options = ("--repo", str(world.repo), "--tracking-uri", world.uri)
        result = CliRunner().invoke(app, ["reproduce", *words, *options], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return command


def _bytes(root: Path) -> dict[str, bytes]:
    """The user's files, git's own left out."""
    return {
        str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and ".git" not in path.parts
    }
