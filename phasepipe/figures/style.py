"""The style of all figures: widths of a two-column paper, colours that colour-blind readers can distinguish.

Categories (losses, kinds of start) take Okabe-Ito colours; system sizes are ordered, so they take viridis
colours from dark to light. Figures are built without pyplot. Every function that draws or saves a figure is
decorated with ``@paper_style()``, so its callers need no settings of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

COLUMN_WIDTH = 3.375  # inches, one column
PAGE_WIDTH = 6.9  # inches, both columns

# Okabe and Ito, https://jfly.uni-koeln.de/color/
BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#777777"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
THEORY: dict[str, Any] = {"color": BLACK, "linestyle": (0, (5, 2)), "linewidth": 1.0}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")

RC: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "legend.fontsize": 7.0,
    "legend.title_fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "figure.dpi": 200,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "phasepipe",  # identifiers in the file then depend on the figure only
    "pdf.fonttype": 42,
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Apply the matplotlib settings of the figures; use it as a decorator, ``@paper_style()``."""
    with mpl.rc_context(RC):
        yield


def small() -> float:
    """Size in points of notes inside a figure: 6.5 in the style of the paper, else in proportion."""
    return 0.8125 * float(mpl.rcParams["font.size"])


def new_figure(width: float = COLUMN_WIDTH, aspect: float = 0.75) -> Figure:
    """Empty figure of the given width in inches and the given aspect ratio, height / width."""
    return Figure(figsize=(width, width * aspect), layout="constrained")


def note(axes: Axes, text: str) -> None:
    """Say why ``axes`` are empty, in place of what would be drawn there."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def size_colours(sizes: Iterable[int]) -> dict[int, str]:
    """Colour of every system size, from dark for the smallest to light for the largest."""
    ordered = sorted(set(sizes))
    positions = np.linspace(0.0, 0.85, len(ordered)) if len(ordered) > 1 else [0.3]
    viridis = mpl.colormaps["viridis"]
    return {size: to_hex(viridis(position)) for size, position in zip(ordered, positions, strict=True)}


def size_markers(sizes: Iterable[int]) -> dict[int, str]:
    """Marker of every system size, so that sizes can be told apart without colour."""
    return {size: MARKERS[index % len(MARKERS)] for index, size in enumerate(sorted(set(sizes)))}
