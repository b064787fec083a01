"""``phasepipe reduce``: reduce finished sweeps to small tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasepipe.cli.options import Trust


def reduce(
    sweeps: Annotated[list[Path], typer.Argument(help="Folders of sweeps, for example results/study/*.")],
    to: Annotated[Path, typer.Option(help="Target folder; each sweep gets a subfolder.")],
    trust: Trust = False,
) -> None:
    """Reduce finished sweeps to the tables that the study needs: counts, windows, mean curvature."""
    from phasepipe.results.reduce import reduce_sweep
    from phasepipe.store.folder import SweepFolder

    for folder in sweeps:
        target = SweepFolder(to / folder.resolve().name)
        reduce_sweep(SweepFolder(folder), target, trust)
        typer.echo(f"wrote {target.root}")
