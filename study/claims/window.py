"""Claim 2: runs that do not recover lose the direction to the signal at a finite t_BBP and are trapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from phasepipe.analysis.text import with_error, with_interval
from phasepipe.figures.style import (
    BLUE,
    CYCLE,
    MARKERS,
    PAGE_WIDTH,
    PURPLE,
    VERMILION,
    new_figure,
    paper_style,
)
from study.claims.finding import Finding, Part, Sweeps, Tables, Verdict, available, ranges, regulariser
from study.claims.outliers import share_design_effect
from study.claims.recovery import longest_time, size_axis
from study.claims.testing import LEVEL, design_effects, share_above

SWEEPS = ("window-a0.01", "window-a1", "window-large-a0.01")
SPECTRAL = {"course", "curvature"}  # tables of the sweeps whose points were diagonalised
BELOW, ABOVE = 0.9, 1.1  # factors of alpha_threshold and alpha_init, as in claim 3
MOST = 0.95  # share of the runs that must have an outlier, and of those that must lose it
RESOLUTION = 3  # distances between the two lowest eigenvalues within which an eigenvalue counts as zero


def assess(sweeps: Sweeps) -> Finding:
    """Times at which runs lose their outlier, and the final spectra of the runs that do not recover."""
    found = available(sweeps, SWEEPS, ("window", "theory", "counts"))
    of_loss: dict[float, list[Tables]] = {}
    for tables in found.values():
        of_loss.setdefault(regulariser(tables), []).append(tables)
    parts, rows = [], []
    ends = {a: _of_one_loss(same) for a, same in of_loss.items()}
    for a, of_a in ends.items():
        label, theory = f"a = {a:g}", of_loss[a][0]["theory"]
        parts += [had(label, of_a, theory), lost(label, of_a, theory), marginal(label, of_a, theory)]
        rows.append(_printed(label, of_a))
    figure = _figure(of_loss, ends)
    longest = sorted({longest_time(tables) for tables in found.values()})
    caption = (
        "Left: squared overlap of the lowest eigenvector with the direction of the signal during the descent "
        "at the largest N with spectra, measured (points) and predicted from labels (lines), by fate. "
        "Middle: time t_BBP at which runs that do not recover lose their outlier, median and quartiles. "
        "Right: lowest eigenvalue at the end of runs that do not recover, mean and standard error. Runs end "
        f"at t = {' or '.join(f'{time:g}' for time in longest)}, or before with a certificate that they are "
        "trapped."
    )
    return Finding(parts, figure, caption, {"Runs that do not recover": pd.concat(rows, ignore_index=True)})


@paper_style()
def _figure(of_loss: Mapping[float, Sequence[Tables]], ends: Mapping[float, pd.DataFrame]) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.3 * len(of_loss))
    grid = figure.subplots(len(of_loss), 3, squeeze=False)
    for row, (a, same) in zip(grid, of_loss.items(), strict=True):
        diagonalised = [tables for tables in same if set(tables) >= SPECTRAL]
        if diagonalised:
            _draw_overlap(row[0], diagonalised[0])
        _draw_window(row[1], ends[a])
        _draw_lowest(row[2], ends[a])
    for axes in grid.ravel():
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=6)
    return figure


def _of_one_loss(same: Sequence[Tables]) -> pd.DataFrame:
    """End states of the sweeps of one loss.

    The design effect is the largest one of the share of the runs with an outlier, where a sweep has records
    of it, and otherwise that of recovery.
    """
    ends = pd.concat([end_states(tables) for tables in same])
    effects = [
        share_design_effect(tables["course"].isel(start_group=0).sel(fate="not recovered"))
        for tables in same
        if set(tables) >= SPECTRAL
    ]
    largest = np.fmax.reduce([1.0, *effects])
    return ends.assign(design_effect=np.maximum(ends["design_effect"], largest))


def end_states(tables: Tables) -> pd.DataFrame:
    """t_BBP and final state of the runs that do not recover, one row per (N, alpha).

    Columns ``N, alpha, runs, design_effect, lower, median, upper`` (of t_BBP), ``never, lasting`` (shares
    that never have an outlier, and that keep it to the end), ``started`` (share with an outlier at t = 0),
    ``certified`` (share certified trapped), ``spectra`` (number of measured spectra, each of another
    instance), ``lowest, lowest_error`` (measured lowest eigenvalue at the end), ``spacing`` (its mean
    distance from the next one), ``edge, edge_error`` (predicted bulk edge at the end, over all these runs),
    ``first, first_error, last, last_error`` (measured q_0 at t = 0 and at the end). What needs records or
    spectra that the sweep does not keep is NaN, and ``spectra`` 0.
    """
    rows = []
    window = tables["window"].isel(start_group=0).sel(fate="not recovered")
    counts = tables["counts"].isel(start_group=0).sum("instance")
    effects = {N: design_effects(tables["counts"], N) for N in window["N"].values.tolist()}
    for N in window["N"].values.tolist():
        for alpha in window["alpha"].values.tolist():
            at = {"N": N, "alpha": alpha}
            runs = window.sel(at)
            if not float(runs["runs"]) > 0:
                continue
            number = float(runs["runs"])
            rows.append(
                at
                | {
                    "runs": int(number),
                    "design_effect": effects[N][alpha],
                    **{end: float(runs[f"t_bbp_{end}"]) for end in ("lower", "median", "upper")},
                    **{share: float(runs[share]) for share in ("never", "lasting")},
                    "certified": float(counts["trapped"].sel(at)) / number,
                    **(_records(tables, at) if set(tables) >= SPECTRAL else {"spectra": 0}),
                }
            )
    table = pd.DataFrame(rows)
    return table.reindex(columns=[*table, *(name for name in _RECORDED if name not in table)])


_RECORDED = (
    *("started", "spacing", "lowest", "lowest_error", "edge", "edge_error"),
    *("first", "first_error", "last", "last_error"),
)


def _records(tables: Tables, at: Mapping[str, float]) -> dict[str, float]:
    """What is known of one cell from records and spectra."""
    records = tables["course"].isel(start_group=0).sel(fate="not recovered").sel(at)
    spectrum = tables["curvature"].sel(fate="not recovered").sel(at)
    return {
        "spectra": int(spectrum["runs"]),
        "started": float(records["outlier_share"][0]),
        "spacing": float(spectrum["second_eigenvalue"][-1] - spectrum["lowest_eigenvalue"][-1]),
        "lowest": float(spectrum["lowest_eigenvalue"][-1]),
        "lowest_error": float(spectrum["lowest_eigenvalue_error"][-1]),
        "edge": float(records["edge"][-1]),
        "edge_error": float(records["edge_error"][-1]),
        **_first_and_last(spectrum["lowest_overlap"], ""),
        **_first_and_last(spectrum["lowest_overlap_error"], "_error"),
    }


def _first_and_last(series: xr.DataArray, suffix: str) -> dict[str, float]:
    return {f"first{suffix}": float(series[0]), f"last{suffix}": float(series[-1])}


def _between(ends: pd.DataFrame, theory: xr.Dataset) -> pd.DataFrame:
    """Cells whose alpha is clear of both transitions, which finite N smooths."""
    low, high = ABOVE * float(theory["alpha_init"]), BELOW * float(theory["alpha_threshold"])
    return ends[(ends["alpha"] > low) & (ends["alpha"] < high)]


def had(label: str, ends: pd.DataFrame, theory: xr.Dataset) -> Part:
    """Whether the runs that do not recover have an outlier at some time."""
    between = _between(ends, theory)
    found = share_above(
        np.rint(between["runs"] * (1 - between["never"])), between["runs"], between["design_effect"], MOST
    )
    return Part(
        f"{label}: runs that do not recover have a direction to the signal for some time",
        f"over all N and all alpha between {ABOVE:g} alpha_init and {BELOW:g} alpha_threshold, the 95 % "
        f"confidence interval of the share with an outlier at some time is above {MOST:.0%}; not confirmed "
        "if it, or the share of one cell (Holm), is below",
        Verdict.of(found.holds),
        f"{found.words} have an outlier at some time",
    )


def lost(label: str, ends: pd.DataFrame, theory: xr.Dataset) -> Part:
    """Whether the runs that have an outlier and do not recover lose it."""
    between = _between(ends, theory)
    with_outlier = np.rint(between["runs"] * (1 - between["never"]))
    losing = np.rint(between["runs"] * (1 - between["never"] - between["lasting"]))
    found = share_above(losing, with_outlier, between["design_effect"], MOST)
    words = f"{found.words} lose their outlier"
    if np.isfinite(between["median"]).any():
        words += (
            f"; the median t_BBP of these is {between['median'].min():.2f} to {between['median'].max():.2f}"
        )
    return Part(
        f"{label}: runs that have such a direction and do not recover lose it at a finite time",
        f"over all N and all alpha between {ABOVE:g} alpha_init and {BELOW:g} alpha_threshold, the 95 % "
        f"confidence interval of the share that loses its outlier permanently is above {MOST:.0%}; not "
        "confirmed if it, or the share of one cell (Holm), is below",
        Verdict.of(found.holds),
        words,
    )


def marginal(label: str, ends: pd.DataFrame, theory: xr.Dataset) -> Part:
    """Whether the spectra at the end reach down to zero, as closely as eigenvalues are spaced there."""
    low, high = float(theory["alpha_init"]), float(theory["alpha_threshold"])
    ends = ends[(ends["alpha"] > low) & (ends["alpha"] < high)]
    known = ends[(ends["spectra"] > 1) & np.isfinite(ends["lowest_error"])]
    largest = [at.sort_values("N").iloc[-1] for _, at in known.groupby(known["alpha"].round(2))]
    inside, outside, seen = [], [], []
    for row in largest:
        reach = stats.t.isf((1 - LEVEL) / 2 / len(largest), row["spectra"] - 1) * row["lowest_error"]
        low, high = row["lowest"] - reach, row["lowest"] + reach
        margin = RESOLUTION * row["spacing"]
        inside.append(-margin < low and high < margin)
        outside.append(high < -margin or low > margin)
        seen.append(
            f"alpha = {row['alpha']:.2f}, N = {row['N']:g}: {with_interval(row['lowest'], low, high)} from "
            f"{row['spectra']:g} spectra, margin ±{margin:.3f}, {row['certified']:.0%} certified trapped"
        )
    holds = False if any(outside) else (True if inside and all(inside) else None)
    return Part(
        f"{label}: runs that do not recover end in marginal states, whose spectrum reaches down to zero",
        "at every alpha between alpha_init and alpha_threshold, at the largest N with two or more measured "
        "spectra, the simultaneous 95 % "
        f"confidence interval of the lowest eigenvalue at the end is within ±{RESOLUTION} times the mean "
        "distance between the two lowest eigenvalues; not confirmed if one is outside",
        Verdict.of(holds),
        "; ".join(seen) or "too few spectra were measured",
    )


def _printed(label: str, ends: pd.DataFrame) -> pd.DataFrame:
    spread = ends[["median", "lower", "upper"]]
    return pd.DataFrame(
        {
            "loss": label,
            "alpha": ends["alpha"].map("{:.3f}".format),
            "N": ends["N"],
            "runs": ends["runs"],
            "share with an outlier at t = 0": ends["started"].map(_share),
            "share that never has one": ends["never"].map(_share),
            "t_BBP, median [quartiles]": ranges(spread, 2),
            "share keeping the outlier": ends["lasting"].map("{:.3f}".format),
            "share certified trapped": ends["certified"].map("{:.2f}".format),
            "λ₀ at the end": [with_error(*row) for row in ends[["lowest", "lowest_error"]].to_numpy()],
            "edge at the end": [with_error(*row) for row in ends[["edge", "edge_error"]].to_numpy()],
            "q₀ at t = 0": [with_error(*row) for row in ends[["first", "first_error"]].to_numpy()],
            "q₀ at the end": [with_error(*row) for row in ends[["last", "last_error"]].to_numpy()],
        }
    )


def _share(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def _draw_overlap(axes: Axes, tables: Tables) -> None:
    N = int(tables["curvature"]["N"].max())
    alpha = _informative(tables, N)
    curvature = tables["curvature"].sel(N=N, alpha=alpha)
    course = tables["course"].isel(start_group=0).sel(N=N, alpha=alpha)
    for fate, colour in (("recovered", BLUE), ("not recovered", VERMILION)):
        measured, predicted = curvature.sel(fate=fate), course.sel(fate=fate)
        time = measured["time"].values
        axes.errorbar(
            time, measured["lowest_overlap"], measured["lowest_overlap_error"], fmt="o", color=colour,
            markersize=2.5, elinewidth=0.6, label=fate,
        )  # fmt: skip
        axes.plot(predicted["time"], predicted["outlier_overlap"], color=colour, linewidth=0.9)
    window = tables["window"].isel(start_group=0).sel(N=N, alpha=alpha, fate="not recovered")
    axes.axvline(
        float(window["t_bbp_median"]), color=PURPLE, linestyle=":", linewidth=0.9, label="median $t_{BBP}$"
    )
    positive = curvature["time"].values[1:]
    axes.set_xscale("symlog", linthresh=float(positive.min()), linscale=0.8)
    axes.set_xlim(0, float(positive.max()))
    axes.set(xlabel="time t", ylabel="squared overlap $q_0$")
    axes.set_ylim(bottom=0)
    axes.set_title(f"a = {regulariser(tables):g}, α = {alpha:.3g}, N = {N}", loc="left")


def _informative(tables: Tables, N: int) -> float:
    """Alpha at ``N`` with the most even numbers of recovered and other runs among the measured spectra."""
    runs = tables["curvature"]["runs"].sel(N=N)
    fewer = np.minimum(runs.sel(fate="recovered").values, runs.sel(fate="not recovered").values)
    return float(runs["alpha"].values[fewer.argmax()])


def _lines(ends: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame]]:
    """Alphas of the grid, each with its cells by N."""
    for alpha, cells in ends.groupby(ends["alpha"].round(2)):
        yield float(alpha), cells.sort_values("N")  # type: ignore[arg-type]


def _draw_cells(axes: Axes, ends: pd.DataFrame, value: str, spread: Sequence[str]) -> None:
    """A value against N, one line per alpha; ``spread`` are one column of errors or two of ends."""
    for index, (alpha, cells) in enumerate(_lines(ends)):
        middle = cells[value]
        error = (
            cells[spread[0]] if len(spread) == 1 else [middle - cells[spread[0]], cells[spread[1]] - middle]
        )
        axes.errorbar(
            cells["N"] * 1.04 ** (index - 0.5), middle, error, color=CYCLE[index], marker=MARKERS[index],
            elinewidth=0.8, capsize=1.5, label=f"α = {alpha:g}",
        )  # fmt: skip
    size_axis(axes, sorted(ends["N"].unique().tolist()))


def _draw_window(axes: Axes, ends: pd.DataFrame) -> None:
    _draw_cells(axes, ends[np.isfinite(ends["median"])], "median", ("lower", "upper"))
    axes.set_ylabel("$t_{BBP}$")
    axes.set_ylim(bottom=0)


def _draw_lowest(axes: Axes, ends: pd.DataFrame) -> None:
    _draw_cells(axes, ends[np.isfinite(ends["lowest"])], "lowest", ("lowest_error",))
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_ylabel("$λ_0$ at the end")
