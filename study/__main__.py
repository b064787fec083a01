"""``python -m study``: tests every claim of the study with reduced sweeps."""

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
        Path, typer.Argument(help="Folder of reduced sweeps, written by phasepipe reduce.")
    ] = Path("results/reference"),
    to: Annotated[
        Path, typer.Option(help="Folder of the page study.md; figures are written to images/study in it.")
    ] = Path("docs/evidence"),
) -> None:
    """Test every claim of the study with reduced sweeps; write figures, numbers and verdicts to a page."""
    write_study(reference, to)
    typer.echo(f"wrote {to / PAGE}")


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        sys.exit(f"phasepipe: {error}")
