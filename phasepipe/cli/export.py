"""``phasepipe export``: a sweep for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasepipe.results.export import Format, export_sweep
from phasepipe.store.folder import SweepFolder


def export(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, for example results/demo.")],
    to: Annotated[Format, typer.Option(help="Format of the data.")],
    output: Annotated[
        Path | None, typer.Option(help="New folder; default the name of the sweep and the format.")
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX name of the licence of the data.")] = "CC-BY-4.0",
    creator: Annotated[
        list[str] | None, typer.Option(help='Author as "Family name, Given names"; once for each.')
    ] = None,
) -> None:
    """Write a sweep as netCDF, CSV or one Zarr archive, with a data descriptor to publish it with."""
    target = output or Path(f"{results.resolve().name}-{to.value}")
    typer.echo(f"{export_sweep(SweepFolder(results), to, target, licence, creator or ())} is written")
