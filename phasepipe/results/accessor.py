"""``tree.phase``: the questions that are asked of a sweep again and again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.counts import counts_from_xarray
from phasepipe.analysis.curves import curve_table, fit_curves
from phasepipe.analysis.sizes import join_sizes
from phasepipe.analysis.success import counts_by_instance, success_table
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import Problem
from phasepipe.results.citation import citation
from phasepipe.results.rerun import repeat_run, stored_problem
from phasepipe.results.selection import (
    QueryError,
    at_alpha,
    at_run,
    group_named,
    listed,
    outcome_named,
    require_size,
    runs_at,
    start_positions,
    stored_sizes,
)
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import asked_runs, last_asked, open_store
from phasepipe.variables import COORDINATES

_PER_RUN = ("outcome", "recovery_time", "end_time", "evaluations", "t_bbp")
_START_KEYS = ("start_kind", "start_m0", "start_number")


@xr.register_datatree_accessor("phase")  # type: ignore[no-untyped-call]
class PhaseAccessor:
    """Questions to a sweep that :func:`~phasepipe.open_sweep` has opened.

    Runs are named by ``N``, ``alpha``, ``instance`` and ``start``: an alpha that rounds to the same number
    of measurements is the same, instances and starts are numbered from 0 in the order of the sweep.
    Tables of runs are read anew from the folder of the sweep, not from arrays changed in the tree.
    What is not in the sweep is refused with a :class:`~phasepipe.results.QueryError` that names the nearest.

    Examples
    --------
    >>> import phasepipe as pp
    >>> tree = pp.open_sweep(folder)
    >>> curve = tree.phase.success(T=5)
    >>> curve["p"].dims
    ('N', 'alpha')
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    @property
    def folder(self) -> SweepFolder:
        """Where the sweep lies."""
        if "folder" not in self._tree.attrs:
            raise QueryError("this tree is no sweep; open one with phasepipe.open_sweep")
        return SweepFolder(Path(self._tree.attrs["folder"]))

    @property
    def sweep(self) -> Sweep:
        """The specification that the sweep was last run with.

        Examples
        --------
        >>> open_sweep(folder).phase.sweep.t_max
        5.0
        """
        return last_asked(node.attrs for node in self._tree.leaves)

    def _sizes(self, N: int | Sequence[int] | None) -> list[int]:
        if N is not None:
            return [int(size) for size in np.atleast_1d(np.array(N))]
        return [size for size in stored_sizes(self._tree) if size in self.sweep.N]

    def _asked(self, N: int, names: Sequence[str], start: str | None) -> xr.Dataset:
        """Some variables of the runs at ``N`` that the sweep asks for, for one kind of start, loaded."""
        runs = asked_runs(self._stored(N)[list(names)], self.sweep, N)
        return group_named(self.sweep, start).select(runs).load()

    def _stored(self, N: int) -> xr.Dataset:
        """The runs at ``N`` without Dask, whose tasks would take longer than reading."""
        require_size(self._tree, N)
        return open_store(self.folder.store("runs", N))

    def _budget(self, T: float | None) -> float:
        t_max = self.sweep.t_max
        if T is not None and not 0 < T <= t_max:
            raise QueryError(
                f"T = {T:g} lies outside (0, t_max = {t_max:g}], the budgets the runs can answer for"
            )
        return t_max if T is None else float(T)

    def success(
        self,
        T: float | None = None,
        start: str | None = None,
        N: int | Sequence[int] | None = None,
        level: float = 0.95,
    ) -> xr.Dataset:
        """P(recovery) within the time budget ``T`` against N and alpha, with intervals, from the runs.

        Parameters
        ----------
        T
            Time budget, at most ``t_max``; default ``t_max``. Any, not only those of ``tree["success"]``.
        start
            Kind of start, for example ``"random"`` or ``"warm starts, m0 = 0.5"``; default the first.
        N
            One or more dimensions; default all of the sweep.
        level
            Nominal coverage of the intervals.

        Returns
        -------
        Dataset with dimensions (N, alpha): ``p, lower, upper, k, n, correlation, design_effect, instances,
        trapped_share, undecided_share, diverged, pending, last_decade_change``, see
        :func:`~phasepipe.analysis.success.success_table`. Runs that are not computed are left out and counted
        as ``pending``.

        Examples
        --------
        >>> curve = open_sweep(folder).phase.success(T=5, start="random", N=16)
        >>> curve["n"].values.tolist()
        [[8, 8, 8]]
        >>> bool(((curve["lower"] <= curve["p"]) & (curve["p"] <= curve["upper"])).all())
        True
        """
        budget, group, tables = self._budget(T), group_named(self.sweep, start), {}
        # at t_max every run has ended: when is not read, a third of the chunks
        names = ["outcome", "recovery_time", *(["end_time"] if budget < self.sweep.t_max else [])]
        for size in self._sizes(N):
            runs = self._asked(size, names, start)
            table = success_table(
                runs["outcome"],
                runs["recovery_time"],
                self.sweep.t_max,
                budgets=[budget],
                stop_time=runs.get("end_time"),
                level=level,
            )
            tables[size] = table.isel(budget=0)
        return join_sizes(tables).assign_attrs(start=group.name)

    def alpha_50(
        self, start: str | None = None, T: float | None = None, N: int | Sequence[int] | None = None
    ) -> xr.Dataset:
        """The alpha at which half of the runs recover within ``T``, and the width of the rise, against N.

        Parameters
        ----------
        start, T, N
            As in :meth:`success`.

        Returns
        -------
        Dataset with dimension N: ``alpha_50, alpha_50_lower, alpha_50_upper, alpha_50_error, width, ...``,
        ``status`` and ``message``. Where the grid does not contain the crossing, ``alpha_50`` is NaN and
        ``message`` says so.

        Raises
        ------
        QueryError
            If a size has a single alpha.

        Examples
        --------
        >>> open_sweep(folder).phase.alpha_50()["alpha_50"].dims
        ('N',)
        """
        budget, tables = self._budget(T), []
        for size in self._sizes(N):
            runs = self._asked(size, ("outcome", "recovery_time"), start)
            counts = counts_by_instance(runs["outcome"], runs["recovery_time"], [budget])
            tables.append(counts_from_xarray(counts.isel(budget=0, drop=True)))
        try:
            table = curve_table(fit_curves(pd.concat(tables, ignore_index=True)))
        except ValueError as error:
            raise QueryError(str(error)) from error
        table = table.assign_coords(budget=((), budget, COORDINATES["budget"].attributes()))
        return table.assign_attrs(start=group_named(self.sweep, start).name)

    def runs(self, N: int, alpha: float, outcome: str | None = None, start: str | None = None) -> xr.Dataset:
        """The computed runs of one cell, as a list.

        Parameters
        ----------
        N, alpha
            The cell.
        outcome
            ``"recovered"``, ``"trapped"``, ``"undecided"`` or ``"diverged"``; default all.
        start
            Kind of start; default all.

        Returns
        -------
        Dataset with dimensions (run, time), the records lazily; coordinates ``instance`` and ``start`` name
        each run for :meth:`trajectory` and :meth:`rerun`.

        Examples
        --------
        >>> found = open_sweep(folder).phase.runs(16, 4, outcome="recovered")
        >>> found["outcome"].dims, found["overlap"].dims
        (('run',), ('run', 'time'))
        """
        cell = at_alpha(runs_at(self._tree, N), alpha)
        cell = cell.drop_vars([name for name in cell.variables if str(name).startswith("snapshot")])
        cell = cell.assign_coords(start=start_positions(cell))
        if start is not None:
            cell = group_named(self.sweep, start).select(cell)
        fates = cell["outcome"].values
        chosen = fates != Outcome.PENDING if outcome is None else fates == outcome_named(outcome)
        rows, columns = (xr.DataArray(index, dims="run") for index in np.nonzero(chosen))
        return cell.isel(instance=rows, start=columns).assign_attrs(cell.attrs)

    def trajectory(self, N: int, alpha: float, instance: int, start: int) -> xr.Dataset:
        """The stored records of one run, beside the predicted edge and outlier of its Hessian.

        Parameters
        ----------
        N, alpha, instance, start
            The run.

        Returns
        -------
        Dataset with dimension (time,), loaded. Records after the end of the run are NaN.

        Examples
        --------
        >>> run = open_sweep(folder).phase.trajectory(16, 4, instance=0, start=1)
        >>> run["overlap"].dims, run["edge"].attrs["units"]
        (('time',), '1')
        """
        starts = at_run(runs_at(self._tree, N), alpha, instance, start)
        kept = [name for name in starts.data_vars if name != "snapshot"]
        return starts[kept].isel(start=start).compute()

    def rerun(
        self,
        N: int,
        alpha: float,
        instance: int,
        start: int,
        records_per_decade: int | None = None,
        snapshots: bool | Sequence[float] = False,
    ) -> xr.Dataset:
        """Repeat one run exactly, with more records and points w(t) if wanted.

        What can be repeated to the bit is the set of starts of one instance that were computed together, so
        that set is run again. Records are interpolated between the accepted steps: denser ones do not change
        the path, and the stored record times stay among them.

        Parameters
        ----------
        N, alpha, instance, start
            The run.
        records_per_decade
            Record times per factor of ten, added to those of the sweep.
        snapshots
            Times at which the point w(t) is kept, or True for every record.

        Returns
        -------
        Dataset with dimension (time,), as :meth:`trajectory`; ``snapshot`` has (snapshot_time, component).
        The attribute ``repeats_stored_bits`` is ``"yes"`` if all records at the stored times are the
        stored numbers to the bit, else it names what differs (another processor or version of BLAS).

        Examples
        --------
        >>> again = open_sweep(folder).phase.rerun(16, 4, instance=0, start=1, snapshots=[0, 1])
        >>> again.attrs["repeats_stored_bits"], again["snapshot"].shape
        ('yes', (2, 16))
        """
        starts = at_run(runs_at(self._tree, N), alpha, instance, start)
        loaded = starts.drop_vars([name for name in ("snapshot",) if name in starts]).compute()
        try:
            return repeat_run(self.sweep, self.folder, loaded, start, records_per_decade, snapshots)
        except ValueError as error:
            raise QueryError(str(error)) from error

    def problem(self, N: int, alpha: float, instance: int) -> Problem:
        """Sensing matrix, signal and labels of one instance, drawn again and proved by their digest.

        Parameters
        ----------
        N, alpha, instance
            The instance.

        Examples
        --------
        >>> open_sweep(folder).phase.problem(16, 4, instance=0).sensing.shape
        (64, 16)
        """
        cell = at_alpha(runs_at(self._tree, N), alpha)
        numbers = cell["instance"].values
        if instance not in numbers:
            raise QueryError(f"instance = {instance} is not in the sweep; it has {listed(numbers.tolist())}")
        return stored_problem(self.sweep, self.folder, N, int(cell["measurements"]), instance)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per computed run: cell, instance, start, outcome in words, times, evaluations, t_BBP.

        Examples
        --------
        >>> table = open_sweep(folder).phase.to_dataframe()
        >>> len(table), sorted(table["outcome"].unique())[0]
        (48, 'recovered')
        """
        names = [outcome.name.lower() for outcome in Outcome]
        tables = []
        for size in self._sizes(None):
            runs = self._stored(size)[list(_PER_RUN)]
            runs = runs.assign_coords(start=start_positions(runs)).load()
            frame = runs.reset_coords(_START_KEYS).to_dataframe().reset_index()
            tables.append(frame[frame["outcome"] != Outcome.PENDING])
        table = pd.concat(tables, ignore_index=True)
        words = np.array(names)[table["outcome"].to_numpy(np.int64)]
        table["outcome"] = pd.Categorical(words.tolist(), categories=names)
        order = ["N", "alpha", "measurements", "instance", "start", *_START_KEYS, *_PER_RUN]
        return table[order]

    def cite(self) -> str:
        """How to cite this sweep: program, version, what decides its results, and the papers behind it.

        Examples
        --------
        >>> print(open_sweep(folder).phase.cite().splitlines()[0])
        Sweep 'small' of gradient descent for Gaussian phase retrieval, computed with phasepipe 0.1.0.
        """
        runs = runs_at(self._tree, self._sizes(None)[0])
        return citation(str(self._tree.name), runs.attrs)
