"""`trueup experiment show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from trueup.cli.experiment.assigning import ExperimentFile
from trueup.cli.options import CHECK_FAILED, Json, print_json, print_table
from trueup.cli.parity.place import LogPath
from trueup.console import output, step

if TYPE_CHECKING:
    from trueup.experiments.changes import SplitChange
    from trueup.experiments.design import Experiment
    from trueup.experiments.logged import LoggedExperiment


def show(file: ExperimentFile, log: LogPath = None, as_json: Json = False) -> None:
    """The design, and what the served log has of it: rows by exposure and variant, and changes of the running split.

    Exits 0, or 1 when the split of the running experiment was changed so that units can have seen two variants.

    Example: trueup experiment show serving/experiments/flights-ab.toml
    """
    from trueup.experiments.logged import logged_experiment
    from trueup.experiments.toml import load_experiment
    from trueup.settings import Settings

    design = load_experiment(file)
    with step("read the log"):
        found = logged_experiment(log or Settings().log_dir, design.name)
    changes = found.changes(design)
    if as_json:
        print_json(_json(design, found, changes))
    else:
        _show(design, found, changes)
    if any(change.fault and change.since is not None for change in changes) or found.both:
        raise typer.Exit(CHECK_FAILED)


def _json(design: Experiment, found: LoggedExperiment, changes: tuple[SplitChange, ...]) -> dict[str, Any]:
    return {
        "experiment": design.name,
        "split": design.hash,
        "design": design.split(),
        "shares": design.shares,
        "log": {
            "rows": [{"exposure": e, "variant": v, "rows": n} for (e, v), n in sorted(found.rows.items())],
            "units": dict(found.units),
            "units_of_two_variants": found.both,
            "splits": [{"split": v.hash, "rows": v.rows, "running": v.hash == design.hash} for v in found.versions],
            "changes": [change.to_json() for change in changes],
        },
    }


def _show(design: Experiment, found: LoggedExperiment, changes: tuple[SplitChange, ...]) -> None:
    layer = (
        "" if design.layer is None else f", {design.layer.begin:g} to {design.layer.end:g} of layer {design.layer.name}"
    )
    output.print(
        f"{design.name} by {design.unit}: traffic {design.traffic:.1%}, holdout {design.holdout:.1%}{layer}; "
        f"split {design.hash[:12]}",
        markup=False,
    )
    output.print()
    total = sum(found.units.values())
    print_table(
        [
            {
                "variant": variant.name,
                "model": f"{variant.model}@{variant.alias}",
                "share": "shadow" if variant.shadow else f"{design.shares[variant.name]:.1%}",
                "units seen": f"{found.units.get(variant.name, 0):,}",
                "of all": f"{found.units.get(variant.name, 0) / total:.1%}" if total else "-",
                "control": "yes" if variant == design.control_variant else "",
            }
            for variant in design.variants
        ]
    )
    outside = {key: rows for key, rows in found.rows.items() if key[0] not in ("assigned", "not logged")}
    if outside:
        output.print()
        print_table([{"outside": e, "answered by": v, "rows": f"{n:,}"} for (e, v), n in sorted(outside.items())])
    if not found.rows:
        output.print("\nThe log has no row of it.")
    if found.both:
        output.print(f"\n{found.both:,} units were assigned to more than one variant.", style="red")
    for change in changes:
        if change.since is None:
            what = "The file is not what was served last"
        else:
            what = "The running split was changed" if change.fault else "Changed, and moved nobody"
        output.print(f"\n{what}: {change}", style="red" if change.fault else None, markup=False)
