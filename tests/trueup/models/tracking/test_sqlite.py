"""Laws of a store that is an SQLite file: it is made by writing only; and that no store has MLflow say a word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.trueup.models.tracking.servers import MlflowServer
from tests.trueup.models.tracking.stores import FINISHED, training_run

from trueup.errors import ModelError
from trueup.models.tracking import Tracking


def test_a_store_that_cannot_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mlflow.db"
    tracking = Tracking(f"sqlite:///{file}")
    tracking.register(tracking.log(training_run(), finished=FINISHED))
    monkeypatch.chdir(tmp_path)  # MLflow takes `file:` for a folder and makes it
    assert Tracking(f"sqlite:///file:{file}?mode=ro&uri=true").load_bundle("buyers", 1).card.version == 1


def test_reading_from_nowhere_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mlflow\.db does not exist, or is empty\. Train a model first"):
        Tracking(f"sqlite:///{tmp_path}/new/mlflow.db").load_card("buyers", 1)
    Tracking(f"sqlite:///{tmp_path}/new/mlflow.db").check()  # it can be made: that is no reason not to train
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_said_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("hello")
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    for ask in (tracking.check, lambda: tracking.load_card("buyers", 1)):
        with pytest.raises(ModelError, match="is not an SQLite database"):
            ask()
    with pytest.raises(ModelError, match="is not an SQLite database"):
        tracking.log(training_run(), finished=FINISHED)


@pytest.mark.slow
def test_it_is_quiet_in_a_process_of_its_own(server: MlflowServer, tmp_path: Path) -> None:
    code = """
import sys
from trueup.models.tracking import Tracking
from tests.trueup.models.tracking.servers import MlflowServer
from tests.trueup.models.tracking.stores import FINISHED, training_run

for uri in sys.argv[1:]:
    tracking = Tracking(uri)
    version = tracking.register(tracking.log(training_run(), finished=FINISHED)).version
    Tracking(uri).load_bundle("buyers", version)
"""
    done = subprocess.run(
        [sys.executable, "-W", "default::UserWarning", "-c", code, f"sqlite:///{tmp_path}/mlflow.db", server.uri],
        cwd=Path(__file__).parents[4],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
