"""``phasepipe export``: a sweep for publication."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Formats of an export; copied from ``phasepipe.results.export``, which is slow to import."""

    NETCDF = "netcdf"
    CSV = "csv"
    ZARR_ZIP = "zarr-zip"


def export(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, for example results/demo.")],
    to: Annotated[Format, typer.Option(help="Format of the data.")],
    output: Annotated[
        Path | None, typer.Option(help="New folder; default: named after sweep and format.")
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier of the licence of the data.")] = "CC-BY-4.0",
    creator: Annotated[
        list[str] | None, typer.Option(help='Author as "Family name, Given names"; repeat for more authors.')
    ] = None,
) -> None:
    """Write a sweep as netCDF, CSV or one Zarr archive, with a descriptor for publication."""
    from phasepipe.results import export as exporter
    from phasepipe.store.folder import SweepFolder

    target = output or Path(f"{results.resolve().name}-{to.value}")
    form = exporter.Format(to.value)
    written = exporter.export_sweep(SweepFolder(results), form, target, licence, creator or ())
    typer.echo(f"wrote {written}")
