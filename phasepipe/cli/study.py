"""``phasepipe study``: every claim against the reduced sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def study(
    reference: Annotated[
        Path, typer.Argument(help="Folder of reduced sweeps, as phasepipe reduce writes it.")
    ] = Path("results/reference"),
    to: Annotated[Path, typer.Option(help="Folder of the page study.md; figures go to images/study.")] = Path(
        "docs"
    ),
) -> None:
    """Hold every claim of the study against reduced sweeps: figures, numbers and verdicts on one page."""
    from phasepipe.stages.study import PAGE, write_study

    write_study(reference, to)
    typer.echo(f"{to / PAGE} is written")
