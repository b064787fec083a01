"""Second half of claim 4: how well |m| at t_BBP predicts the fate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from phasepipe.analysis.text import with_interval
from phasepipe.figures.style import size_colours
from study.claims.finding import Part, Tables, Verdict, ranges, rows_of
from study.claims.testing import holm, signs, simultaneous_quantile, two_sided

INFORMATIVE = 0.8  # AUC of |m| above which it predicts the fate well
PREDICTABLE = 0.9  # AUC of |m| from which on the fate counts as predictable
MOST_NEVER = 0.5  # share of the runs without an outlier at any time from which on there is no window
NO_CELL = "there is no window at these alphas, or too few runs recover or fail in it"
CELL = (
    "at every N with a cell above alpha_init in which at most half of the runs never have an outlier, in the "
    "one of them whose P is nearest to 1/2"
)


def fates_at_the_window(sweeps: Sequence[Tables]) -> pd.DataFrame:
    """AUC of |m| at t = 0 and at t_loss for every N with a window, in the cell whose P is nearest to 1/2.

    There is a window at alphas above alpha_init where at most half of the runs never have an outlier; t_loss
    is the median t_BBP over all runs of the cell that lose their outlier, whatever becomes of them.

    Columns ``sweep`` (index), ``N, alpha, share, outlier, moment, early, early_low, early_high, late,
    late_low, late_high, growth, growth_low, growth_high, time_predictable, lowest_fifth, highest_fifth``.
    ``share`` is P, ``outlier`` the share of the runs that ever have one, ``moment`` t_loss, ``growth`` the
    difference of the two AUCs, paired by run, ``time_predictable`` the first time at which the AUC reaches
    0.9; the last two are P(recovered) of the fifths of the runs with the smallest and the largest |m| at
    t_loss.
    """
    cells = pd.DataFrame(
        [row for index, tables in enumerate(sweeps) for row in _cells(index, tables)], columns=_COLUMNS
    )
    nearest = (cells["share"] - 0.5).abs().groupby(cells["N"]).idxmin()
    return cells.loc[nearest.to_numpy()].sort_values("N", ignore_index=True)


_COLUMNS = (
    *("sweep", "N", "alpha", "share", "outlier", "moment"),
    *(f"{name}{end}" for name in ("early", "late", "growth") for end in ("", "_low", "_high")),
    *("time_predictable", "lowest_fifth", "highest_fifth"),
)


def _cells(index: int, tables: Tables) -> Iterator[dict[str, float]]:
    """All cells of a sweep that have a window and a known AUC."""
    fate, lowest = tables["fate"], float(tables["theory"]["alpha_init"])
    for N in fate["N"].values.tolist():
        for alpha in fate["alpha"].values[fate["alpha"].values > lowest].tolist():
            at = {"N": N, "alpha": alpha}
            cell = fate.sel(at)
            first, then = (cell.sel(quantity=name) for name in ("initial_overlap", "overlap"))
            if not np.isfinite(then["auc"]):
                continue
            never = float(tables["window"]["never"].isel(start_group=0).sel(at).sel(fate="all"))
            if not never <= MOST_NEVER:
                continue
            bins = then["probability"].values[np.isfinite(then["probability"].values)]
            yield {
                "sweep": index,
                "outlier": 1 - never,
                "share": float(cell["share_recovered"]),
                **at,
                "moment": float(cell["moment"]),
                **{f"early{end}": float(first[f"auc{end}"]) for end in ("", "_low", "_high")},
                **{f"late{end}": float(then[f"auc{end}"]) for end in ("", "_low", "_high")},
                **{f"growth{end}": float(cell[f"auc_growth{end}"]) for end in ("", "_low", "_high")},
                "time_predictable": _time_predictable(tables["decision"].isel(start_group=0).sel(at)),
                "lowest_fifth": bins[0] if bins.size else np.nan,
                "highest_fifth": bins[-1] if bins.size else np.nan,
            }


def _time_predictable(decision: xr.Dataset) -> float:
    """First recorded time at which the AUC of |m| is at least PREDICTABLE; infinite if there is none."""
    times = decision["time"].values[decision["auc"].values >= PREDICTABLE]
    return float(times[0]) if times.size else np.inf


def grows(label: str, moments: pd.DataFrame) -> Part:
    """Whether |m| predicts the fate better at t_BBP than at the start."""
    statement = f"{label}: part of the decision falls in the window before t_BBP"
    criterion = (
        f"{CELL}, the AUC of |m| is larger at t_loss, the median t_BBP of all its runs, than at t = 0 "
        "(paired by run, p < 0.05 after Holm); not confirmed if it is smaller at any N in the same sense"
    )
    if moments.empty:
        return Part(statement, criterion, Verdict.UNDECIDED, NO_CELL)
    growth, error = moments["growth"], _error(moments, "growth")
    reach = simultaneous_quantile(len(moments)) * error
    adjusted = holm(two_sided(growth, error))
    found = "; ".join(
        f"N = {row.N}, alpha = {row.alpha:.2f} (of the runs, {row.outlier:.0%} ever have an outlier): from "
        f"{row.early:.2f} by {with_interval(gain, gain - half, gain + half, 2)}"
        for row, gain, half in zip(rows_of(moments), growth, reach, strict=True)
    )
    return Part(statement, criterion, Verdict.of(signs(growth, adjusted)), f"the AUC grows at {found}")


def _error(moments: pd.DataFrame, name: str) -> pd.Series:
    """Standard error from the 95 % interval."""
    return (moments[f"{name}_high"] - moments[f"{name}_low"]) / (2 * simultaneous_quantile(1))


def decided(label: str, moments: pd.DataFrame) -> Part:
    """Whether |m| at t_BBP predicts the fate well."""
    criterion = (
        f"{CELL}, the AUC of |m| at t_loss is above {INFORMATIVE:g} (p < 0.05 after Holm); not confirmed if "
        "it is below at any N in the same sense"
    )
    statement = f"{label}: success is decided by t_BBP"
    if moments.empty:
        return Part(statement, criterion, Verdict.UNDECIDED, NO_CELL)
    above = moments["late"] - INFORMATIVE
    holds = signs(above, holm(two_sided(above, _error(moments, "late"))))
    found = (
        f"the AUC is {moments['early'].min():.2f} to {moments['early'].max():.2f} at t = 0 and "
        f"{moments['late'].min():.2f} to {moments['late'].max():.2f} at t_loss, and reaches {PREDICTABLE:g} "
        f"only at {_ratio(moments)} t_loss; of the fifth of the runs with the largest |m| at t_loss, "
        f"{moments['highest_fifth'].min():.0%} to {moments['highest_fifth'].max():.0%} recover; of the fifth "
        f"with the smallest, {moments['lowest_fifth'].min():.0%} to {moments['lowest_fifth'].max():.0%}"
    )
    return Part(statement, criterion, Verdict.of(holds), found)


def _ratio(moments: pd.DataFrame) -> str:
    times = moments["time_predictable"] / moments["moment"]
    return f"{times.min():.0f} to {times.max():.0f}"


def printed(moments: pd.DataFrame) -> pd.DataFrame:
    """The columns of :func:`fates_at_the_window` as a table to read; ``moments`` also has a column ``a``."""
    return pd.DataFrame(
        {
            "a": moments["a"],
            "N": moments["N"],
            "alpha": moments["alpha"].map("{:.3f}".format),
            "P": moments["share"].map("{:.2f}".format),
            "share with an outlier at some time": moments["outlier"].map("{:.2f}".format),
            "t_loss": moments["moment"].map("{:.2f}".format),
            "AUC at t = 0": ranges(moments[["early", "early_low", "early_high"]], 2),
            "AUC at t_loss": ranges(moments[["late", "late_low", "late_high"]], 2),
            f"time at which the AUC reaches {PREDICTABLE:g}": moments["time_predictable"].map(
                "{:.3g}".format
            ),
            "P, fifth with the smallest |m|": moments["lowest_fifth"].map("{:.2f}".format),
            "P, fifth with the largest |m|": moments["highest_fifth"].map("{:.2f}".format),
        }
    )


def draw_decision(axes: Axes, sweeps: Sequence[Tables], moments: pd.DataFrame) -> None:
    """AUC of |m| against time in units of t_loss, one line for each N of :func:`fates_at_the_window`."""
    colours = size_colours({*sweeps[0]["fate"]["N"].values.tolist(), *moments["N"]})
    for row in rows_of(moments):
        decision = sweeps[row.sweep]["decision"].isel(start_group=0)
        cell = decision.sel(N=row.N, alpha=row.alpha)
        time = decision["time"].values / row.moment
        axes.plot(time, cell["auc"].values, color=colours[row.N], linewidth=0.9)
        axes.errorbar(
            1,
            row.late,
            [[row.late - row.late_low], [row.late_high - row.late]],
            fmt="o",
            color=colours[row.N],
        )
    axes.axvline(1, color="0.6", linestyle=":", linewidth=0.9)
    axes.axhline(0.5, color="0.8", linewidth=0.6, zorder=0)
    axes.set_xscale("symlog", linthresh=0.01, linscale=0.6)
    axes.set_xlim(0, 30)
    axes.set(xlabel="time $t / t_{loss}$", ylabel="AUC of |m| for the fate", ylim=(0.45, 1.02))
