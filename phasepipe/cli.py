"""Command line: ``phasepipe check | status | refine | theory | phase-diagram | cluster | schema``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic
from phasepipe.pipeline.configuration import load_sweep, read_configuration, schema
from phasepipe.pipeline.errors import UserError
from phasepipe.pipeline.folders import SweepFolder, check_folder
from phasepipe.pipeline.parts import CustomLossSpec, SweepError

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
def refine(
    budget: Annotated[float, typer.Option(help="Core-seconds to spend.")],
    sweep: Annotated[
        str | None, typer.Argument(help="Finished sweep; default the one the file names.")
    ] = None,
    config: Config = Path("config/config.yaml"),
    run: Annotated[bool, typer.Option("--run", help="Run the proposal now.")] = False,
) -> None:
    """Propose the alphas and instances that most reduce the interval of alpha_50 at every N."""
    from phasepipe.stages.refinement import propose, refined_cells, write_refinement

    content = read_configuration(config)
    specification = load_sweep(content, sweep)
    folder = check_folder(specification, Path(content.get("results", "results")))
    if not folder.stores("runs"):
        raise SweepError(f"sweep {specification.name!r} has no runs yet; run it first with snakemake")
    try:
        refinement = propose(specification, folder, budget)
    except ValueError as error:
        raise SweepError(str(error)) from error
    table = Table("N", "alpha", "more instances", "core-seconds", "purpose", title="Proposed runs")
    for row in refinement.proposal.to_dict("records"):
        values = (
            row["N"],
            f"{row['alpha']:.4g}",
            row["instances"],
            f"{row['core_seconds']:.0f}",
            row["purpose"],
        )
        table.add_row(*map(str, values))
    gain = Table("N", "error of alpha_50 now", "expected", title="What it buys")
    for row in refinement.expected.to_dict("records"):
        gain.add_row(str(row["N"]), f"{row['error_before']:.4f}", f"{row['error_after']:.4f}")
    Console().print(table, gain)
    path = folder.root / "refinement.yaml"
    write_refinement(path, specification, refined_cells(specification, refinement))
    command = ["snakemake", "--workflow-profile", "workflow/profiles/local"]
    command += ["--configfile", str(config), str(path), "--config", f"sweep={specification.name}"]
    if run:
        sys.exit(subprocess.run(command, check=False).returncode)
    typer.echo(f"run it with --run, or with: {' '.join(command)}")
    typer.echo(f"keep it: copy the entries of {path} into the sweep")


@app.command()
def theory(
    a: Annotated[float | None, typer.Option(help="Regulariser of the normalised quartic loss.")] = None,
    quartic: Annotated[bool, typer.Option("--quartic", help="The quartic loss, a = infinity.")] = False,
    loss: Annotated[str | None, typer.Option(help="Dotted path of a loss of your own.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Signal-to-noise ratio for spectra and states.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print what is known for N to infinity about a loss: thresholds, threshold states, spectra."""
    from phasepipe.theory.summary import summary

    if (a is not None) + quartic + (loss is not None) != 1:
        raise SweepError("name one loss: --a 0.01, --quartic, or --loss my_losses.Amplitude")
    try:
        entries = summary(_named_loss(a, loss), alpha)
    except ValueError as error:
        raise SweepError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    table = Table("quantity", "value", title="Theory for N to infinity")
    for name, value in entries.items():
        shown = f"{value:.8g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)


def _named_loss(a: float | None, path: str | None) -> Loss:
    if path is not None:
        return CustomLossSpec(kind="custom", path=path).build()
    return Quartic() if a is None else NormalisedQuartic(a)


@app.command(name="phase-diagram")
def phase_diagram(
    to: Annotated[Path, typer.Option(help="Folder for the figure and the numbers.")],
    points: Annotated[int, typer.Option(help="Values of a, from 0.001 to 100.")] = 61,
) -> None:
    """Draw alpha_init and alpha_threshold of the normalised quartic losses against a."""
    from phasepipe.stages.phase_diagram import draw_phase_diagram

    draw_phase_diagram(to, points)
    typer.echo(f"{to / 'phase_diagram.png'}, .svg, .pdf and .csv are written")


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
