"""Medians of t_BBP at finite N, with errors that account for the correlation of starts of one instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.text import with_error, with_interval
from phasepipe.physics.outcomes import Outcome
from study.claims.finding import Sweeps, Tables, available, regulariser, rows_of

SWEEPS = ("scaling-a0.01", "scaling-a1", "window-a0.01", "window-a1", "window-large-a0.01")
FEWEST = 20  # runs that a measured median needs


def measured_medians(sweeps: Sweeps, gains: pd.DataFrame) -> pd.DataFrame:
    """Median t_BBP of the runs that do not recover, where the limit is known too.

    Columns ``a, alpha, N, runs, design_effect, median, error, limit, limit_error``. At equal a, alpha and N
    the sweep with more runs counts. The error follows from the quartiles and the design effect.
    """
    found = available(sweeps, SWEEPS, ("window", "counts", "recovery"))
    correlations = correlation_of_starts(list(found.values()))
    rows = []
    for tables in found.values():
        a, window = regulariser(tables), _not_recovered(tables["window"])
        starts = runs_of_an_instance(tables)
        for limit in rows_of(gains[np.isfinite(gains["t_bbp"]) & (gains["a"] == a)]):
            for cell, at in _cells(window, limit.alpha):
                effect = 1 + correlations[a] * (float(starts.sel(at)) - 1)
                quartiles, runs = float(cell["t_bbp_upper"] - cell["t_bbp_lower"]), float(cell["runs"])
                rows.append(
                    {
                        "a": limit.a,
                        "alpha": limit.alpha,
                        "N": at["N"],
                        "runs": int(runs),
                        "design_effect": effect,
                        "median": float(cell["t_bbp_median"]),
                        "error": 0.93 * quartiles * np.sqrt(effect / runs),
                        "limit": limit.t_bbp,
                        "limit_error": limit.t_bbp_error,
                    }
                )
    columns = ["a", "alpha", "N", "runs", "design_effect", "median", "error", "limit", "limit_error"]
    table = pd.DataFrame(rows, columns=columns).sort_values(["a", "alpha", "N", "runs"])
    return table.drop_duplicates(["a", "alpha", "N"], keep="last", ignore_index=True)


def _not_recovered(table: xr.Dataset) -> xr.Dataset:
    return table.isel(start_group=0).sel(fate="not recovered")


def _cells(window: xr.Dataset, alpha: float) -> Iterator[tuple[xr.Dataset, dict[str, float]]]:
    """Cells at this alpha, which is rounded to whole numbers of measurements, with enough runs."""
    for N in window["N"].values.tolist():
        near = window["alpha"].values[np.abs(window["alpha"].values - alpha) < 0.51 / N]
        for at in ({"N": N, "alpha": value} for value in near.tolist()):
            cell = window.sel(at)
            if float(cell["runs"]) >= FEWEST and np.isfinite(cell["t_bbp_median"]):
                yield cell, at


def runs_of_an_instance(tables: Tables) -> xr.DataArray:
    """Runs that do not recover in the instance of such a run, on average, dims (N, alpha)."""
    outcome = tables["recovery"]["outcome"].isel(start_group=0)
    failed = ((outcome == Outcome.TRAPPED) | (outcome == Outcome.UNDECIDED)).sum("start")
    return (failed**2).sum("instance") / failed.sum("instance")


def correlation_of_starts(sweeps: Sequence[Tables]) -> Mapping[float, float]:
    """Correlation of having lost the outlier by the median t_BBP, within an instance, by ``a``.

    Where the course of a sweep is kept, the squared error of the share with an outlier, over instances, is
    compared with the binomial one at the time next to the median; all cells of one ``a`` are pooled. Without
    such a sweep it is 1: every instance counts once.
    """
    excess: dict[float, list[tuple[float, float]]] = {}
    for tables in sweeps:
        of_loss = excess.setdefault(regulariser(tables), [])
        if "course" not in tables:
            continue
        course, window = _not_recovered(tables["course"]), _not_recovered(tables["window"])
        starts = runs_of_an_instance(tables)
        for alpha in window["alpha"].values.tolist():
            for cell, at in _cells(window, alpha):
                then = course.sel(at).sel(time=float(cell["t_bbp_median"]), method="nearest")
                share, runs = float(then["outlier_share"]), float(cell["runs"])
                if 0 < share < 1:
                    effect = float(then["outlier_share_error"]) ** 2 / (share * (1 - share) / runs)
                    of_loss.append((runs * (effect - 1), runs * (float(starts.sel(at)) - 1)))
    return {a: _pooled(cells) for a, cells in excess.items()}


def _pooled(cells: Sequence[tuple[float, float]]) -> float:
    seen, largest = np.sum(cells, axis=0) if cells else (1.0, 1.0)
    return float(np.clip(seen / largest, 0, 1)) if largest > 0 else 1.0


def printed(medians: pd.DataFrame) -> pd.DataFrame:
    """The medians beside their limits, as text."""
    ends = [
        with_interval(row.median, row.median - 1.96 * row.error, row.median + 1.96 * row.error, 2)
        for row in rows_of(medians)
    ]
    return pd.DataFrame(
        {
            "a": medians["a"].map("{:g}".format),
            "alpha": medians["alpha"].map("{:g}".format),
            "N": medians["N"],
            "runs": medians["runs"],
            "design effect": medians["design_effect"].map("{:.1f}".format),
            "median [95 %]": ends,
            "N → ∞": [with_error(row.limit, row.limit_error, 2) for row in rows_of(medians)],
        }
    )
