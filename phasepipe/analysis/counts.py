"""Counts of recoveries by instance: the sufficient statistics of the analysis.

Runs from different starts of one instance are correlated, so the independent unit is the instance.
A *cell* is one (N, alpha). Instances of a cell are exchangeable, so only sums over them are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

COLUMNS = ("N", "alpha", "instance", "recovered", "runs")


def tidy_counts(
    N: ArrayLike,
    alpha: ArrayLike,
    recovered: ArrayLike,
    runs: ArrayLike,
    instance: ArrayLike | None = None,
) -> pd.DataFrame:
    """Table of counts from plain arrays, one row per (N, alpha, instance).

    Parameters
    ----------
    N, alpha, recovered, runs, instance
        Arrays that are broadcast together. ``recovered`` of ``runs`` runs found the signal. Rows with the
        same (N, alpha, instance) are summed. Without ``instance`` all runs are independent.
        Labels of instances refer to one cell: instance 3 at two values of alpha means two instances. Rows
        with ``runs == 0`` (not computed) are dropped.

    Returns
    -------
    pandas.DataFrame
        Columns ``N, alpha, instance, recovered, runs``, sorted.

    Raises
    ------
    ValueError
        If a count is missing, negative or fractional, if ``recovered > runs``, or if no row is left.
    """
    shape = np.broadcast_shapes(*(np.shape(column) for column in (N, alpha, recovered, runs)))
    labels = np.arange(np.prod(shape, dtype=int)).reshape(shape) if instance is None else instance
    columns = np.broadcast_arrays(N, alpha, labels, recovered, runs)
    table = validated(pd.DataFrame(dict(zip(COLUMNS, (np.ravel(column) for column in columns), strict=True))))
    return _one_run_per_instance(table) if instance is None else table


def _one_run_per_instance(table: pd.DataFrame) -> pd.DataFrame:
    """Represent independent runs as instances with one run each."""
    single = table.loc[table.index.repeat(table["runs"])].reset_index()
    position = single.groupby("index").cumcount()
    single["recovered"] = (position < single["recovered"]).astype("int64")
    single["runs"] = 1
    single["instance"] = single.groupby(["N", "alpha"]).cumcount()
    return single[list(COLUMNS)]


def validated(table: pd.DataFrame) -> pd.DataFrame:
    """Check a table of counts and convert it to the order and data types of :func:`tidy_counts`."""
    absent = [column for column in COLUMNS if column not in table.columns]
    if absent:
        raise ValueError(f"counts lack {', '.join(absent)}; the columns are {', '.join(COLUMNS)}")
    _refuse(table, table["runs"].isna() | table["N"].isna() | table["alpha"].isna(), "is a missing cell")
    table = table[table["runs"] != 0]
    _refuse(
        table,
        table["recovered"].isna(),
        "is a missing cell; give recovered, or runs = 0 if it was not computed",
    )
    if table.empty:
        raise ValueError("counts hold no runs; at least one cell with runs > 0 is needed")
    for column in ("recovered", "runs"):
        values = table[column].to_numpy(dtype=float)
        _refuse(table, (values < 0) | (values % 1 != 0), f"has a {column} that is not a count 0, 1, 2, ...")
    _refuse(
        table, table["recovered"] > table["runs"], "has recovered > runs; recovered counts some of the runs"
    )
    keys = list(COLUMNS[:3])
    if table.duplicated(keys).any():
        table = table.groupby(keys, as_index=False)[["recovered", "runs"]].sum()
    table = table.astype({"N": "int64", "alpha": "float64", "recovered": "int64", "runs": "int64"})
    return table.loc[:, list(COLUMNS)].sort_values(keys, ignore_index=True)


def counts_from_xarray(data: xr.Dataset, recovered: str = "recovered", runs: str = "runs") -> pd.DataFrame:
    """Table of counts from a dataset with dims ``alpha``, ``instance`` and optionally ``N``.

    A dataset of one size has ``N`` as a scalar coordinate.
    """
    for name in ("N", "alpha"):
        if name not in data.coords:
            raise ValueError(f"the dataset has no coordinate {name!r}; coordinates N and alpha are needed")
    k, n = xr.broadcast(data[recovered], data[runs])
    labels = k["instance"] if "instance" in k.dims else None
    columns = xr.broadcast(k["N"], k["alpha"], k, n, *([] if labels is None else [labels]))
    values = [column.transpose(*k.dims).to_numpy() for column in columns]
    return tidy_counts(*values)


def _refuse(table: pd.DataFrame, bad: ArrayLike, what: str) -> None:
    rows = np.flatnonzero(np.asarray(bad))
    if rows.size:
        row = table.iloc[rows[0]]
        raise ValueError(
            f"N = {row['N']:g}, alpha = {row['alpha']:g}, instance {row['instance']} "
            f"(recovered = {row['recovered']}, runs = {row['runs']}) {what}"
            + (f" ({rows.size} rows like this)" if rows.size > 1 else "")
        )


@dataclass(frozen=True)
class InstanceSums:
    """Sums over the instances of each cell; all fields have the shape of the cells.

    They determine the success probability and, by an analysis of variance, the correlation of
    the starts of one instance.
    """

    instances: FloatArray
    runs: FloatArray  # sum n_i
    recovered: FloatArray  # sum k_i
    runs_squared: FloatArray  # sum n_i^2
    between: FloatArray  # sum k_i^2 / n_i

    @classmethod
    def of(cls, recovered: ArrayLike, runs: ArrayLike) -> InstanceSums:
        """Sum over the last axis (instances); instances with ``runs == 0`` are ignored."""
        k, n = np.broadcast_arrays(np.asarray(recovered, dtype=float), np.asarray(runs, dtype=float))
        if np.any(k > n):
            worst = np.unravel_index(int(np.argmax(k - n)), k.shape)
            raise ValueError(
                f"recovered = {k[worst]:g} exceeds runs = {n[worst]:g}; recovered counts some of the runs"
            )
        if np.any(k < 0):
            raise ValueError(f"recovered = {k.min():g} is negative; counts are 0, 1, 2, ...")
        computed = n > 0
        return cls(
            instances=computed.sum(-1).astype(float),
            runs=n.sum(-1),
            recovered=k.sum(-1),
            runs_squared=(n * n).sum(-1),
            between=np.divide(k * k, n, out=np.zeros_like(k), where=computed).sum(-1),
        )


@dataclass(frozen=True)
class Cells:
    """The cells of one system size, in order of alpha; every array has shape (cell,)."""

    N: int
    alpha: FloatArray
    sums: InstanceSums

    def __len__(self) -> int:
        return len(self.alpha)


def cells_by_size(counts: pd.DataFrame) -> Iterator[Cells]:
    """Sufficient statistics of a table of counts, one :class:`Cells` per N in ascending order."""
    table = validated(counts)
    table = table.assign(
        runs_squared=table["runs"] ** 2, between=table["recovered"] ** 2 / table["runs"], instances=1
    )
    sums = table.groupby(["N", "alpha"], as_index=False)[[field.name for field in fields(InstanceSums)]].sum()
    for N, cells in sums.groupby("N"):
        columns = {field.name: cells[field.name].to_numpy(float) for field in fields(InstanceSums)}
        yield Cells(int(N), cells["alpha"].to_numpy(float), InstanceSums(**columns))  # type: ignore[arg-type]
