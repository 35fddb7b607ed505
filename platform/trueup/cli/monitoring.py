"""`trueup monitoring`: the files of Prometheus, Alertmanager and Grafana."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli.files import write_whole
from trueup.cli.monitor import DEFAULT_CONFIG, MonitoringFile
from trueup.cli.options import CHECK_FAILED, Json, Repo, print_json, print_table
from trueup.console import output, step

monitoring = typer.Typer(help="Alerts and dashboards, generated from the settings and the repository's definitions.")


@monitoring.callback()
def _group() -> None:
    """A group, though it has one command."""


@monitoring.command()
def generate(
    config: MonitoringFile = DEFAULT_CONFIG,
    repo: Repo = None,
    out: Annotated[Path, typer.Option(help="The folder they are written to.")] = Path("infra"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail when what is there is not what would be written.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write Prometheus' rules and targets, Alertmanager's routes and inhibitions, and Grafana's dashboards.

    Thresholds come from the settings, cadences and TTLs from each view: change those, and generate again. The registry
    must know the definitions (`feast apply`).

    Exits 0 when they are written, or are with --check as they should be; 1 when with --check one is not.

    Example: trueup monitoring generate --check
    """
    from trueup.contracts.stored import stored_views
    from trueup.monitoring.config import load_monitoring
    from trueup.monitoring.generated import compare, generated_files
    from trueup.settings import Settings, feature_repo
    from trueup.stores.feast_rows import open_store

    settings = load_monitoring(config)
    with step("monitoring generate"):
        store = open_store(feature_repo(repo or Settings().repo))
        services: tuple[str | None, ...] = settings.services or (None,)
        views = {view.table: view for name in services for view in stored_views(store, name).contract.views}
        found = compare(generated_files(settings, tuple(views.values())), out)
    if not check:
        for each in found:
            if each.standing != "same":
                write_whole(out / each.path, each.text, field="out", what="it")
    if as_json:
        print_json([{"file": str(out / each.path), "was": each.standing} for each in found])
    else:
        print_table([{"file": str(out / each.path), "was" if not check else "is": each.standing} for each in found])
        for each in found if check else ():
            for line in each.difference:
                output.print(f"  {line}", markup=False, highlight=False)
    raise typer.Exit(CHECK_FAILED if check and any(each.standing != "same" for each in found) else 0)
