"""Claim 2: runs that do not recover lose the direction to the signal at a finite t_BBP and are trapped."""

from __future__ import annotations

from collections.abc import Mapping

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
from study.claims.recovery import size_axis
from study.claims.testing import LEVEL, design_effects, share_above

SWEEPS = ("window-a0.01", "window-a1")
MOST = 0.95  # share of the runs that must have an outlier, and of those that must lose it
RESOLUTION = 3  # distances between the two lowest eigenvalues within which an eigenvalue counts as zero


def assess(sweeps: Sweeps) -> Finding:
    """Times at which runs lose their outlier, and the final spectra of the runs that do not recover."""
    found = available(sweeps, SWEEPS, ("window", "course", "curvature", "theory", "counts"))
    parts, rows = [], []
    for tables in found.values():
        label = f"a = {regulariser(tables):g}"
        ends = end_states(tables)
        parts += [had(label, ends, tables["theory"]), lost(label, ends, tables["theory"])]
        parts.append(marginal(label, ends))
        rows.append(_printed(label, ends))
    figure = _figure(found)
    caption = (
        "Left: squared overlap of the lowest eigenvector with the direction of the signal during the descent "
        "at the largest N, measured (points) and predicted from labels (lines), by fate. Middle: time t_BBP "
        "at which runs that do not recover lose their outlier, median and quartiles. Right: lowest "
        "eigenvalue at t_max of runs that do not recover, mean and standard error."
    )
    return Finding(parts, figure, caption, {"Runs that do not recover": pd.concat(rows, ignore_index=True)})


@paper_style()
def _figure(found: Mapping[str, Tables]) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.3 * len(found))
    grid = figure.subplots(len(found), 3, squeeze=False)
    for row, tables in zip(grid, found.values(), strict=True):
        _draw_overlap(row[0], tables)
        _draw_window(row[1], tables)
        _draw_lowest(row[2], tables)
    for axes in grid.ravel():
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=6)
    return figure


def end_states(tables: Tables) -> pd.DataFrame:
    """t_BBP and final state of the runs that do not recover, one row per (N, alpha).

    Columns ``N, alpha, runs, design_effect, lower, median, upper`` (of t_BBP), ``never, lasting`` (shares
    that never have an outlier, and that keep it to the end), ``started`` (share with an outlier at t = 0),
    ``certified`` (share certified trapped), ``spectra`` (number of measured spectra, each of another
    instance), ``lowest, lowest_error`` (measured lowest eigenvalue at the end), ``spacing`` (its mean
    distance from the next one), ``edge, edge_error`` (predicted bulk edge at the end, over all these runs),
    ``first, first_error, last, last_error`` (measured q_0 at t = 0 and at the end).
    """
    rows = []
    window = tables["window"].isel(start_group=0).sel(fate="not recovered")
    course = tables["course"].isel(start_group=0).sel(fate="not recovered")
    curvature = tables["curvature"].sel(fate="not recovered")
    counts = tables["counts"].isel(start_group=0).sum("instance")
    effects = {N: design_effects(tables["counts"], N) for N in window["N"].values.tolist()}
    for N in window["N"].values.tolist():
        for alpha in window["alpha"].values.tolist():
            at = {"N": N, "alpha": alpha}
            runs, spectrum, records = window.sel(at), curvature.sel(at), course.sel(at)
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
                    "started": float(records["outlier_share"][0]),
                    "certified": float(counts["trapped"].sel(at)) / number,
                    "spectra": int(spectrum["runs"]),
                    "spacing": float(spectrum["second_eigenvalue"][-1] - spectrum["lowest_eigenvalue"][-1]),
                    "lowest": float(spectrum["lowest_eigenvalue"][-1]),
                    "lowest_error": float(spectrum["lowest_eigenvalue_error"][-1]),
                    "edge": float(records["edge"][-1]),
                    "edge_error": float(records["edge_error"][-1]),
                    **_first_and_last(spectrum["lowest_overlap"], ""),
                    **_first_and_last(spectrum["lowest_overlap_error"], "_error"),
                }
            )
    return pd.DataFrame(rows)


def _first_and_last(series: xr.DataArray, suffix: str) -> dict[str, float]:
    return {f"first{suffix}": float(series[0]), f"last{suffix}": float(series[-1])}


def _between(ends: pd.DataFrame, theory: xr.Dataset) -> pd.DataFrame:
    low, high = float(theory["alpha_init"]), float(theory["alpha_threshold"])
    return ends[(ends["alpha"] > low) & (ends["alpha"] < high)]


