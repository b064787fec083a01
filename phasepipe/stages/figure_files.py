"""Saves a figure in every format, and the table of the numbers that it shows as CSV."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from phasepipe.figures.style import paper_style
from phasepipe.store.folder import SweepFolder

# of every format, what draws it, and its metadata
_FORMATS: dict[str, tuple[type[FigureCanvasBase], dict[str, None]]] = {
    "png": (FigureCanvasAgg, {}),
    "svg": (FigureCanvasSVG, {"Date": None}),
    "pdf": (FigureCanvasPdf, {"CreationDate": None}),
}


def save(figure: Figure, folder: SweepFolder, name: str, numbers: pd.DataFrame | None = None) -> None:
    """Save a figure of a sweep in all formats, and ``numbers``, the table that it shows, as CSV."""
    write_figure(figure, folder.root / "figures", name)
    if numbers is not None:
        numbers.to_csv(folder.root / "figures" / f"{name}.csv", index=False, float_format="%.8g")


@paper_style()
def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """Save a figure as PNG, SVG and PDF, without the date, so that equal results give equal files.

    ``savefig`` would arrange the figure again, and draw it twice, in every format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    for extension, (canvas, metadata) in _FORMATS.items():
        figure.set_dpi(mpl.rcParams["savefig.dpi"])  # the vector formats leave their own behind
        write = getattr(canvas(figure), f"print_{extension}")
        write(folder / f"{name}.{extension}", metadata=metadata)
