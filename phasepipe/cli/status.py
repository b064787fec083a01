"""``phasepipe status``: what a sweep has computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.parts import SweepError


def status(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, for example results/demo.")],
) -> None:
    """Show what a sweep has computed, per N and alpha."""
    from phasepipe.pipeline.tables import open_store

    stores = SweepFolder(results).stores("runs")
    if not stores:
        raise SweepError(f"{results} holds no runs; name the folder of a sweep, for example results/demo")
    table = Table("N", "alpha", "done", "pending", "P(recovery)", title=str(results))
    for N, path in stores.items():
        data = open_store(path)[["status", "outcome"]].load()
        for alpha in data["alpha"].values:
            cell = data.sel(alpha=alpha)
            done = int((cell["status"] == 1).sum())
            counted = int(cell["outcome"].isin([1, 2, 3]).sum())
            recovered = int((cell["outcome"] == 1).sum())
            probability = f"{recovered / counted:.3f}" if counted else "-"
            table.add_row(str(N), f"{alpha:.4g}", str(done), str(cell["status"].size - done), probability)
    Console().print(table)
