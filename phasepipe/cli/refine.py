"""``phasepipe refine``: which additional runs reduce the error of alpha_50 most."""

from __future__ import annotations

import math
import shlex
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.cli.options import Config, Words, load
from phasepipe.errors import SweepError


def refine(
    budget: Annotated[float, typer.Option(help="Core-seconds to spend.")],
    words: Words = None,
    config: Config = None,
    run: Annotated[bool, typer.Option("--run", help="Run the proposal now.")] = False,
) -> None:
    """Propose the alphas and instances that most reduce the error of alpha_50 at every N."""
    if not 0 < budget < math.inf:
        raise SweepError(f"--budget = {budget} is not valid; give core-seconds, for example 3600")
    from phasepipe.results.refine import propose, refined_cells, write_refinement
    from phasepipe.store.folder import check_folder
    from phasepipe.store.rounds import grown_sweep

    loaded = load(words, config)
    folder = check_folder(loaded.sweep, loaded.results)
    specification = grown_sweep(loaded.sweep, folder)
    if not folder.stores("runs"):
        raise SweepError(f"sweep {specification.name!r} has no runs yet; run it first with phasepipe run")
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
    files = (*loaded.files, path)
    if run:
        from phasepipe.execution.workflow import WorkflowRun, run_workflow

        run_workflow(WorkflowRun(files, specification.name))
        return
    command = ["phasepipe", "run", *map(str, files), specification.name]
    typer.echo(f"run the proposal with --run, or with: {shlex.join(command)}")
    typer.echo(f"to keep it, copy the entries of {path} into the sweep")
