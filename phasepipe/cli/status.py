"""``phasepipe status``: what a sweep has computed, once or live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.parts import SweepError


def status(
    results: Annotated[
        Path, typer.Argument(help="Folder of a sweep, for example results/demo, or of several.")
    ] = Path("results"),
    watch: Annotated[bool, typer.Option("--watch", help="Show it live until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks with --watch.", min=0.2)] = 2.0,
) -> None:
    """Show what a sweep has computed, per N and alpha: done, pending, diverged, P so far, time left."""
    folders = _sweeps(results)
    if not watch:
        Console().print(_view(folders))
        return
    try:
        with Live(_view(folders), auto_refresh=False, vertical_overflow="visible") as live:
            while True:
                time.sleep(every)
                live.update(_view(_sweeps(results)), refresh=True)
    except KeyboardInterrupt:
        return


def _sweeps(results: Path) -> list[SweepFolder]:
    places = [results, *(sorted(results.iterdir()) if results.is_dir() else [])]
    found = [
        folder for folder in map(SweepFolder, places) if folder.stores("instances") or folder.stores("runs")
    ]
    if not found:
        raise SweepError(f"{results} holds no sweep; name the folder of one, for example results/demo")
    return found


def _view(folders: list[SweepFolder]) -> Group:
    return Group(*(part for folder in folders for part in _one(folder)))


def _one(folder: SweepFolder) -> tuple[Table, Text]:
    from phasepipe.stages.census import take_census

    census = take_census(folder)
    table = Table("N", "alpha", "done", "pending", "diverged", "P(recovery)", title=str(folder.root))
    for cell in census.cells:
        probability = "-" if np.isnan(cell.probability) else f"{cell.probability:.3f}"
        counts = (cell.done, cell.pending, cell.diverged)
        table.add_row(str(cell.N), f"{cell.alpha:.4g}", *map(str, counts), probability)
    done, pending = (sum(getattr(cell, name) for cell in census.cells) for name in ("done", "pending"))
    said = [f"{done} of {done + pending} runs, {decimal(census.bytes)} on disk"]
    if np.isfinite(census.seconds_left):
        said.append(f"about {census.seconds_left:.0f} s left")
    said += [
        f"{name} is held by process {owner['pid']} on {owner['host']} since {owner['since']}"
        for name, owner in census.holders.items()
    ]
    return table, Text("; ".join(said))
