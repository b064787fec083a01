"""The methods of ``tree.phase.plot``: the figures of the report, drawn into matplotlib Axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasepipe.analysis.collapse import fit_collapse
from phasepipe.analysis.curves import fit_curves
from phasepipe.analysis.scaling import alpha_50_limit
from phasepipe.figures.alpha_50 import alpha_50_panel
from phasepipe.figures.bands import Band, Thresholds
from phasepipe.figures.extrapolation import LEGEND, extrapolation_panel
from phasepipe.figures.hessian import spectrum_panel
from phasepipe.figures.scaling import collapse_panel
from phasepipe.figures.style import COLUMN_WIDTH, paper_style
from phasepipe.figures.success import success_panel
from phasepipe.figures.trajectory import eigenvalues_panel, overlap_panel, run_loss_panel
from phasepipe.figures.windows import window_limit_line, window_panel
from phasepipe.physics.outcomes import Outcome
from phasepipe.results.selection import QueryError, at_snapshots, group_named, near_time
from phasepipe.specification.loss import describe_loss
from phasepipe.stages.hessian_figures import spectra_at
from phasepipe.stages.success_figures import energies, success_title, thresholds

if TYPE_CHECKING:
    from phasepipe.results.accessor import PhaseAccessor

_UNKNOWN = Thresholds(np.nan, Band(np.nan, np.nan), np.nan)
_SHOWN = ("overlap", "loss", "eigenvalues")


class SweepPlots:
    """Figures of a sweep, each drawn by one call that returns its matplotlib Axes.

    Every method takes ``ax``, the Axes to draw into in their own style; without it, a new figure in the style
    of the report is made with pyplot. Thresholds for N to infinity are drawn as far as the sweep has
    its table ``theory``. What the sweep does not contain is a
    :class:`~phasepipe.results.selection.QueryError`.

    Examples
    --------
    >>> axes = open_sweep(folder).phase.plot.success()
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['N = 12', 'N = 16']
    """

    def __init__(self, phase: PhaseAccessor, tree: xr.DataTree) -> None:
        self._phase, self._tree = phase, tree

    def success(
        self,
        T: float | None = None,
        start: str | None = None,
        N: int | Sequence[int] | None = None,
        level: float = 0.95,
        ax: Axes | None = None,
    ) -> Axes:
        """P(recovery) against alpha with confidence intervals, one curve per N.

        Parameters
        ----------
        T, start, N, level
            As in :meth:`~phasepipe.results.accessor.PhaseAccessor.success`.
        ax
            Axes to draw into.

        Examples
        --------
        >>> open_sweep(folder).phase.plot.success(T=5, N=16).get_xlabel()
        'signal-to-noise ratio $\\\\alpha = M/N$'
        """
        table = self._phase.success(T, start, N, level)
        title = self._title(start, T, level) + self._pending(table, start)
        return _drawn(ax, lambda axes: success_panel(axes, table, title, self._thresholds()))

    def alpha_50(
        self,
        start: str | None = None,
        T: float | None = None,
        N: int | Sequence[int] | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """The alpha at which half of the runs recover against N, beside the thresholds for N to infinity.

        A triangle marks a bound where the alphas that were run do not contain the crossing. If the sweep has
        predicted the dynamics for N to infinity, the line that follows without a fit is drawn.

        Parameters
        ----------
        start, T, N
            As in :meth:`~phasepipe.results.accessor.PhaseAccessor.alpha_50`.
        ax
            Axes to draw into.
        """
        table, title = self._phase.alpha_50(start, T, N), self._title(start, T)
        predicted = self._predicted_sizes(start, float(table["budget"]))
        return _drawn(ax, lambda axes: alpha_50_panel(axes, table, title, self._thresholds(), predicted))

    def limit(
        self,
        start: str | None = None,
        T: float | None = None,
        N: int | Sequence[int] | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """alpha_50 against 1 / log N with every fitted form, extrapolated to N = infinity.

        Parameters
        ----------
        start, T, N
            As in :meth:`~phasepipe.results.accessor.PhaseAccessor.alpha_50`; at least two N.
        ax
            Axes to draw into.
        """
        counts, known = self._phase.counts(T, start, N), self._thresholds() or _UNKNOWN
        imposed = known.one_rsb if np.isfinite(known.one_rsb) else None
        try:
            curves = fit_curves(counts, steered=self._phase.sweep.precise_sizes())
            found = alpha_50_limit(curves, imposed_limit=imposed, imposed_from="1RSB")
        except ValueError as error:
            raise QueryError(str(error)) from error

        def draw(axes: Axes) -> None:
            extrapolation_panel(axes, found, curves, known.unstable)
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), **LEGEND)

        return _drawn(ax, draw)

    def collapse(
        self,
        start: str | None = None,
        T: float | None = None,
        N: int | Sequence[int] | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """P(recovery) against the scaled alpha, with alpha_c and nu that bring the sizes together best.

        Parameters
        ----------
        start, T, N
            As in :meth:`~phasepipe.results.accessor.PhaseAccessor.alpha_50`; at least two N.
        ax
            Axes to draw into.
        """
        counts = self._phase.counts(T, start, N)
        try:
            found = fit_collapse(counts)
        except ValueError as error:
            raise QueryError(str(error)) from error

        def draw(axes: Axes) -> None:
            collapse_panel(axes, found)
            axes.set_title(self._title(start, T), loc="left")

        return _drawn(ax, draw)

    def trajectory(
        self,
        N: int,
        alpha: float,
        instance: int,
        start: int,
        show: str = "overlap",
        ax: Axes | None = None,
    ) -> Axes:
        """One run against time.

        Parameters
        ----------
        N, alpha, instance, start
            The run.
        show
            ``"overlap"`` with the signal; ``"loss"`` beside the energies of marginal minima; or
            ``"eigenvalues"``, the predicted edge and outlier of the Hessian, with the two lowest
            eigenvalues where they were measured.
        ax
            Axes to draw into.

        Examples
        --------
        >>> open_sweep(folder).phase.plot.trajectory(16, 4, instance=0, start=1, show="loss").get_yscale()
        'log'
        """
        if show not in _SHOWN:
            raise QueryError(f"show = {show!r} is unknown; choose one of {', '.join(_SHOWN)}")
        run = self._phase.trajectory(N, alpha, instance, start)
        measured = self._measured(N, alpha, instance, start) if show == "eigenvalues" else {}
        marginal, one_rsb = self._energies(float(run["alpha"]))

        def draw(axes: Axes) -> None:
            if show == "overlap":
                overlap_panel(axes, run, self._phase.sweep.recovery_threshold)
            elif show == "loss":
                run_loss_panel(axes, run, marginal, one_rsb)
            else:
                eigenvalues_panel(axes, run, measured)
            axes.set_title(f"{_name(run)}\n{_fate(run)}", loc="left")

        return _drawn(ax, draw)

    def spectrum(
        self,
        N: int,
        alpha: float,
        instance: int = 0,
        start: int = 0,
        t: float = 0.0,
        ax: Axes | None = None,
    ) -> Axes:
        """Measured spectrum of the Hessian of one run at one time, and its prediction from the labels.

        Parameters
        ----------
        N, alpha, instance, start
            The run, one of those with snapshots.
        t
            Time of a snapshot.
        ax
            Axes to draw into.
        """
        run = at_snapshots(self._tree, N, alpha, instance, start)
        position = near_time(run, t)
        panel = spectra_at(run, [position]).isel(moment=0).compute()
        if not np.isfinite(panel["eigenvalues"].values).any():
            last = float(run["time"][np.isfinite(run["mu"].values)].max())
            raise QueryError(
                f"t = {t:g} lies after the end of this run; its last snapshot is at t = {last:g}"
            )

        def draw(axes: Axes) -> None:
            spectrum_panel(axes, panel)
            axes.set_title(f"{_name(run)}\nt = {float(panel['time']):.3g}", loc="left")
            axes.legend()

        return _drawn(ax, draw)

    def windows(
        self, start: str | None = None, N: int | Sequence[int] | None = None, ax: Axes | None = None
    ) -> Axes:
        """t_BBP, the time at which runs lose the direction to the signal, against alpha: quartiles per N.

        If the sweep has predicted the dynamics for N to infinity, its t_BBP is drawn as well.

        Parameters
        ----------
        start, N
            As in :meth:`~phasepipe.results.accessor.PhaseAccessor.success`.
        ax
            Axes to draw into.
        """
        numbers, sweep = self._phase.windows(start, N), self._phase.sweep
        group = group_named(sweep, start)
        predicted = None if group.position else self._table("dynamics")

        def draw(axes: Axes) -> None:
            if predicted is not None:
                window_limit_line(axes, predicted)
            window_panel(axes, numbers)
            axes.set_title(f"{describe_loss(sweep.loss)}, {group.name}", loc="left")

        return _drawn(ax, draw)

    def _title(self, start: str | None, T: float | None, level: float = 0.95) -> str:
        sweep = self._phase.sweep
        return success_title(sweep, group_named(sweep, start), sweep.t_max if T is None else T, level)

    def _pending(self, table: xr.Dataset, start: str | None) -> str:
        """What is missing of a table of success, in words; empty if nothing is."""
        sweep = self._phase.sweep
        starts = sweep.starts[group_named(sweep, start).position].count
        done = (table["n"] + table["diverged"]).transpose("N", "alpha").values
        pending = 0
        for row, N in enumerate(table["N"].values.tolist()):
            measurements = np.rint(table["alpha"].values * N)
            for M, instances in sweep.instances_at(N).items():
                pending += max(0, instances * starts - int(done[row, measurements == M].sum()))
        return f"; {pending} runs are pending" if pending else ""

    def _table(self, name: str) -> xr.Dataset | None:
        tree = self._tree
        return tree[name].to_dataset().load() if name in tree.children else None

    def _thresholds(self) -> Thresholds | None:
        """Those of the theory; None if the sweep has no table of it, or no signal."""
        theory = self._table("theory")
        return None if theory is None or self._phase.sweep.zero_signal else thresholds(theory)

    def _energies(self, alpha: float) -> tuple[Band, float]:
        theory = self._table("theory")
        return (_UNKNOWN.unstable, np.nan) if theory is None else energies(theory, alpha)

    def _predicted_sizes(self, start: str | None, budget: float) -> xr.DataArray | None:
        """Predicted half sizes at this budget; the prediction is for the first kind of start."""
        predicted = self._table("dynamics")
        if predicted is None or group_named(self._phase.sweep, start).position:
            return None
        near = np.flatnonzero(np.isclose(predicted["budget"].values, budget, rtol=1e-6))
        return predicted["half_size"].isel(budget=near[0]) if near.size else None

    def _measured(self, N: int, alpha: float, instance: int, start: int) -> dict[str, xr.DataArray]:
        """The two lowest eigenvalues of a run, empty if it has no spectra."""
        try:
            run = at_snapshots(self._tree, N, alpha, instance, start)
        except QueryError:
            return {}
        values = run["eigenvalues"].compute()
        return {f"lambda_{k}": values.isel(eigenvalue=k) for k in range(min(2, values.sizes["eigenvalue"]))}


def _drawn(ax: Axes | None, draw: Callable[[Axes], None]) -> Axes:
    """Draw into ``ax``, or into new Axes in the style of the report."""
    if ax is not None:
        if not isinstance(ax, Axes):
            raise QueryError(
                f"ax is {type(ax).__name__}, not matplotlib Axes; give them, for example the second of "
                "plt.subplots()"
            )
        draw(ax)
        return ax
    from matplotlib import pyplot as plt  # here, because it chooses a backend

    with paper_style():
        _, axes = plt.subplots(figsize=(COLUMN_WIDTH, 0.8 * COLUMN_WIDTH))
        draw(axes)
    return axes


def _name(run: xr.Dataset) -> str:
    start = int(run["start"])
    return (
        f"N = {int(run['N'])}, α = {float(run['alpha']):.4g}, instance {int(run['instance'])}, start {start}"
    )


def _fate(run: xr.Dataset) -> str:
    outcome = Outcome(int(run["outcome"]))
    at = run["recovery_time"] if outcome == Outcome.RECOVERED else run["end_time"]
    return f"{outcome.name.lower()} at t = {float(at):.3g}"
