"""Tables of the numbers that the figures of the Hessian show, one row per point.

See docs/explanation/physics.md §4 and §5. The figures are drawn from these tables, and the stage saves each
table as a CSV file next to its figure. :mod:`phasepipe.figures.hessian` describes the datasets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

QUARTILES = {"lower": 0.25, "median": 0.5, "upper": 0.75}
_LEAST = 3  # runs needed for a mean with a standard error


def require(dataset: xr.Dataset, *names: str) -> None:
    """Raise a ValueError if a variable is missing."""
    missing = [name for name in names if name not in dataset]
    if missing:
        raise ValueError(
            f"the dataset has no variable {', '.join(missing)}; it contains {', '.join(map(str, dataset))}"
        )


def spectra_table(panels: xr.Dataset) -> pd.DataFrame:
    """All measured eigenvalues and the predicted bulk, edge and outlier of every panel.

    Columns ``alpha, moment, time, quantity, eigenvalue, density``; only rows of the bulk have a ``density``.
    """
    rows = []
    for alpha in range(panels.sizes["alpha"]):
        for moment in range(panels.sizes["moment"]):
            panel = panels.isel(alpha=alpha, moment=moment)
            values = panel.eigenvalues.values
            parts = {
                "measured": {"eigenvalue": values[np.isfinite(values)]},
                "bulk": {"eigenvalue": panel.grid.values, "density": panel.density.values},
                "edge": {"eigenvalue": [panel.edge.item()]},
                "outlier": {"eigenvalue": [panel.outlier.item()]},
            }
            rows += [
                pd.DataFrame({"alpha": float(panel.alpha), "moment": panel.moment.item(),
                              "time": float(panel.time), "quantity": name, **columns})
                for name, columns in parts.items()
            ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def lowest_eigenvalues_table(runs: xr.Dataset) -> pd.DataFrame:
    """Quartiles over runs of the two lowest eigenvalues and of the predicted edge and outlier, against time.

    Columns ``measured_from, quantity, time, lower, median, upper, t_bbp``. Every eigenvalue is given twice,
    measured from zero and from the predicted edge of its run (``measured_from`` is "zero" or "edge").
    ``t_bbp`` is the median over the runs. The outlier is NaN where fewer than half of the runs have one,
    because a median over so few runs would jump.
    """
    measured = runs.eigenvalues.transpose("eigenvalue", "run", "time").values
    edge, outlier = (runs[name].transpose("run", "time").values for name in ("edge", "outlier"))
    outlier = np.where(np.isfinite(outlier).mean(axis=0) >= 0.5, outlier, np.nan)
    quantities = {"lambda_0": measured[0], "lambda_1": measured[1], "edge": edge, "outlier": outlier}
    bands = [
        pd.DataFrame(
            {
                "measured_from": reference,
                "quantity": name,
                "time": runs["time"].values,
                **_quartiles(rows - origin),
            }
        )
        for reference, origin in (("zero", 0.0), ("edge", edge))
        for name, rows in quantities.items()
    ]
    return pd.concat(bands, ignore_index=True).assign(t_bbp=median_window(runs.t_bbp.values))


def signal_overlap_table(runs: xr.Dataset) -> pd.DataFrame:
    """Mean and standard error of the measured and predicted signal overlap against time, by fate.

    Columns ``fate, quantity, time, mean, error, runs, t_bbp``. ``runs`` is the number of runs that enter a
    mean; with fewer than 3 the mean is NaN. ``t_bbp`` is the median over the runs with this fate. A fate
    without runs has no rows.
    """
    time = runs["time"].values
    recovered = runs.recovered.values.astype(bool)
    bands = []
    for fate, chosen in (("recovered", recovered), ("not recovered", ~recovered)):
        group = runs.isel(run=np.flatnonzero(chosen))
        measured = group.signal_overlap.transpose("run", "time").values
        predicted = group.outlier_overlap.transpose("run", "time").values
        # without an outlier the predicted overlap is 0; after the end of a run there is no prediction
        predicted = np.where(np.isnan(measured), np.nan, np.nan_to_num(predicted))
        if chosen.any():
            bands += [
                pd.DataFrame({"fate": fate, "quantity": name, "time": time, **_means(rows),
                              "t_bbp": median_window(group.t_bbp.values)})
                for name, rows in (("measured", measured), ("predicted", predicted))
            ]  # fmt: skip
    return pd.concat(bands, ignore_index=True)


def window_lengths_table(runs: xr.Dataset) -> pd.DataFrame:
    """Quartiles of ``t_bbp`` over the runs that have one, and the shares of the runs that have none.

    Columns ``N, alpha, lower, median, upper, never, lasting, runs``. ``never`` is the share of runs that
    never have an outlier, ``lasting`` the share that keep it to the end. An alpha that was not run at this N
    has no row.
    """
    rows = []
    for N in runs["N"].values.tolist():
        size = runs.sel(N=N)
        size = size.isel(alpha=np.flatnonzero(size.runs.values > 0))
        values = size.t_bbp.transpose("alpha", "run").values
        counts = size.runs.values
        never = np.isnan(values).sum(axis=1) - (values.shape[1] - counts)  # the other entries are padding
        rows.append(
            pd.DataFrame({"N": N, "alpha": size["alpha"].values,
                          **_quartiles(np.where(np.isfinite(values), values, np.nan).T),
                          "never": never / counts, "lasting": np.isinf(values).sum(axis=1) / counts,
                          "runs": counts.astype(int)})
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def median_window(t_bbp: Float64) -> float:
    """Median of ``t_bbp`` over the runs that have an outlier; infinite if most keep it or no run has one."""
    known = t_bbp[~np.isnan(t_bbp)]
    return float(np.quantile(known, 0.5, method="lower")) if known.size else np.inf


def _quartiles(rows: Float64) -> dict[str, Float64]:
    """Quartiles over the first axis without NaN entries; NaN for a column that has no other entries."""
    result = np.full((len(QUARTILES), rows.shape[1]), np.nan)
    for column, values in enumerate(rows.T):
        known = values[~np.isnan(values)]
        if known.size:
            result[:, column] = np.quantile(known, list(QUARTILES.values()))
    return dict(zip(QUARTILES, result, strict=True))


def _means(rows: Float64) -> dict[str, Float64]:
    """Mean and standard error over the first axis, treating runs as independent."""
    count = np.isfinite(rows).sum(axis=0)
    safe = np.maximum(count, 1)
    mean = np.where(count >= _LEAST, np.nansum(rows, axis=0) / safe, np.nan)
    error = np.sqrt(np.nansum((rows - mean) ** 2, axis=0)) / safe
    return {"mean": mean, "error": np.where(np.isnan(mean), np.nan, error), "runs": count}
