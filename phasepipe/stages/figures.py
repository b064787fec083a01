"""Stage *figures*: the pictures of a sweep as PNG, SVG and PDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from phasepipe.analysis.style import paper_style
from phasepipe.analysis.success_figure import success_figure
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.parts import LossSpec, NormalisedQuarticSpec, QuarticSpec
from phasepipe.pipeline.progress import logger, logging_to
from phasepipe.pipeline.sweep import Sweep
from phasepipe.pipeline.tables import open_store
from phasepipe.stages.starts import StartGroup, start_groups

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
        theory = open_store(folder.table("theory")).load()
        lines = {r"$\alpha_{\mathrm{init}}$": "alpha_init", r"$\alpha_{\mathrm{TS}}$": "alpha_threshold"}
        known = {label: float(theory[name]) for label, name in lines.items() if not np.isnan(theory[name])}
        for group in start_groups(sweep):
            with paper_style():
                figure = success_figure(
                    table.isel(start_group=group.position),
                    _title(sweep, group),
                    {} if sweep.zero_signal else known,
                )
            save(figure, folder, f"success{group.suffix}")
        logger.info("figures: success curves drawn")


def _title(sweep: Sweep, group: StartGroup) -> str:
    control = ", zero-signal control" if sweep.zero_signal else ""
    what = f"{describe_loss(sweep.loss)}, {group.name}{control}"
    return f"{what}\nrecovered by t = {sweep.t_max:g}, 95 % intervals"


def save(figure: Figure, folder: SweepFolder, name: str) -> None:
    """Write a figure of a sweep in all formats."""
    with paper_style():
        write_figure(figure, folder.root / "figures", name)


def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure in all formats, without dates, so that equal results give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    for extension in FORMATS:
        figure.savefig(folder / f"{name}.{extension}", metadata=metadata[extension])
