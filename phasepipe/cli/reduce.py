"""``phasepipe reduce``: finished sweeps made small enough to be kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reduce(
    sweeps: Annotated[list[Path], typer.Argument(help="Folders of sweeps, for example results/study/*.")],
    to: Annotated[Path, typer.Option(help="Folder that gets one small folder per sweep.")],
) -> None:
    """Keep of finished sweeps what the study asks: counts by instance, windows, mean curvature; kilobytes."""
    from phasepipe.results.reduce import reduce_sweep
    from phasepipe.store.folder import SweepFolder

    for folder in sweeps:
        target = SweepFolder(to / folder.resolve().name)
        reduce_sweep(SweepFolder(folder), target)
        typer.echo(f"{target.root} is written")
