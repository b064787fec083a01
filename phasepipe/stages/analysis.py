"""What one job makes of finished runs: the tables of success and of the flow threshold, and their figures."""

from __future__ import annotations

from pathlib import Path

from phasepipe.specification.sweep import Sweep
from phasepipe.stages.flow_threshold import find_flow_threshold
from phasepipe.stages.success import estimate_success
from phasepipe.stages.success_figures import draw_success
from phasepipe.store.folder import SweepFolder


def analyse_runs(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write the tables success and (without a signal) flow_threshold, and draw their figures.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    stages = [estimate_success, draw_success]
    if sweep.zero_signal:
        stages.append(find_flow_threshold)
    for stage in stages:
        stage(sweep, folder, log)
