"""One run against time: its overlap, its loss, and the lowest eigenvalues of its Hessian."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasepipe.figures.bands import Band
from phasepipe.figures.hessian import EIGENVALUES, mark_window, time_axis
from phasepipe.figures.loss import energies_of_theory
from phasepipe.figures.style import BLUE, GREEN, VERMILION


def overlap_panel(axes: Axes, run: xr.Dataset, recovery_threshold: float) -> None:
    """Overlap of one run and the predicted squared overlap of its outlier.

    ``run`` has ``overlap``, ``outlier_overlap`` (time), NaN after its end, and ``recovery_time``,
    ``end_time``, ``t_bbp``.
    """
    axes.plot(run["time"], abs(run["overlap"]), color=BLUE, label="overlap |m|")
    axes.plot(run["time"], run["outlier_overlap"], ".-", color=VERMILION, label="q of the predicted outlier")
    axes.axhline(recovery_threshold, color=GREEN, linestyle="--", linewidth=0.8)
    if np.isfinite(run["recovery_time"]):
        axes.plot(run["recovery_time"], recovery_threshold, "o", color=GREEN, clip_on=False, label="recovery")
    axes.set_ylim(-0.03, 1.05)
    _finish(axes, run, "overlap with the signal")


def run_loss_panel(axes: Axes, run: xr.Dataset, marginal: Band | None, one_rsb: float | None) -> None:
    """Loss per dimension of one run beside the energies of marginal minima for N to infinity.

    ``run`` has ``loss`` (time), NaN after its end, ``end_time`` and ``t_bbp``.
    """
    axes.plot(run["time"], run["loss"], color=BLUE, label="loss")
    energies_of_theory(axes, marginal, one_rsb)
    axes.set_yscale("log")
    _finish(axes, run, "loss per N")


def eigenvalues_panel(axes: Axes, run: xr.Dataset, measured: Mapping[str, xr.DataArray]) -> None:
    """Predicted edge and outlier of one run against time, and the eigenvalues that were measured.

    ``run`` has ``edge``, ``outlier`` (time), ``end_time`` and ``t_bbp``; ``measured`` may have ``lambda_0``
    and ``lambda_1`` (time), at the snapshots of the run.
    """
    series = {"edge": run["edge"], "outlier": run["outlier"], **measured}
    for name, (colour, label, look) in EIGENVALUES.items():
        if name in series:
            points = {"linestyle": "none"} if name in measured else {"marker": "."}
            axes.plot(series[name]["time"], series[name], color=colour, label=label, **(look | points))
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_yscale("symlog", linthresh=1.0)
    _finish(axes, run, "eigenvalue λ")


def _finish(axes: Axes, run: xr.Dataset, label: str) -> None:
    mark_window(axes, float(run["t_bbp"]), "t_BBP")
    times = run["time"].values
    time_axis(axes, times)
    end = np.nanmax([float(run["end_time"]), *times[np.isfinite(run["overlap"].values)]])
    axes.set_xlim(0, end or times[-1])
    axes.set_ylabel(label)
    axes.legend()
