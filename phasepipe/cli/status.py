"""``phasepipe status``: what a sweep has computed, once or live."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from phasepipe.errors import SweepError

if TYPE_CHECKING:
    from phasepipe.results.status import Census
    from phasepipe.store.folder import SweepFolder


def status(
    results: Annotated[
        Path, typer.Argument(help="Folder of a sweep, for example results/demo, or of several.")
    ] = Path("results"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it live until all is computed, or Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks with --watch.", min=0.2)] = 2.0,
) -> None:
    """Show what a sweep has computed, per N and alpha: done, pending, diverged, P so far, time left."""
    from rich.live import Live

    looked = _look(results)
    if not watch:
        Console().print(_view(looked))
        return
    try:
        with Live(_view(looked), auto_refresh=False, vertical_overflow="visible") as live:
            while any(cell.pending for census in looked.values() for cell in census.cells):
                time.sleep(every)
                try:
                    looked = _look(results)
                except ValueError:  # a store whose axes grow at this moment
                    continue
                live.update(_view(looked), refresh=True)
    except KeyboardInterrupt:
        return


def _sweeps(results: Path) -> list[SweepFolder]:
    from phasepipe.store.folder import SweepFolder

    SweepFolder(results).stores("runs")  # refuses what cannot be read
    places = [results, *(sorted(filter(Path.is_dir, results.iterdir())) if results.is_dir() else [])]
    found = [
        folder for folder in map(SweepFolder, places) if folder.stores("instances") or folder.stores("runs")
    ]
    if not found:
        raise SweepError(f"{results} holds no sweep; name the folder of one, for example results/demo")
    return found


def _look(results: Path) -> dict[Path, Census]:
    from phasepipe.results.status import take_census

    return {folder.root: take_census(folder) for folder in _sweeps(results)}


def _view(looked: dict[Path, Census]) -> Group:
    return Group(*(part for root, census in looked.items() for part in _one(root, census)))


def _one(root: Path, census: Census) -> tuple[Table, Text]:
    table = Table("N", "alpha", "done", "pending", "diverged", "P(recovery)", title=str(root))
    for cell in census.cells:
        probability = "-" if math.isnan(cell.probability) else f"{cell.probability:.3f}"
        counts = (cell.done, cell.pending, cell.diverged)
        table.add_row(str(cell.N), f"{cell.alpha:.4g}", *map(str, counts), probability)
    done, pending = (sum(getattr(cell, name) for cell in census.cells) for name in ("done", "pending"))
    said = [f"{done} of {done + pending} runs, {decimal(census.bytes)} on disk"]
    if math.isfinite(census.seconds_left):
        said.append(f"about {census.seconds_left:.0f} s left")
    said += [
        f"{name} is held by process {owner['pid']} on {owner['host']} since {owner['since']}"
        for name, owner in census.holders.items()
    ]
    return table, Text("; ".join(said))
