"""The figures of a sweep in the order of the story, with title and caption."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from phasepipe.specification.start_groups import StartGroup

CAPTIONS = Path(__file__).parent / "captions"

# (file name, title, drawn for every group of starts)
CHAPTERS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "recovery": (
        ("success", "Success probability", True),
        ("loss", "Loss of the runs that did not recover", True),
    ),
    "size": (
        ("scaling-limit", "Where alpha_50 goes for N to infinity", True),
        ("scaling-curves", "Curves behind alpha_50", True),
        ("scaling-residuals", "How well the curves fit", True),
        ("scaling-overview", "Stability of the limit, width of the curves", True),
        ("scaling-collapse", "Data collapse", True),
    ),
    "curvature": (
        ("hessian-spectra", "Spectrum of the Hessian along the descent", False),
        ("hessian-eigenvalues", "Lowest eigenvalues against time", False),
        ("hessian-overlap", "Does the lowest eigenvector point to the signal?", False),
        ("hessian-windows", "How long curvature points to the signal", False),
        ("hessian-phi", "Is the lowest eigenvector the most informative?", False),
        ("fate", "What decides the fate of a run", False),
    ),
}


@dataclass(frozen=True)
class Picture:
    """One figure of the report; ``source`` is a data address that holds the whole PNG."""

    name: str
    title: str
    caption: str
    source: str
    width: int
    height: int
    has_numbers: bool  # a CSV file beside it


def caption(name: str) -> str:
    """What to see in a figure, one paragraph of plain text."""
    return (CAPTIONS / f"{name}.rst").read_text().strip()


def pictures(figures: Path, groups: Sequence[StartGroup]) -> dict[str, list[Picture]]:
    """Figures that exist in the folder ``figures``, by chapter."""
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
