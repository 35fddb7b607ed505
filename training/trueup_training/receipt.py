"""A receipt for what a stage did to a store: `python -m trueup_training.receipt FILE INPUT... [--say NAME=VALUE]`.

A registry, an online store and a tracking store are no files that DVC could keep or hash. The receipt stands for them:
it lies beside the store and holds the SHA-256 of everything that went in. So it is the same when the same was done,
another when anything else was, and gone when the store's folder is. It is written last: half a stage leaves none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trueup.errors import InputError
from trueup.hashing import digest_bytes


def write_receipt(path: Path, inputs: Sequence[Path], said: Mapping[str, str]) -> None:
    """Raises InputError when there is no input, or one cannot be read."""
    if not inputs:
        raise InputError("inputs", f"receipt {path}: no input is named, so it would be the same for anything.")
    try:
        hashes = {each.as_posix(): digest_bytes(each.read_bytes()) for each in sorted(inputs)}
    except OSError as error:
        raise InputError(
            "inputs", f"receipt {path}: {error.filename} cannot be read: {(error.strerror or str(error)).lower()}."
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"inputs": hashes, "said": dict(said)}, indent=2, sort_keys=True) + "\n", "utf-8")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description="Write down what went into a store, for dvc.yaml.")
    parser.add_argument("file", type=Path, help="the receipt")
    parser.add_argument("inputs", type=Path, nargs="+", help="files that went in")
    parser.add_argument(
        "--say", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="what else decided it"
    )
    asked = parser.parse_args()
    try:
        write_receipt(asked.file, asked.inputs, dict(asked.say))
    except InputError as error:
        sys.exit(f"receipt: {error}")


if __name__ == "__main__":
    main()
