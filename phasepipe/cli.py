"""Command line: ``phasepipe check | status | cluster | schema``."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.pipeline.configuration import load_sweep, read_configuration, schema
from phasepipe.pipeline.errors import UserError
from phasepipe.pipeline.folders import SweepFolder, check_folder
from phasepipe.pipeline.parts import SweepError

app = typer.Typer(
    help="At which signal-to-noise ratio does gradient descent recover the signal?", no_args_is_help=True
)

Config = Annotated[Path, typer.Option(help="Configuration file.")]


@app.command()
def check(
    sweep: Annotated[
        str | None, typer.Argument(help="Sweep to check; default the one the file names.")
    ] = None,
    config: Config = Path("config/config.yaml"),
) -> None:
    """Check a sweep of the configuration without running anything."""
    content = read_configuration(config)
    specification = load_sweep(content, sweep)
    check_folder(specification, Path(content.get("results", "results")))
    runs = sum(len(specification.alphas(N)) for N in specification.N)
    runs *= specification.instances * len(specification.start_keys())
    typer.echo(f"sweep {specification.name!r} is in order: {runs} runs at N = {specification.N}")


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, for example results/demo.")],
) -> None:
    """Show what a sweep has computed, per N and alpha."""
    from phasepipe.pipeline.tables import open_store

    stores = SweepFolder(results).stores("runs")
    if not stores:
        raise SweepError(f"{results} holds no runs; name the folder of a sweep, for example results/demo")
    table = Table("N", "alpha", "done", "pending", "P(recovery)", title=str(results))
    for N, path in stores.items():
        data = open_store(path)[["status", "outcome"]].load()
        for alpha in data["alpha"].values:
            cell = data.sel(alpha=alpha)
            done = int((cell["status"] == 1).sum())
            counted = int(cell["outcome"].isin([1, 2, 3]).sum())
            recovered = int((cell["outcome"] == 1).sum())
            probability = f"{recovered / counted:.3f}" if counted else "-"
            table.add_row(str(N), f"{alpha:.4g}", str(done), str(cell["status"].size - done), probability)
    Console().print(table)


@app.command()
def cluster(
    scheduler_file: Annotated[Path, typer.Option(help="File that tells clients where the scheduler is.")],
    sweep: Annotated[str | None, typer.Argument(help="Sweep whose cluster section is started.")] = None,
    config: Config = Path("config/config.yaml"),
) -> None:
    """Hold a Dask cluster open for a whole workflow run, until interrupted."""
    from phasepipe.pipeline.cluster import connect, write_scheduler_file
    from phasepipe.pipeline.parts import SchedulerAddress, SchedulerFile

    specification = load_sweep(read_configuration(config), sweep).cluster
    if isinstance(specification, SchedulerFile | SchedulerAddress):
        raise SweepError(
            f"cluster.kind = {specification.kind} names a cluster that somebody else holds open; "
            "take local or slurm for phasepipe cluster"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is as good as Ctrl-C
    with connect(specification) as client:
        write_scheduler_file(client, scheduler_file)
        typer.echo(f"cluster is open, scheduler file {scheduler_file}; end it with Ctrl-C")
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            typer.echo("closing the cluster")
        finally:
            scheduler_file.unlink(missing_ok=True)


@app.command(name="schema")
def print_schema() -> None:
    """Print the JSON schema of the configuration file."""
    typer.echo(json.dumps(schema(), indent=2))


def main() -> None:
    """Entry point: a mistake of the user is one sentence on standard error and exit code 1."""
    try:
        app()
    except UserError as error:
        sys.exit(f"phasepipe: {error}")
