"""The figures of a sweep in the order of the report, with titles and captions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from phasepipe.specification.start_groups import StartGroup

CAPTIONS = Path(__file__).parent / "captions"

# (file name, title, whether there is one figure per kind of start)
CHAPTERS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "recovery": (
        ("success", "Success probability", True),
        ("loss", "Loss of the runs that did not recover", True),
    ),
    "size": (
        ("scaling-limit", "Extrapolation of alpha_50 to N = infinity", True),
        ("scaling-time", "alpha_50 against the time budget", True),
        ("scaling-curves", "Success curves and the fits that give alpha_50", True),
        ("scaling-residuals", "Residuals of the fits", True),
        ("scaling-overview", "Stability of the limit and width of the curves", True),
        ("scaling-collapse", "Data collapse", True),
    ),
    "flow": (("flow-threshold", "Response to the signal where runs end", False),),
    "dynamics": (
        ("dynamics", "Dynamics for N to infinity", False),
        ("dynamics-success", "Success predicted without a fit", False),
        ("dynamics-alpha50", "alpha_50 predicted without a fit", False),
        ("dynamics-windows", "End of the window for N to infinity", False),
    ),
    "curvature": (
        ("hessian-spectra", "Spectrum of the Hessian during the descent", False),
        ("hessian-eigenvalues", "Lowest eigenvalues against time", False),
        ("hessian-overlap", "Does the lowest eigenvector point to the signal?", False),
        ("hessian-windows", "How long the curvature points to the signal", False),
        ("hessian-phi", "How often the lowest eigenvector has the largest signal overlap", False),
        ("fate", "How well early quantities predict the fate of a run", False),
    ),
}


@dataclass(frozen=True)
class Picture:
    """One figure of the report; ``source`` is a data URL with the PNG, sizes are in pixels."""

    name: str
    title: str
    caption: str
    source: str
    width: int
    height: int
    has_numbers: bool  # there is a CSV file with its numbers


def caption(name: str) -> str:
    """Caption of a figure, one paragraph of plain text."""
    return (CAPTIONS / f"{name}.rst").read_text().strip()


def pictures(figures: Path, groups: Sequence[StartGroup]) -> dict[str, list[Picture]]:
    """The figures in the folder ``figures``, by chapter of the report."""
    found: dict[str, list[Picture]] = {}
    for chapter, entries in CHAPTERS.items():
        found[chapter] = []
        for name, title, per_group in entries:
            for group in groups if per_group else groups[:1]:
                path = figures / f"{name}{group.suffix}.png"
                if path.exists():
                    full = f"{title}: {group.name}" if per_group and len(groups) > 1 else title
                    found[chapter].append(_picture(path, name, full))
    return found


def _picture(path: Path, name: str, title: str) -> Picture:
    with Image.open(path) as image:
        width, height = image.size
    encoded = base64.b64encode(path.read_bytes()).decode()
    return Picture(
        path.stem,
        title,
        caption(name),
        f"data:image/png;base64,{encoded}",
        width,
        height,
        path.with_suffix(".csv").exists(),
    )
