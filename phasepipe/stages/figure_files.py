"""Saves a figure in every format, and the table of the numbers that it shows as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from phasepipe.figures.style import paper_style
from phasepipe.store.folder import SweepFolder

FORMATS = ("png", "svg", "pdf")


def save(figure: Figure, folder: SweepFolder, name: str, numbers: pd.DataFrame | None = None) -> None:
    """Save a figure of a sweep in all formats, and ``numbers``, the table that it shows, as CSV."""
    write_figure(figure, folder.root / "figures", name)
    if numbers is not None:
        numbers.to_csv(folder.root / "figures" / f"{name}.csv", index=False, float_format="%.8g")


@paper_style()
def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """Save a figure in all formats, without the date, so that equal results give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    # matplotlib would arrange the figure again, and draw it twice, in every format
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    for extension in FORMATS:
        figure.savefig(folder / f"{name}.{extension}", metadata=metadata[extension])
