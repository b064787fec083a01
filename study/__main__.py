"""``python -m study``: every claim against the reduced sweeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from phasepipe.errors import UserError
from study.page import PAGE, write_study

app = typer.Typer()


@app.command()
def study(
    reference: Annotated[
        Path, typer.Argument(help="Folder of reduced sweeps, as phasepipe reduce writes it.")
    ] = Path("results/reference"),
    to: Annotated[Path, typer.Option(help="Folder of the page study.md; figures go to images/study.")] = Path(
        "docs/evidence"
    ),
) -> None:
    """Hold every claim of the study against reduced sweeps: figures, numbers and verdicts on one page."""
    write_study(reference, to)
    typer.echo(f"{to / PAGE} is written")


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        sys.exit(f"phasepipe: {error}")
