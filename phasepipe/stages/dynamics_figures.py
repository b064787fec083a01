"""Stage *figures*, dynamics: what is predicted for N to infinity, drawn over the runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.counts import counts_from_xarray
from phasepipe.analysis.curves import fit_curves
from phasepipe.analysis.success import counts_by_instance
from phasepipe.analysis.summaries import clustered_mean
from phasepipe.figures.bands import Band
from phasepipe.figures.dynamics import (
    dynamics_figure,
    predicted_alpha_50_figure,
    predicted_success_figure,
)
from phasepipe.figures.windows import window_limit_figure
from phasepipe.log import logger, logging_to
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.figure_files import save
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store, read_runs
from phasepipe.theory.warm_starts import success_at

_BUDGETS = 3  # drawn, the longest that are predicted
FIGURES = ("dynamics", "dynamics-success", "dynamics-alpha50", "dynamics-windows")


def draw_dynamics(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Draw ``figures/dynamics*``: predictions for N to infinity over the runs of the first kind of start."""
    with logging_to(log):
        predicted = open_store(folder.table("dynamics")).load()
        success = open_store(folder.table("success")).isel(start_group=0).load()
        theory = open_store(folder.table("theory")).load()
        budgets = _budgets(predicted, success)
        runs = {N: start_groups(sweep)[0].select(read_runs(folder, sweep, N)) for N in sorted(sweep.N)}
        series = _series(runs, predicted)
        half, windows = _alpha_50(runs, budgets, sweep.precise_sizes()), _windows(runs)
        band = Band(float(theory["alpha_most_numerous"]), float(theory["alpha_lowest"]))
        figures = {
            "dynamics": (dynamics_figure(predicted, series), series),
            "dynamics-success": (
                predicted_success_figure(predicted, success, budgets),
                _success_rows(predicted, success, budgets),
            ),
            "dynamics-alpha50": (
                predicted_alpha_50_figure(predicted, half, budgets, band),
                half,
            ),
            "dynamics-windows": (window_limit_figure(predicted, windows), windows),
        }
        for name, (figure, numbers) in figures.items():
            save(figure, folder, name, numbers)
        logger.info("figures: dynamics drawn at the budgets %s", ", ".join(f"{T:.3g}" for T in budgets))


def _budgets(predicted: xr.Dataset, success: xr.Dataset) -> list[float]:
    """The longest budgets that both tables have."""
    measured = success["budget"].values
    common = [T for T in predicted["budget"].values.tolist() if np.isclose(measured, T, rtol=1e-6).any()]
    return common[-_BUDGETS:]


def _series(runs: dict[int, xr.Dataset], predicted: xr.Dataset) -> pd.DataFrame:
    """Means over the runs at the largest N: energy and N m², with errors of whole instances."""
    N, data = max(runs.items())
    rows = []
    for alpha in predicted["alpha"].values.tolist():
        near = np.flatnonzero(np.isclose(data["alpha"].values, alpha, atol=0.5 / N))
        if not near.size:
            continue
        cell = data[["loss", "overlap"]].isel(alpha=near[0]).transpose("instance", "start", "time").load()
        within = cell.isel(time=np.flatnonzero(cell["time"].values <= float(predicted["time"][-1])))
        chosen = np.ones(within["loss"].shape[:2], bool)
        energy, energy_error, _ = clustered_mean(within["loss"].values.astype(float), chosen)
        squares = N * within["overlap"].values.astype(float) ** 2
        variance, variance_error, _ = clustered_mean(squares, chosen)
        rows.append(
            pd.DataFrame(
                {
                    "alpha": alpha,
                    "N": N,
                    "time": within["time"].values,
                    "energy": energy,
                    "energy_error": energy_error,
                    "overlap_variance": variance,
                    "overlap_variance_error": variance_error,
                }
            )
        )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"alpha": [], "N": [], "time": []})


def _success_rows(predicted: xr.Dataset, success: xr.Dataset, budgets: list[float]) -> pd.DataFrame:
    """Measured and predicted P of every cell that was predicted."""
    columns = ["budget", "N", "alpha", "p", "lower", "upper", "predicted"]
    rows = []
    for T in budgets:
        half = predicted["half_size"].sel(budget=T, method="nearest")
        for alpha, size in zip(half["alpha"].values.tolist(), half.values.tolist(), strict=True):
            for N in success["N"].values.tolist():
                cells = success.sel(N=N).sel(budget=T, method="nearest")
                near = np.flatnonzero(np.isclose(cells["alpha"].values, alpha, atol=0.5 / N))
                if near.size:
                    cell = cells.isel(alpha=near[0])
                    measured = {name: float(cell[name]) for name in ("p", "lower", "upper")}
                    rows.append(
                        {
                            "budget": T,
                            "N": N,
                            "alpha": alpha,
                            **measured,
                            "predicted": success_at(N, size),
                        }
                    )
    return pd.DataFrame(rows, columns=columns)


def _alpha_50(runs: dict[int, xr.Dataset], budgets: list[float], steered: list[int]) -> pd.DataFrame:
    """alpha_50 with its interval at every N and budget, as measured."""
    rows = []
    for T in budgets:
        tables = []
        for data in runs.values():
            known = data[["outcome", "recovery_time"]].load()
            counts = counts_by_instance(known["outcome"], known["recovery_time"], [T])
            tables.append(counts_from_xarray(counts.isel(budget=0, drop=True)))
        rows += [
            {
                "N": fit.N,
                "budget": T,
                "alpha_50": fit.alpha_50,
                "lower": fit.alpha_50_lower,
                "upper": fit.alpha_50_upper,
            }
            for fit in fit_curves(pd.concat(tables, ignore_index=True), steered=steered)
        ]
    return pd.DataFrame(rows, columns=["N", "budget", "alpha_50", "lower", "upper"])


def _windows(runs: dict[int, xr.Dataset]) -> pd.DataFrame:
    """Quartiles of t_BBP over the runs that lose their outlier."""
    rows = []
    for N, data in runs.items():
        window = data["t_bbp"].load()
        for row, alpha in enumerate(window["alpha"].values.tolist()):
            ends = window.isel(alpha=row).values
            lost = ends[np.isfinite(ends)]
            if lost.size:
                lower, median, upper = np.quantile(lost, [0.25, 0.5, 0.75])
                rows.append({"N": N, "alpha": alpha, "lower": lower, "median": median, "upper": upper})
    return pd.DataFrame(rows, columns=["N", "alpha", "lower", "median", "upper"])
