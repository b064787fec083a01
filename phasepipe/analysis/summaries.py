"""Small summaries of a sweep: means over runs by outcome, windows, and counts by instance.

The functions take arrays of single runs and return tables of cells. A run that ends early stays where it
ended (next to the signal or in a certified trap), so its last record is used for all later times. Starts of
one instance share labels and sensing matrix, so standard errors are computed over instances, not over runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.analysis.fates import area_under_curve
from phasepipe.physics.losses import Loss
from phasepipe.physics.outcomes import Outcome
from phasepipe.variables import COUNTS, COURSE, CURVATURE, DECISION, WINDOW, Variables, labelled

FATES = ("all", "recovered", "not recovered")
LEAST = 10  # an AUC needs at least this many recovered runs and as many others

_QUARTILES = {"lower": 0.25, "median": 0.5, "upper": 0.75}

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


def counts_table(outcome: xr.DataArray) -> xr.Dataset:
    """Number of runs of every instance by outcome.

    Parameters
    ----------
    outcome
        Codes of :class:`~phasepipe.physics.outcomes.Outcome`, dims (alpha, instance, start).

    Returns
    -------
    Dataset with ``recovered, trapped, undecided, diverged`` and ``runs`` (computed and not diverged), dims
    (alpha, instance).
    """
    kinds = (Outcome.RECOVERED, Outcome.TRAPPED, Outcome.UNDECIDED, Outcome.DIVERGED)
    table = {kind.name.lower(): (outcome == kind).sum("start") for kind in kinds}
    table["runs"] = table["recovered"] + table["trapped"] + table["undecided"]
    return labelled(xr.Dataset({name: counts.astype(np.uint16) for name, counts in table.items()}), COUNTS)


def window_table(runs: xr.Dataset) -> xr.Dataset:
    """Times at which runs lose the informative direction, and times at which they recover.

    Parameters
    ----------
    runs
        ``outcome, t_bbp, recovery_time`` (alpha, instance, start); ``overlap, loss`` (alpha, instance, start,
        time).

    Returns
    -------
    Dataset with dims (alpha, fate): quartiles ``t_bbp_*`` of the runs that lose their outlier for good,
    shares ``never`` (without outlier at any time) and ``lasting`` (with outlier to the end), ``energy`` and
    ``energy_error`` at the end, ``runs``; quartiles ``recovery_time_*`` with dims (alpha,).
    """
    columns: dict[str, list[list[float]]] = {}
    for row in range(runs.sizes["alpha"]):
        cell = runs.isel(alpha=row)
        window = cell["t_bbp"].values
        alive = np.isfinite(_series(cell, "overlap"))
        energy = carried(alive, {"energy": _series(cell, "loss")})["energy"][..., -1]
        for chosen in _by_fate(cell):
            mean, error, _ = clustered_mean(energy, chosen)
            ends, count = window[chosen], int(chosen.sum())
            found = _quartiles("t_bbp", ends[np.isfinite(ends)]) | {
                "never": float(np.isnan(ends).sum() / count) if count else np.nan,
                "lasting": float(np.isinf(ends).sum() / count) if count else np.nan,
                "energy": float(mean),
                "energy_error": float(error),
                "runs": float(count),
            }
            for name, value in found.items():
                columns.setdefault(name, [[] for _ in range(runs.sizes["alpha"])])[row].append(value)
    passages = [times[np.isfinite(times)] for times in runs["recovery_time"].transpose("alpha", ...).values]
    times = [_quartiles("recovery_time", passage) for passage in passages]
    table = xr.Dataset(coords={"alpha": runs["alpha"], "fate": list(FATES)})
    for quartile in _QUARTILES:
        name = f"recovery_time_{quartile}"
        table[name] = ("alpha", [found[name] for found in times])
    for name, values in columns.items():
        table[name] = (("alpha", "fate"), values)
    return labelled(table, WINDOW)


def decision_table(runs: xr.Dataset) -> xr.Dataset:
    """AUC of overlap and of predicted outlier overlap at every time as predictors of recovery.

    Parameters
    ----------
    runs
        ``outcome`` (alpha, instance, start); ``overlap, outlier_overlap`` (alpha, instance, start, time).

    Returns
    -------
    Dataset with ``auc`` and ``auc_outlier`` (alpha, time), NaN in cells with fewer than 10 recovered runs or
    fewer than 10 others.
    """
    shape = (runs.sizes["alpha"], runs.sizes["time"])
    values = {"auc": np.full(shape, np.nan), "auc_outlier": np.full(shape, np.nan)}
    for row in range(shape[0]):
        cell = runs.isel(alpha=row)
        computed, recovered, lost = _by_fate(cell)
        if min(recovered.sum(), lost.sum()) < LEAST:
            continue
        records = _records(cell)
        for name, quantity in (("auc", "overlap"), ("auc_outlier", "outlier_overlap")):
            series = records[quantity][computed]
            values[name][row] = [area_under_curve(at, recovered[computed]) for at in series.T]
    table = xr.Dataset(coords={"alpha": runs["alpha"], "time": runs["time"].values})
    for name, array in values.items():
        table[name] = (("alpha", "time"), array.astype(np.float32))
    return labelled(table, DECISION)


def course_table(runs: xr.Dataset) -> xr.Dataset:
    """Means of the records of all runs against time, by outcome.

    Parameters
    ----------
    runs
        ``outcome`` (alpha, instance, start); ``overlap, loss, gradient_norm, edge, outlier, outlier_overlap``
        (alpha, instance, start, time).

    Returns
    -------
    Dataset with dims (alpha, fate, time): the arrays of ``phasepipe.variables.COURSE``.
    """
    return _means(runs, _records, COURSE)


def curvature_table(spectra: xr.Dataset) -> xr.Dataset:
    """Means of the properties of the Hessian at the snapshots, by outcome.

    Parameters
    ----------
    spectra
        ``outcome`` (alpha, instance, start); ``eigenvalues, signal_overlap`` (alpha, instance, start, time,
        eigenvalue); ``overlap, index, largest_signal_overlap, largest_signal_overlap_rank, signal_curvature,
        edge, outlier, outlier_overlap`` (alpha, instance, start, time).

    Returns
    -------
    Dataset with dims (alpha, fate, time): the arrays of ``phasepipe.variables.CURVATURE``.
    """
    return _means(spectra, _measured, CURVATURE)


def signal_curvature(
    loss: Loss,
    labels: NDArray[np.floating],
    predictions: NDArray[np.floating],
    overlap: NDArray[np.floating],
    mu: NDArray[np.floating],
    N: int,
) -> Float:
    """Second derivative of the loss along the tangent direction of the signal, ``h = e.H e``.

    See docs/explanation/physics.md §4.

    Parameters
    ----------
    loss
        The loss.
    labels
        ``y``, shape (M,).
    predictions
        ``yhat`` at the points, shape (..., M).
    overlap, mu
        Overlap and Lagrange multiplier at the points, shape (...).
    N
        Dimension.

    Returns
    -------
    Shape (...): ``(1/N) sum_i T_i y_e,i^2 - mu`` with ``y_e = (y - m yhat) / sqrt(1 - m^2)``; no sensing
    matrix is needed.
    """
    m = overlap[..., None]
    along = (labels - m * predictions) / np.sqrt(1 - m**2)
    return np.asarray((loss.curvature(predictions, labels) * along**2).sum(axis=-1) / N - mu)


def _by_fate(cell: xr.Dataset) -> tuple[Bool, Bool, Bool]:
    """Masks of the runs in each group of FATES, shape (instance, start) each."""
    outcome = cell["outcome"].transpose("instance", "start").values
    computed = (outcome != Outcome.PENDING) & (outcome != Outcome.DIVERGED)
    recovered = outcome == Outcome.RECOVERED
    return computed, recovered, computed & ~recovered


def _records(cell: xr.Dataset) -> dict[str, Float]:
    """Quantities of COURSE, shape (instance, start, time); the last value is repeated after the end."""
    raw = {name: _series(cell, name) for name in ("overlap", "loss", "gradient_norm", "edge", "outlier")}
    alive = np.isfinite(raw["overlap"])
    pointing = np.nan_to_num(_series(cell, "outlier_overlap"))
    has_outlier = np.where(alive, np.isfinite(raw["outlier"]).astype(float), np.nan)
    return carried(
        alive,
        {
            "overlap": abs(raw["overlap"]),
            "energy": raw["loss"],
            "gradient_norm": raw["gradient_norm"],
            "edge": raw["edge"],
            "outlier": raw["outlier"],
            "outlier_overlap": pointing,
            "outlier_share": has_outlier,
        },
    )


def _measured(cell: xr.Dataset) -> dict[str, Float]:
    """Quantities of CURVATURE, shape (instance, start, time); the last value is repeated after the end."""
    eigenvalues, overlaps = _series(cell, "eigenvalues"), _series(cell, "signal_overlap")
    outlier, overlap = _series(cell, "outlier"), _series(cell, "overlap")
    alive = np.isfinite(overlap)
    return carried(
        alive,
        {
            "overlap": abs(overlap),
            "lowest_eigenvalue": eigenvalues[..., 0],
            "second_eigenvalue": eigenvalues[..., 1],
            "lowest_overlap": overlaps[..., 0],
            "largest_overlap": _series(cell, "largest_signal_overlap"),
            "lowest_is_largest": (_series(cell, "largest_signal_overlap_rank") == 0).astype(float),
            "index": _series(cell, "index"),
            "signal_curvature": _series(cell, "signal_curvature"),
            "edge": _series(cell, "edge"),
            "outlier": outlier,
            "outlier_overlap": np.nan_to_num(_series(cell, "outlier_overlap")),
            "outlier_share": np.isfinite(outlier).astype(float),
        },
    )


def _series(cell: xr.Dataset, name: str) -> Float:
    return np.asarray(cell[name].transpose("instance", "start", "time", ...).values, np.float64)


def carried(alive: Bool, series: Mapping[str, Float]) -> dict[str, Float]:
    """Series (..., time) in which the last entry with ``alive`` is repeated."""
    steps = np.where(alive, np.arange(alive.shape[-1]), -1)
    last = np.maximum.accumulate(steps, axis=-1)
    return {
        name: np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=-1), np.nan)
        for name, values in series.items()
    }


def _means(
    data: xr.Dataset, quantities: Callable[[xr.Dataset], dict[str, Float]], declared: Variables
) -> xr.Dataset:
    """Means of ``quantities`` of every cell by outcome, dims (alpha, fate, time)."""
    dims, shape = ("alpha", "fate", "time"), (data.sizes["alpha"], len(FATES), data.sizes["time"])
    values = {name: np.full(shape, np.nan, np.float32) for name in declared if name != "runs"}
    runs = np.zeros(shape[:2], np.uint32)
    for row in range(shape[0]):
        cell = data.isel(alpha=row)
        found = quantities(cell)
        for column, chosen in enumerate(_by_fate(cell)):
            runs[row, column] = chosen.sum()
            for name, series in found.items():
                mean, error, _ = clustered_mean(series, chosen)
                values[name][row, column], values[f"{name}_error"][row, column] = mean, error
    coordinates = {"alpha": data["alpha"], "fate": list(FATES), "time": data["time"].values}
    table = xr.Dataset({name: (dims, array) for name, array in values.items()}, coordinates)
    return labelled(table.assign(runs=(dims[:2], runs)), declared)


def clustered_mean(values: Float, chosen: Bool) -> tuple[Float, Float, NDArray[np.intp]]:
    """Mean over the chosen runs with the standard error over instances.

    Parameters
    ----------
    values
        Shape (instance, start, ...); NaN is ignored.
    chosen
        Mask of runs to average, shape (instance, start).

    Returns
    -------
    mean, error, runs
        Shape (...). The error is that of a ratio estimator with instances as clusters; NaN with fewer than
        two instances.
    """
    valid = np.isfinite(values) & chosen.reshape(*chosen.shape, *[1] * (values.ndim - 2))
    count = valid.sum(axis=(0, 1))
    safe = np.maximum(count, 1)
    mean = np.where(count > 0, np.where(valid, values, 0.0).sum(axis=(0, 1)) / safe, np.nan)
    instances = valid.any(axis=1).sum(axis=0)
    excess = np.where(valid, values - mean, 0.0).sum(axis=1)
    factor = instances / np.maximum(instances - 1, 1)
    error = np.sqrt(factor * (excess**2).sum(axis=0)) / safe
    return mean, np.where(instances > 1, error, np.nan), count


def _quartiles(name: str, values: Float) -> dict[str, float]:
    return {
        f"{name}_{quartile}": float(np.quantile(values, share)) if values.size else np.nan
        for quartile, share in _QUARTILES.items()
    }
