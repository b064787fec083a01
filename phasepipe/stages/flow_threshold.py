"""Stage *flow threshold*: the alpha at which the states where gradient flow ends turn unstable.

Only for sweeps without a signal. See docs/explanation/landscape.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phasepipe.analysis.flow_threshold import flow_threshold
from phasepipe.errors import UserError
from phasepipe.figures.bands import Band
from phasepipe.figures.flow_threshold import flow_threshold_figure
from phasepipe.log import logger, logging_to
from phasepipe.physics.streams import Stream, generator
from phasepipe.specification.loss import describe_loss
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.figure_files import save
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.tables import open_store, read_runs, require_complete, write_table

_NAMES = ["outcome", "bbp_margin", "status"]


class SignalError(UserError):
    """The sweep has a signal, so its runs do not say where flow without one ends."""


def find_flow_threshold(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``flow_threshold.zarr`` and ``figures/flow-threshold.*`` for the first kind of start.

    Raises
    ------
    SignalError
        If the sweep has a signal.
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    if not sweep.zero_signal:
        raise SignalError(
            f"sweep {sweep.name!r} has a signal; the threshold of the flow needs zero_signal: true"
        )
    with logging_to(log):
        group, runs = start_groups(sweep)[0], {}
        for N in sorted(sweep.N):
            stored = read_runs(folder, sweep, N)
            require_complete(sweep, N, stored)
            runs[N] = group.select(stored[_NAMES]).load()
        table = flow_threshold(runs, generator(Stream.BOOTSTRAP, sweep.seed, max(sweep.N)))
        write_table(folder.table("flow_threshold"), table.assign_attrs(provenance(sweep)))
        theory = open_store(folder.table("theory"))
        band = Band(float(theory["alpha_most_numerous"]), float(theory["alpha_lowest"]))
        title = f"{describe_loss(sweep.loss)}, {group.name}\nzero-signal runs to t = {sweep.t_max:g}"
        numbers = table.drop_vars("note").to_dataframe().dropna(subset="response").reset_index()
        save(flow_threshold_figure(table, title, band), folder, "flow-threshold", numbers)
        value, error = float(table["alpha_flow"]), float(table["alpha_flow_error"])
        note = str(table["note"].item())
        if np.isfinite(value):
            logger.info("flow threshold: alpha_flow = %.4g, error %.2g", value, error)
        if note:
            logger.warning("flow threshold: %s", note)
