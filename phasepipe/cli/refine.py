"""``phasepipe refine``: which additional runs reduce the error of alpha_50 most."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.cli.options import Config, chosen
from phasepipe.errors import SweepError


def refine(
    budget: Annotated[float, typer.Option(help="Core-seconds to spend.")],
    sweep: Annotated[
        str | None, typer.Argument(help="Finished sweep; default: the key sweep of the file.")
    ] = None,
    config: Config = Path("config/config.yaml"),
    run: Annotated[bool, typer.Option("--run", help="Run the proposal now.")] = False,
) -> None:
    """Propose the alphas and instances that most reduce the error of alpha_50 at every N."""
    if not 0 < budget < math.inf:
        raise SweepError(f"--budget = {budget} is not valid; give core-seconds, for example 3600")
    from phasepipe.results.refine import propose, refined_cells, write_refinement
    from phasepipe.specification.configuration import load_configuration
    from phasepipe.store.folder import check_folder

    loaded = load_configuration([config], chosen(sweep))
    specification = loaded.sweep
    folder = check_folder(specification, loaded.results)
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
    gain = Table("N", "error of alpha_50 now", "expected", title="Expected improvement")
    for row in refinement.expected.to_dict("records"):
        gain.add_row(str(row["N"]), f"{row['error_before']:.4f}", f"{row['error_after']:.4f}")
    Console().print(table, gain)
    path = folder.root / "refinement.yaml"
    write_refinement(path, specification, refined_cells(specification, refinement))
    command = ["snakemake", "--workflow-profile", "workflow/profiles/local"]
    command += ["--configfile", str(config), str(path), "--config", f"sweep={specification.name}"]
    if run:
        sys.exit(subprocess.run(command, check=False).returncode)
    typer.echo(f"run the proposal with --run, or with: {shlex.join(command)}")
    typer.echo(f"to keep it, copy the entries of {path} into the sweep")
