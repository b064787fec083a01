"""The numbers that the figures of the Hessian show, as tables of one row per point (PHYSICS §4-5).

The figures are drawn from these tables and the same tables are stored as CSV beside them, so a reader can
draw them again. Datasets are those that :mod:`phasepipe.figures.hessian` describes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

QUARTILES = {"lower": 0.25, "median": 0.5, "upper": 0.75}
_LEAST = 3  # runs behind a mean with a standard error


def spectrum_rows(panels: xr.Dataset) -> pd.DataFrame:
    """Every measured eigenvalue, the predicted bulk, edge and outlier of every panel.

    Columns ``alpha, moment, time, quantity, eigenvalue, density``; ``density`` is that of the bulk.
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


def eigenvalue_bands(runs: xr.Dataset) -> pd.DataFrame:
    """Quartiles over runs of the two lowest eigenvalues, the predicted edge and outlier against time.

    Columns ``measured_from, quantity, time, lower, median, upper, t_bbp``. Every eigenvalue is given twice,
    measured from zero and from the predicted edge of its run (``measured_from`` is "zero" or "edge").
    ``t_bbp`` is the median over the runs. The outlier is left out where fewer than half of the runs have one:
    a median over those few would jump.
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


def overlap_bands(runs: xr.Dataset) -> pd.DataFrame:
    """Mean and standard error of the signal overlap, measured and predicted, against time, by fate.

    Columns ``fate, quantity, time, mean, error, runs, t_bbp``: ``runs`` counts those that are behind the
    point, of which at least 3 are needed; ``t_bbp`` is the median of the fate. A fate that no run met has
    no rows.
    """
    time = runs["time"].values
    recovered = runs.recovered.values.astype(bool)
    bands = []
    for fate, chosen in (("recovered", recovered), ("not recovered", ~recovered)):
        group = runs.isel(run=np.flatnonzero(chosen))
        measured = group.signal_overlap.transpose("run", "time").values
        predicted = group.outlier_overlap.transpose("run", "time").values
        # without outlier the prediction is 0, but there is none after the end of a run
        predicted = np.where(np.isnan(measured), np.nan, np.nan_to_num(predicted))
        if chosen.any():
            bands += [
                pd.DataFrame({"fate": fate, "quantity": name, "time": time, **_means(rows),
                              "t_bbp": median_window(group.t_bbp.values)})
                for name, rows in (("measured", measured), ("predicted", predicted))
            ]  # fmt: skip
    return pd.concat(bands, ignore_index=True)


def window_quantiles(runs: xr.Dataset) -> pd.DataFrame:
    """Quartiles of ``t_bbp`` over the runs that have one, and the shares of those that have none.

    Columns ``N, alpha, lower, median, upper, never, lasting, runs``: ``never`` had an outlier, or keep it to
    the end (``lasting``). Only what was run: an alpha that an N lacks has no row.
    """
    rows = []
    for N in runs["N"].values.tolist():
        size = runs.sel(N=N)
        size = size.isel(alpha=np.flatnonzero(size.runs.values > 0))
        values = size.t_bbp.transpose("alpha", "run").values
        counts = size.runs.values
        never = np.isnan(values).sum(axis=1) - (values.shape[1] - counts)  # the rest only fills the array
        rows.append(
            pd.DataFrame({"N": N, "alpha": size["alpha"].values,
                          **_quartiles(np.where(np.isfinite(values), values, np.nan).T),
                          "never": never / counts, "lasting": np.isinf(values).sum(axis=1) / counts,
                          "runs": counts.astype(int)})
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def median_window(t_bbp: Float64) -> float:
    """Median of ``t_bbp`` over the runs that had an outlier; infinite if most keep it, or none had one."""
    known = t_bbp[~np.isnan(t_bbp)]
    return float(np.quantile(known, 0.5, method="lower")) if known.size else np.inf


def _quartiles(rows: Float64) -> dict[str, Float64]:
    """Quartiles over the first axis that skip NaN; NaN for empty columns."""
    result = np.full((len(QUARTILES), rows.shape[1]), np.nan)
    for column, values in enumerate(rows.T):
        known = values[~np.isnan(values)]
        if known.size:
            result[:, column] = np.quantile(known, list(QUARTILES.values()))
    return dict(zip(QUARTILES, result, strict=True))


def _means(rows: Float64) -> dict[str, Float64]:
    """Mean with standard error (runs taken as independent)."""
    count = np.isfinite(rows).sum(axis=0)
    safe = np.maximum(count, 1)
    mean = np.where(count >= _LEAST, np.nansum(rows, axis=0) / safe, np.nan)
    error = np.sqrt(np.nansum((rows - mean) ** 2, axis=0)) / safe
    return {"mean": mean, "error": np.where(np.isnan(mean), np.nan, error), "runs": count}
