"""``phasepipe verify``: check stored results for damage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.cli.options import Trust
from phasepipe.errors import SweepError


def verify(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, for example results/demo.")],
    sample: Annotated[int, typer.Option(min=0, help="Instances per N that are computed again.")] = 4,
    report_only: Annotated[bool, typer.Option("--report-only", help="Do not change anything.")] = False,
    trust: Trust = False,
) -> None:
    """Check all stored results of a sweep; damaged blocks are marked as pending for the next run."""
    from phasepipe.results.verify import verify as verify_folder
    from phasepipe.store.folder import SweepFolder

    found = verify_folder(SweepFolder(results), sample, repair=not report_only, trust=trust)
    if not found:
        raise SweepError(f"{results} holds no sweep; give the folder of a sweep, for example results/demo")
    table = Table("store", "chunks read", "damaged files", "damaged blocks", "details", title=str(results))
    for name, findings in found.items():
        what = [*findings.files[:2], *list(findings.blocks.values())[:2], *sorted(set(findings.notes))]
        numbers = (str(findings.chunks), str(len(findings.files)), str(len(findings.blocks)))
        table.add_row(name, *numbers, "; ".join(what))
    Console().print(table)
    if any(findings.damaged for findings in found.values()):
        typer.echo(
            "damage was found; "
            + ("nothing was changed" if report_only else "run the workflow again to repair it")
        )
        raise typer.Exit(1)
    typer.echo("no damage found")
