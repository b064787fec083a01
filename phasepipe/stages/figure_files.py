"""Writes a figure in every format, with the numbers it shows beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from phasepipe.figures.style import paper_style
from phasepipe.store.folder import SweepFolder

FORMATS = ("png", "svg", "pdf")


def save(figure: Figure, folder: SweepFolder, name: str, numbers: pd.DataFrame | None = None) -> None:
    """Write a figure of a sweep in all formats, and beside it the numbers that it shows as CSV."""
    with paper_style():
        write_figure(figure, folder.root / "figures", name)
    if numbers is not None:
        numbers.to_csv(folder.root / "figures" / f"{name}.csv", index=False, float_format="%.8g")


def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure in all formats, without dates, so that equal results give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    for extension in FORMATS:
        figure.savefig(folder / f"{name}.{extension}", metadata=metadata[extension])
