"""Stage *phase diagram*: both transitions of the normalised quartic family against ``a`` (PHYSICS §6, §7).

Belongs to no sweep: ``phasepipe phase-diagram`` calls it. Every ``a`` is a task of a local Dask cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client, as_completed
from matplotlib.figure import Figure

from phasepipe.errors import UserError
from phasepipe.execution.cluster import connect
from phasepipe.execution.progress import reporting
from phasepipe.figures.phase_diagram import phase_diagram
from phasepipe.figures.style import paper_style
from phasepipe.log import logger, logging_to
from phasepipe.physics.losses import NormalisedQuartic, Quartic
from phasepipe.specification.cluster import LocalCluster
from phasepipe.stages.figure_files import write_figure
from phasepipe.theory import alpha_init, alpha_threshold, branch_change, phase_point

SMALLEST, LARGEST = 1e-3, 100.0  # of the regulariser a


class PhaseDiagramError(UserError):
    """The phase diagram cannot be computed; the message says why."""


def draw_phase_diagram(to: Path, points: int) -> None:
    """Write ``phase_diagram.png``, ``.svg``, ``.pdf``, ``.csv`` and ``.log`` into the folder ``to``.

    Parameters
    ----------
    to
        Folder, made if it does not exist.
    points
        Values of ``a``, evenly spaced in its logarithm from 0.001 to 100.

    Raises
    ------
    PhaseDiagramError
        If there are fewer than two points, or a transition is not found to a relative 1e-6.
    """
    if points < 2:
        raise PhaseDiagramError(f"--points {points} makes no line; take at least 2, for example 61")
    to.mkdir(parents=True, exist_ok=True)
    with logging_to(to / "phase_diagram.log"), connect(LocalCluster()) as client:
        table = _transitions(client, np.geomspace(SMALLEST, LARGEST, points).tolist())
        table.to_csv(to / "phase_diagram.csv", index=False, float_format="%.8g")
        with paper_style():
            write_figure(_figure(table), to, "phase_diagram")
        logger.info("phase diagram: written to %s", to)


def _transitions(client: Client, values: Sequence[float]) -> pd.DataFrame:
    """One row per value of ``a``: a, alpha_init, branch, alpha_threshold."""
    found = []
    with reporting("phase diagram", len(values)) as reporter:
        futures = {client.submit(phase_point, a): a for a in values}
        for future in as_completed(list(futures), loop=client.loop):
            problem = future.exception()
            if problem is not None:
                raise PhaseDiagramError(f"no phase point at a = {futures[future]:.4g}: {problem}")
            found.append(future.result())
            reporter.advance(1, {})
    return pd.DataFrame(found).sort_values("a", ignore_index=True)


def _figure(table: pd.DataFrame) -> Figure:
    change = branch_change()
    return phase_diagram(
        table["a"].to_numpy(),
        table["alpha_init"].to_numpy(),
        table["alpha_threshold"].to_numpy(),
        branch_change=(change, alpha_init(NormalisedQuartic(change))),
        quartic_limit=alpha_threshold(Quartic()),
    )
