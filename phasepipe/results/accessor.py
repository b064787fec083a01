"""The accessor ``tree.phase``: frequent queries to the results of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.curves import curve_table, fit_curves
from phasepipe.errors import UserError
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import Problem
from phasepipe.results.citation import citation
from phasepipe.results.estimates import (
    counts_at,
    estimated_sizes,
    limit_at,
    stored_runs,
    success_at,
    windows_at,
)
from phasepipe.results.rerun import repeat_run, stored_problem
from phasepipe.results.selection import (
    QueryError,
    asked_integer,
    asked_number,
    asked_sizes,
    asked_times,
    at_alpha,
    at_run,
    group_named,
    is_reduced,
    listed,
    outcome_named,
    runs_at,
    size_of_node,
    start_positions,
)
from phasepipe.results.summary import summary_html
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import last_asked
from phasepipe.variables import COORDINATES

if TYPE_CHECKING:
    from phasepipe.results.plots import SweepPlots

_PER_RUN = ("outcome", "recovery_time", "end_time", "evaluations", "t_bbp")
_START_KEYS = ("start_kind", "start_m0", "start_number")


@xr.register_datatree_accessor("phase")  # type: ignore[no-untyped-call]
class PhaseAccessor:
    """Queries to a sweep that was opened by :func:`~phasepipe.results.tree.open_sweep`.

    Runs are identified by ``N``, ``alpha``, ``instance`` and ``start``. Alphas that round to the same number
    of measurements are equal; instances and starts are numbered from 0 in the order of the sweep. Methods
    read the runs from the folder of the sweep and ignore changes to the arrays of the tree. A query for
    something that is not in the sweep raises a :class:`~phasepipe.results.selection.QueryError` with the
    nearest match.

    Examples
    --------
    >>> import phasepipe as pp
    >>> tree = pp.open_sweep(folder)
    >>> curve = tree.phase.success(T=5)
    >>> curve["p"].dims
    ('N', 'alpha')
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree.root  # which knows the folder and all N, whichever of its nodes is asked
        self._of_node = size_of_node(tree)

    def __repr__(self) -> str:
        return f"<PhaseAccessor of sweep {self._tree.name!r}>"

    def _repr_html_(self) -> str:
        return summary_html(self._tree)

    @property
    def folder(self) -> SweepFolder:
        """Folder of the sweep."""
        if "folder" not in self._tree.attrs:
            raise QueryError("this tree is not a sweep; open one with phasepipe.open_sweep")
        return SweepFolder(Path(self._tree.attrs["folder"]))

    @property
    def plot(self) -> SweepPlots:
        """Figures of the report, drawn into Axes: ``tree.phase.plot.success()`` and so on.

        Examples
        --------
        >>> open_sweep(folder).phase.plot.success(T=5).get_ylabel()
        'P(recovery)'
        """
        from phasepipe.results.plots import SweepPlots  # here, because matplotlib takes long to import

        return SweepPlots(self, self._tree)

    @property
    def sweep(self) -> Sweep:
        """The specification that the sweep was last run with.

        Examples
        --------
        >>> open_sweep(folder).phase.sweep.t_max
        5.0
        """
        sweep = last_asked(node.attrs for node in self._tree.leaves)
        return sweep.trusted() if self._tree.attrs.get("trust") else sweep

    def _sizes(self, N: int | Sequence[int] | None) -> list[int]:
        if N is not None:
            return asked_sizes(N)
        if self._of_node is not None:
            return [self._of_node]
        return [size for size in estimated_sizes(self._tree) if size in self.sweep.N]

    def _budget(self, T: float | None) -> float:
        t_max = self.sweep.t_max
        T = None if T is None else asked_number("T", T, t_max)
        if T is not None and not 0 < T <= t_max:
            raise QueryError(
                f"T = {T:g} lies outside (0, t_max = {t_max:g}], the range of time budgets of this sweep"
            )
        return t_max if T is None else float(T)

    def success(
        self,
        T: float | None = None,
        start: str | None = None,
        N: int | Sequence[int] | None = None,
        level: float = 0.95,
    ) -> xr.Dataset:
        """P(recovery) within the time budget ``T`` as a function of N and alpha, with confidence intervals.

        Parameters
        ----------
        T
            Time budget, at most ``t_max``; default ``t_max``. It need not be one of ``tree["success"]``.
        start
            Kind of start, for example ``"random"`` or ``"warm starts, m0 = 0.5"``; default the first.
        N
            One or more dimensions; default all of the sweep.
        level
            Nominal coverage of the intervals.

        Returns
        -------
        xarray.Dataset
            Dimensions (N, alpha): ``p, lower, upper, k, n, correlation, design_effect, instances,
            trapped_share, undecided_share, diverged, pending, last_decade_change``, see
            :func:`~phasepipe.analysis.success.success_table`. Runs that are not computed are left out and
            counted as ``pending``.

        Examples
        --------
        >>> curve = open_sweep(folder).phase.success(T=5, start="random", N=16)
        >>> curve["n"].values.tolist()
        [[8, 8, 8]]
        >>> bool(((curve["lower"] <= curve["p"]) & (curve["p"] <= curve["upper"])).all())
        True
        """
        group, level = group_named(self.sweep, start), asked_number("level", level, 0.95)
        if not 0 < level < 1:
            raise QueryError(f"level = {level:g} is not between 0 and 1; take for example level = 0.95")
        table = success_at(self._tree, self.sweep, group, self._sizes(N), self._budget(T), level)
        return table.assign_attrs(start=group.name)

    def counts(
        self, T: float | None = None, start: str | None = None, N: int | Sequence[int] | None = None
    ) -> pd.DataFrame:
        """Recoveries within ``T`` and runs of every instance, the input of the functions of the analysis.

        Parameters
        ----------
        T, start, N
            As in :meth:`success`.

        Returns
        -------
        Table with the columns ``N, alpha, instance, recovered, runs``, see
        :func:`~phasepipe.analysis.counts.tidy_counts`.

        Examples
        --------
        >>> open_sweep(folder).phase.counts(T=5, N=16)["runs"].sum()
        np.int64(24)
        """
        group = group_named(self.sweep, start)
        try:
            return counts_at(self._tree, self.sweep, group, self._sizes(N), self._budget(T))
        except ValueError as error:
            raise QueryError(str(error)) from error

    def alpha_50(
        self, start: str | None = None, T: float | None = None, N: int | Sequence[int] | None = None
    ) -> xr.Dataset:
        """The alpha at which half of the runs recover within ``T``, and the width of the curve, for each N.

        Parameters
        ----------
        start, N
            As in :meth:`success`.
        T
            As in :meth:`success`, or ``numpy.inf`` for unlimited time. That limit is exact if no run is
            undecided; otherwise late recoveries are extrapolated by a power law, and the error contains what
            the data leave open about it (:mod:`phasepipe.analysis.time_limit`).

        Returns
        -------
        Dataset with dimension N: ``alpha_50, alpha_50_lower, alpha_50_upper, alpha_50_error, width, ...`` and
        ``message``. If alpha_50 is not known, it is NaN and ``message`` gives the reason, for example that
        the grid does not contain the crossing. Within a budget there is also ``status``; for unlimited time
        ``undecided``, the largest share of undecided runs over alpha, and ``tail_exponent``, that of late
        recoveries.

        Raises
        ------
        QueryError
            If a size has a single alpha (with ``T = numpy.inf``, ``message`` says so).

        Examples
        --------
        >>> open_sweep(folder).phase.alpha_50()["alpha_50"].dims
        ('N',)
        >>> limit = open_sweep(folder).phase.alpha_50(T=float("inf"))
        >>> float(limit["budget"]), limit["alpha_50"].dims
        (inf, ('N',))
        """
        group = group_named(self.sweep, start)
        if T is not None and asked_number("T", T, self.sweep.t_max) == math.inf:
            return limit_at(self._tree, self.sweep, group, self._sizes(N)).assign_attrs(start=group.name)
        try:
            table = curve_table(fit_curves(self.counts(T, start, N), steered=self.sweep.precise_sizes()))
        except ValueError as error:
            raise QueryError(str(error)) from error
        table = table.assign_coords(budget=((), self._budget(T), COORDINATES["budget"].attributes()))
        return table.assign_attrs(start=group.name)

    def windows(self, start: str | None = None, N: int | Sequence[int] | None = None) -> pd.DataFrame:
        """Quartiles of t_BBP, the time at which a run loses the outlier that points to the signal.

        Parameters
        ----------
        start, N
            As in :meth:`success`.

        Returns
        -------
        One row for each N and alpha: ``N, alpha``; ``lower, median, upper`` over the runs that lose their
        outlier; ``never`` and ``lasting``, the shares of the runs that never have one and that keep it to the
        end; ``runs``.

        Examples
        --------
        >>> open_sweep(folder).phase.windows(N=16)["runs"].tolist()
        [8, 8, 8]
        """
        group = group_named(self.sweep, start)
        return windows_at(self._tree, self.sweep, group, self._sizes(N))

    def precision(self) -> xr.Dataset:
        """The rounds of a sweep with the key ``precision``: what was added, why, and alpha_50 afterwards.

        Returns
        -------
        Dataset with dimensions (round, N) for ``alpha_50, alpha_50_lower, alpha_50_upper, half_width``,
        (round,) for ``core_seconds`` and ``why``, and (addition,) for the instances that were added at each
        N and number of measurements; ``wanted``, ``budget_seconds`` and ``conclusion``. Round 0 is the grid
        that was asked for.

        Raises
        ------
        QueryError
            If the sweep has no rounds.
        """
        if "precision" not in self._tree:
            raise QueryError("this sweep has no rounds; they need the key precision")
        return self._tree["precision"].to_dataset().load()

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
        Dataset with dimensions (run, time); records are loaded lazily. The coordinates ``instance`` and
        ``start`` identify each run for :meth:`trajectory` and :meth:`rerun`.

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
        """The stored records of one run, including the predicted edge and outlier of its Hessian.

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
        """Repeat one run exactly, optionally with more records and with points w(t).

        All starts of the instance that were computed together are repeated. Records are interpolated between
        accepted steps, so that denser records do not change the path; the stored record times are kept.

        Parameters
        ----------
        N, alpha, instance, start
            The run.
        records_per_decade
            Additional record times per factor of ten.
        snapshots
            Times at which the point w(t) is stored, or True for every record.

        Returns
        -------
        Dataset with dimension (time,), as :meth:`trajectory`; ``snapshot`` has (snapshot_time, component).
        The attribute ``repeats_stored_bits`` is ``"yes"`` if all records at the stored times equal the stored
        numbers bit by bit; otherwise it names what differs (for example after a change of processor or BLAS).

        Examples
        --------
        >>> again = open_sweep(folder).phase.rerun(16, 4, instance=0, start=1, snapshots=[0, 1])
        >>> again.attrs["repeats_stored_bits"], again["snapshot"].shape
        ('yes', (2, 16))
        """
        starts = at_run(runs_at(self._tree, N), alpha, instance, start)
        if records_per_decade is not None:
            records_per_decade = asked_integer("records_per_decade", records_per_decade, 32)
        if not isinstance(snapshots, bool):
            snapshots = asked_times("snapshots", snapshots)
        loaded = starts.drop_vars([name for name in ("snapshot",) if name in starts]).compute()
        try:
            return repeat_run(self.sweep, self.folder, loaded, start, records_per_decade, snapshots)
        except UserError:
            raise
        except ValueError as error:
            raise QueryError(str(error)) from error

    def problem(self, N: int, alpha: float, instance: int) -> Problem:
        """Sensing matrix, signal and labels of one instance, drawn again and checked against their digest.

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
        numbers, instance = cell["instance"].values, asked_integer("instance", instance, 0)
        if instance not in numbers:
            raise QueryError(f"instance = {instance} is not in the sweep; it has {listed(numbers.tolist())}")
        return stored_problem(self.sweep, self.folder, N, int(cell["measurements"]), instance)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per computed run: cell, instance, start, outcome as text, times, evaluations, t_BBP.

        Examples
        --------
        >>> table = open_sweep(folder).phase.to_dataframe()
        >>> len(table), sorted(table["outcome"].unique())[0]
        (48, 'recovered')
        """
        names = [outcome.name.lower() for outcome in Outcome]
        tables = []
        for size in self._sizes(None):
            runs = stored_runs(self._tree, size)[list(_PER_RUN)]
            runs = runs.assign_coords(start=start_positions(runs)).load()
            frame = runs.reset_coords(_START_KEYS).to_dataframe().reset_index()
            tables.append(frame[frame["outcome"] != Outcome.PENDING])
        table = pd.concat(tables, ignore_index=True)
        words = np.array(names)[table["outcome"].to_numpy(np.int64)]
        table["outcome"] = pd.Categorical(words.tolist(), categories=names)
        order = ["N", "alpha", "measurements", "instance", "start", *_START_KEYS, *_PER_RUN]
        return table[order]

    def cite(self) -> str:
        """Text for citing this sweep: program, version, identity of the results, and the relevant papers.

        Examples
        --------
        >>> print(open_sweep(folder).phase.cite().splitlines()[0])
        Sweep 'small' of gradient descent for Gaussian phase retrieval, computed with phasepipe 0.1.0.
        """
        tree = self._tree
        node = tree["counts"] if is_reduced(tree) else tree[f"runs/N{self._sizes(None)[0]}"]
        return citation(self.sweep.name, node.to_dataset().attrs)