def had(label: str, ends: pd.DataFrame, theory: xr.Dataset) -> Part:
    """Whether the runs that do not recover have an outlier at some time."""
    between = _between(ends, theory)
    found = share_above(
        np.rint(between["runs"] * (1 - between["never"])), between["runs"], between["design_effect"], MOST
    )
    return Part(
        f"{label}: runs that do not recover have a direction to the signal for some time",
        f"over all N and all alpha between alpha_init and alpha_threshold, the 95 % confidence interval of "
        f"the share with an outlier at some time is above {MOST:.0%}; not confirmed if it, or the share of "
        "one cell (Holm), is below",
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
        words += f"; the median t_BBP is {between['median'].min():.2f} to {between['median'].max():.2f}"
    return Part(
        f"{label}: runs that have such a direction and do not recover lose it at a finite time",
        f"over all N and all alpha between alpha_init and alpha_threshold, the 95 % confidence interval of "
        f"the share that loses its outlier permanently is above {MOST:.0%}; not confirmed if it, or the "
        "share of one cell (Holm), is below",
        Verdict.of(found.holds),
        words,
    )


def marginal(label: str, ends: pd.DataFrame) -> Part:
    """Whether the spectra at the end reach down to zero, as closely as eigenvalues are spaced there."""
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
        "at every alpha, at the largest N with two or more measured spectra, the simultaneous 95 % "
        f"confidence interval of the lowest eigenvalue at t_max is within ±{RESOLUTION} times the mean "
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
            "share with an outlier at t = 0": ends["started"].map("{:.2f}".format),
            "t_BBP, median [quartiles]": ranges(spread, 2),
            "share keeping the outlier": ends["lasting"].map("{:.3f}".format),
            "share certified trapped": ends["certified"].map("{:.2f}".format),
            "λ₀ at t_max": [with_error(*row) for row in ends[["lowest", "lowest_error"]].to_numpy()],
            "edge at t_max": [with_error(*row) for row in ends[["edge", "edge_error"]].to_numpy()],
            "q₀ at t = 0": [with_error(*row) for row in ends[["first", "first_error"]].to_numpy()],
            "q₀ at t_max": [with_error(*row) for row in ends[["last", "last_error"]].to_numpy()],
        }
    )


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
    axes.set_xscale("symlog", linthresh=float(positive.min()), linscale=0.4)
    axes.set_xlim(0, float(positive.max()))
    axes.set(xlabel="time t", ylabel="squared overlap $q_0$")
    axes.set_ylim(bottom=0)
    axes.set_title(f"a = {regulariser(tables):g}, α = {alpha:.3g}, N = {N}", loc="left")


def _informative(tables: Tables, N: int) -> float:
    """Alpha at ``N`` with the most even numbers of recovered and other runs among the measured spectra."""
    runs = tables["curvature"]["runs"].sel(N=N)
    fewer = np.minimum(runs.sel(fate="recovered").values, runs.sel(fate="not recovered").values)
    return float(runs["alpha"].values[fewer.argmax()])


def _lines(table: xr.Dataset) -> list[tuple[float, list[tuple[int, float]]]]:
    """Alphas of the grid, each with its cells (N, realised alpha)."""
    cells = [
        (int(N), float(alpha))
        for N in table["N"].values
        for alpha in table["alpha"].values
        if float(table["runs"].sel(N=N, alpha=alpha).max()) > 0
    ]
    named = sorted({round(alpha, 2) for _, alpha in cells})
    return [(name, [cell for cell in cells if round(cell[1], 2) == name]) for name in named]


def _draw_window(axes: Axes, tables: Tables) -> None:
    window = tables["window"].isel(start_group=0).sel(fate="not recovered")
    for index, (alpha, cells) in enumerate(_lines(window)):
        at = [window.sel(N=N, alpha=realised) for N, realised in cells]
        middle, low, high = (
            np.array([float(row[f"t_bbp_{end}"]) for row in at]) for end in ("median", "lower", "upper")
        )
        axes.errorbar(
            [N * 1.04 ** (index - 0.5) for N, _ in cells], middle, [middle - low, high - middle],
            color=CYCLE[index], marker=MARKERS[index], elinewidth=0.8, capsize=1.5, label=f"α = {alpha:g}",
        )  # fmt: skip
    size_axis(axes, window["N"].values.tolist())
    axes.set_ylabel("$t_{BBP}$")
    axes.set_ylim(bottom=0)


def _draw_lowest(axes: Axes, tables: Tables) -> None:
    curvature = tables["curvature"].sel(fate="not recovered").isel(time=-1)
    for index, (alpha, cells) in enumerate(_lines(curvature)):
        at = [curvature.sel(N=N, alpha=realised) for N, realised in cells]
        axes.errorbar(
            [N * 1.04 ** (index - 0.5) for N, _ in cells],
            [float(row["lowest_eigenvalue"]) for row in at],
            [float(row["lowest_eigenvalue_error"]) for row in at],
            color=CYCLE[index], marker=MARKERS[index], elinewidth=0.8, capsize=1.5, label=f"α = {alpha:g}",
        )  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.5)
    size_axis(axes, curvature["N"].values.tolist())
    axes.set_ylabel("$λ_0$ at $t_{max}$")
