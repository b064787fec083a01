"""What one job makes of finished runs: all tables and figures except the report."""

from __future__ import annotations

from pathlib import Path

from phasepipe.specification.sweep import Sweep
from phasepipe.stages.dynamics_figures import draw_dynamics
from phasepipe.stages.fate import relate_fates
from phasepipe.stages.flow_threshold import find_flow_threshold
from phasepipe.stages.hessian_figures import draw_hessian
from phasepipe.stages.scaling import study_scaling
from phasepipe.stages.success import estimate_success
from phasepipe.stages.success_figures import draw_success
from phasepipe.store.folder import SweepFolder


def analyse_runs(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write the tables success, scaling, fate and (without a signal) flow_threshold, and draw their figures.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    stages = [estimate_success, draw_success, study_scaling, relate_fates]
    if sweep.zero_signal:
        stages.append(find_flow_threshold)
    for stage in stages:
        stage(sweep, folder, log)


def draw_theory_and_curvature(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Draw the figures of the Hessian and of the dynamics for N to infinity, if the sweep has them."""
    if len(sweep.snapshot_indices()):
        draw_hessian(sweep, folder, log)
    if sweep.dynamics_theory:
        draw_dynamics(sweep, folder, log)
