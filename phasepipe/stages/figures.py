"""Stage *figures*: the pictures of a sweep as PNG, SVG and PDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.analysis.style import paper_style
from phasepipe.analysis.success_figure import success_figure
from phasepipe.physics.starts import StartKind
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.parts import LossSpec, NormalisedQuarticSpec, QuarticSpec
from phasepipe.pipeline.progress import logger, logging_to
from phasepipe.pipeline.sweep import Sweep
from phasepipe.pipeline.tables import open_store

FORMATS = ("png", "svg", "pdf")


def describe_loss(loss: LossSpec) -> str:
    """Name of the loss for people."""
    if isinstance(loss, NormalisedQuarticSpec):
        return f"normalised quartic loss, a = {loss.a:g}"
    return "quartic loss" if isinstance(loss, QuarticSpec) else f"loss {loss.path}"


def draw_success(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Draw ``figures/success.*``: the success curves at the full time budget, one picture per start kind."""
    with logging_to(log):
        table = open_store(folder.table("success")).isel(budget=-1).load()
        for group in range(table.sizes["start_group"]):
            chosen = table.isel(start_group=group)
            name = "success" if group == 0 else f"success-{group}"
            with paper_style():
                figure = success_figure(chosen, _title(sweep, chosen))
                save(figure, folder, name)
        logger.info("figures: success curves drawn")


def _title(sweep: Sweep, table: xr.Dataset) -> str:
    kind = StartKind(int(table["start_kind"])).name.lower()
    m0 = float(table["start_m0"])
    start = f"{kind} starts" if np.isnan(m0) else f"{kind} starts, m0 = {m0:g}"
    control = ", zero-signal control" if sweep.zero_signal else ""
    return f"{describe_loss(sweep.loss)}, {start}{control}\nrecovered by t = {sweep.t_max:g}, 95 % intervals"


def save(figure: Figure, folder: SweepFolder, name: str) -> None:
    """Write a figure in all formats, without dates, so that equal results give equal files."""
    path = folder.root / "figures"
    path.mkdir(parents=True, exist_ok=True)
    metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    for extension in FORMATS:
        figure.savefig(path / f"{name}.{extension}", metadata=metadata[extension])
