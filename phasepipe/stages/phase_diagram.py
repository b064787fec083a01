"""Stage *phase diagram*: the transitions of the normalised quartic losses against ``a``.

See docs/explanation/physics.md §6 and §7, and docs/explanation/landscape.md. The stage belongs to no sweep:
the command ``phasepipe phase-diagram`` calls it. Each value of ``a`` is a Dask task on a local cluster.
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
from phasepipe.figures.phase_diagram import FLOW_COLUMNS, phase_diagram_figure
from phasepipe.log import logger, logging_to
from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.specification.cluster import LocalCluster
from phasepipe.stages.figure_files import write_figure
from phasepipe.theory import alpha_init, branch_change, phase_point

SMALLEST, LARGEST = 1e-3, 100.0  # of the regulariser a
_MOST_POINTS = 10_000  # some hours of one core


class PhaseDiagramError(UserError):
    """The phase diagram cannot be computed; the message gives the reason."""


def draw_phase_diagram(to: Path, points: int, flow: Path | None = None) -> None:
    """Write ``phase_diagram.png``, ``.svg``, ``.pdf``, ``.csv`` and ``.log`` into the folder ``to``.

    Parameters
    ----------
    to
        Folder; created if it does not exist.
    points
        Number of values of ``a``, evenly spaced in log a from 0.001 to 100.
    flow
        CSV file of measured thresholds to draw, columns ``a``, ``alpha_flow`` and ``error``.

    Raises
    ------
    PhaseDiagramError
        If there are fewer than two points or more than 10,000, if the file of measured thresholds cannot be
        used, or if a transition is not found to a relative accuracy of 1e-6.
    """
    if points < 2:
        raise PhaseDiagramError(
            f"--points {points} is too small to draw a line; use at least 2, for example 61"
        )
    if points > _MOST_POINTS:
        raise PhaseDiagramError(f"--points {points} is too many; use at most {_MOST_POINTS}, for example 61")
    measured = None if flow is None else _measured(flow)
    to.mkdir(parents=True, exist_ok=True)
    with logging_to(to / "phase_diagram.log"), connect(LocalCluster()) as client:
        table = _phase_diagram_table(client, np.geomspace(SMALLEST, LARGEST, points).tolist())
        table.to_csv(to / "phase_diagram.csv", index=False, float_format="%.8g")
        write_figure(_figure(table, measured), to, "phase_diagram")
        logger.info("phase diagram: wrote the figure and its table to %s", to)


def _phase_diagram_table(client: Client, values: Sequence[float]) -> pd.DataFrame:
    """One row per value of ``a``, with the columns of :class:`~phasepipe.theory.phase.PhasePoint`."""
    found = []
    with reporting("phase diagram", len(values)) as reporter:
        futures = {client.submit(phase_point, a): a for a in values}
        for future in as_completed(list(futures), loop=client.loop):
            problem = future.exception()
            if problem is not None:
                raise PhaseDiagramError(
                    f"the transitions at a = {futures[future]:.4g} were not found: {problem}"
                )
            found.append(future.result())
            reporter.advance(1, {})
    return pd.DataFrame(found).sort_values("a", ignore_index=True)


def _measured(path: Path) -> pd.DataFrame:
    """The measured thresholds of the flow in a CSV file."""
    try:
        table = pd.read_csv(path, comment="#")
    except (OSError, ValueError) as error:
        raise PhaseDiagramError(f"the measured thresholds {path} cannot be read: {error}") from error
    missing = [name for name in FLOW_COLUMNS if name not in table]
    if missing:
        raise PhaseDiagramError(
            f"{path} lacks the columns {', '.join(missing)}; it needs {', '.join(FLOW_COLUMNS)}"
        )
    return table


def _figure(table: pd.DataFrame, flow: pd.DataFrame | None) -> Figure:
    change = branch_change()
    return phase_diagram_figure(
        table, branch_change=(change, alpha_init(NormalisedQuartic(change))), flow=flow
    )
