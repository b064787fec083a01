"""``phasepipe export``: a sweep for others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What a sweep can be exported to; the same as in ``phasepipe.results.export``, which is slow to load."""

    NETCDF = "netcdf"
    CSV = "csv"
    ZARR_ZIP = "zarr-zip"


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
    from phasepipe.results import export as exporter
    from phasepipe.store.folder import SweepFolder

    target = output or Path(f"{results.resolve().name}-{to.value}")
    form = exporter.Format(to.value)
    written = exporter.export_sweep(SweepFolder(results), form, target, licence, creator or ())
    typer.echo(f"{written} is written")
