"""``phasepipe compare``: whether two sweeps agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.errors import SweepError


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a sweep.")],
    second: Annotated[Path, typer.Argument(help="Folder of the other sweep.")],
    level: Annotated[float, typer.Option(help="Probability of calling equal sweeps different.")] = 0.01,
) -> None:
    """Report whether two sweeps have the same bits, the same outcomes, compatible statistics, or differ."""
    if not 0 < level < 1:
        raise SweepError(f"--level = {level} is not between 0 and 1; use for example 0.01")
    from phasepipe.results.compare import compare as compare_folders
    from phasepipe.store.folder import SweepFolder

    found = compare_folders(SweepFolder(first), SweepFolder(second), level)
    table = Table("N", "alpha", "runs", "fates differ", "P first", "P second", "p", "p adjusted")
    for row in found.cells.to_dict("records"):
        shown = [
            str(int(row["N"])),
            f"{row['alpha']:.4g}",
            str(int(row["runs"])),
            str(int(row["fates_differ"])),
        ]
        shown += [f"{row[name]:.3f}" for name in ("first", "second")]
        table.add_row(*shown, *(f"{row[name]:.2g}" for name in ("p_value", "adjusted")))
    Console().print(table)
    if found.only_one:
        typer.echo(f"{found.only_one} runs exist in only one of the sweeps and are ignored")
    if found.paired:
        typer.echo(
            f"of {found.runs} common runs, {found.bits_differ} differ in some bits and "
            f"{found.fates_differ} in their outcome"
        )
    else:
        typer.echo(f"{found.runs} runs; the seeds differ, so the instances are independent")
    typer.echo(found.verdict)
    if found.verdict == "different":
        raise typer.Exit(1)
