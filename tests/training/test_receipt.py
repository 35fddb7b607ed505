"""Laws of a receipt: the same for the same that went in, another for anything else."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from trueup.errors import InputError
from trueup_training.receipt import write_receipt


def receipt(folder: Path, inputs: list[Path], said: dict[str, str]) -> bytes:
    path = folder / "made" / "receipt.json"
    write_receipt(path, inputs, said)
    return path.read_bytes()


def test_it_is_the_same_for_the_same_inputs_and_another_for_any_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    made = [
        receipt(tmp_path, [one, other], {"at": "noon"}),
        receipt(tmp_path, [one], {"at": "noon"}),
        receipt(tmp_path, [one, other], {"at": "night"}),
        receipt(tmp_path, [one, other], {}),
    ]
    assert receipt(tmp_path, [other, one], {"at": "noon"}) == made[0]
    other.write_bytes(b"3")
    made.append(receipt(tmp_path, [one, other], {"at": "noon"}))
    assert all(a != b for a, b in itertools.combinations(made, 2))


def test_without_an_input_or_with_one_that_is_missing_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no input is named"):
        write_receipt(tmp_path / "receipt.json", [], {})
    with pytest.raises(InputError, match=r"absent cannot be read: no such file"):
        write_receipt(tmp_path / "receipt.json", [tmp_path / "absent"], {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["absent"], "absent cannot be read"), ([__file__, "--say", "noon"], "'noon' is not NAME=VALUE")],
)
def test_as_a_command_it_fails_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trueup_training.receipt", "receipt.json", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
