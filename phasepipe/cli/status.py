"""``phasepipe status``: progress of a sweep, once or live."""

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
        Path | None,
        typer.Argument(
            help="Folder of a sweep, for example results/demo, or of several sweeps; default: what the key "
            "results of sweep.yaml or config/config.yaml says, else ./results."
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Update until all runs are computed, or Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between updates with --watch.", min=0.2)] = 2.0,
) -> None:
    """Show the progress of a sweep per N and alpha: done, pending, diverged, P(recovery), time left."""
    from rich.live import Live

    results = _results_here() if results is None else results
    current = _censuses(results)
    if not watch:
        Console().print(_view(current))
        return
    try:
        with Live(_view(current), auto_refresh=False, vertical_overflow="visible") as live:
            while any(cell.pending for census in current.values() for cell in census.cells):
                time.sleep(every)
                try:
                    current = _censuses(results)
                except ValueError:  # the axes of a store are being extended
                    continue
                live.update(_view(current), refresh=True)
    except KeyboardInterrupt:
        return


def _results_here() -> Path:
    from phasepipe.specification.choice import choose, local_files
    from phasepipe.specification.configuration import load_configuration

    return load_configuration(choose().files).results if local_files() else Path("results")


def _sweeps(results: Path) -> list[SweepFolder]:
    from phasepipe.store.folder import SweepFolder

    SweepFolder(results).refuse_reduced()  # or an error if the folder cannot be read
    places = [results, *(sorted(filter(Path.is_dir, results.iterdir())) if results.is_dir() else [])]
    found = [
        folder for folder in map(SweepFolder, places) if folder.stores("instances") or folder.stores("runs")
    ]
    if not found:
        raise SweepError(f"{results} holds no sweep; give the folder of a sweep, for example results/demo")
    return found


def _censuses(results: Path) -> dict[Path, Census]:
    from phasepipe.results.status import take_census

    return {folder.root: take_census(folder) for folder in _sweeps(results)}


def _view(current: dict[Path, Census]) -> Group:
    return Group(*(part for root, census in current.items() for part in _sweep_view(root, census)))


def _sweep_view(root: Path, census: Census) -> tuple[Table, Text]:
    table = Table("N", "alpha", "done", "pending", "diverged", "P(recovery)", title=str(root))
    for cell in census.cells:
        probability = "-" if math.isnan(cell.probability) else f"{cell.probability:.3f}"
        counts = (cell.done, cell.pending, cell.diverged)
        table.add_row(str(cell.N), f"{cell.alpha:.4g}", *map(str, counts), probability)
    done, pending = (sum(getattr(cell, name) for cell in census.cells) for name in ("done", "pending"))
    parts = [f"{done} of {done + pending} runs, {decimal(census.bytes)} on disk"]
    if math.isfinite(census.seconds_left):
        parts.append(f"about {census.seconds_left:.0f} s left")
    if census.rounds:
        parts.append(f"precision: {census.rounds}")
    parts += [
        f"{name} is held by process {owner['pid']} on {owner['host']} since {owner['since']}"
        for name, owner in census.holders.items()
    ]
    return table, Text("; ".join(parts))
