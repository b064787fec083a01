"""Claim 2: runs that do not recover lose the direction to the signal at a finite t_BBP and are trapped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_error
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

SWEEPS = ("window-a0.01", "window-a1")
MOST = 0.95  # share of the runs that do not recover that must lose their outlier
FEWEST = 10  # number of these runs that a cell needs
TOUCHING = 0.02  # in units of the lowest eigenvalue at t = 0: a smaller final eigenvalue counts as zero


def assess(sweeps: Sweeps) -> Finding:
    """Times at which runs lose their outlier, and the final spectra of the runs that do not recover."""
    found = available(sweeps, SWEEPS, ("window", "course", "curvature", "theory", "counts"))
    parts, rows = [], []
    for tables in found.values():
        label = f"a = {regulariser(tables):g}"
        ends = end_states(tables)
        parts += [_lost(label, ends, tables["theory"]), _marginal(label, ends)]
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

    Columns ``N, alpha, runs, lower, median, upper`` (of t_BBP), ``never, lasting`` (shares that never have an
    outlier, and that keep it to the end), ``started`` (share with an outlier at t = 0), ``certified`` (share
    certified trapped), ``lowest_start``, ``lowest, lowest_error`` (measured lowest eigenvalue at t = 0 and at
    the end), ``edge, edge_error`` (predicted bulk edge at the end, over all these runs), ``first,
    first_error, last, last_error`` (measured q_0 at t = 0 and at the end).
    """
    rows = []
    window = tables["window"].isel(start_group=0).sel(fate="not recovered")
    course = tables["course"].isel(start_group=0).sel(fate="not recovered")
    curvature = tables["curvature"].sel(fate="not recovered")
    counts = tables["counts"].isel(start_group=0).sum("instance")
    for N in window["N"].values.tolist():
        for alpha in window["alpha"].values.tolist():
            at = {"N": N, "alpha": alpha}
            runs, spectrum, records = window.sel(at), curvature.sel(at), course.sel(at)
            if not float(runs["runs"]) > 0:
                continue
            lost = float(runs["runs"])
            rows.append(
                at
                | {
                    "runs": int(lost),
                    **{end: float(runs[f"t_bbp_{end}"]) for end in ("lower", "median", "upper")},
                    **{share: float(runs[share]) for share in ("never", "lasting")},
                    "started": float(records["outlier_share"][0]),
                    "certified": float(counts["trapped"].sel(at)) / lost,
                    "lowest_start": float(spectrum["lowest_eigenvalue"][0]),
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


def _lost(label: str, ends: pd.DataFrame, theory: xr.Dataset) -> Part:
    low, high = float(theory["alpha_init"]), float(theory["alpha_threshold"])
    statement = f"{label}: runs that do not recover lose the direction to the signal at a finite time"
    criterion = (
        f"at every N, and every alpha between alpha_init and alpha_threshold where at least {FEWEST} runs do "
        f"not recover, at least {MOST:.0%} of these runs lose their outlier permanently at a finite t_BBP"
    )
    between = ends[(ends["alpha"] > low) & (ends["alpha"] < high) & (ends["runs"] >= FEWEST)]
    if between.empty:
        found = f"for alpha between {low:.3f} and {high:.3f} no cell has {FEWEST} runs that do not recover"
        return Part(statement, criterion, Verdict.UNDECIDED, found)
    share = 1 - between["never"] - between["lasting"]
    found = (
        f"{share.min():.1%} to {share.max():.1%} of them lose their outlier, at most "
        f"{between['never'].max():.1%} never have one, and at most {between['lasting'].max():.1%} keep it to "
        f"the end; the median t_BBP is {between['median'].min():.2f} to {between['median'].max():.2f}"
    )
    return Part(statement, criterion, Verdict.of(bool((share >= MOST).all())), found)


def _marginal(label: str, ends: pd.DataFrame) -> Part:
    statement = (
        f"{label}: runs that do not recover end in marginal states, whose spectrum reaches down to zero"
    )
    criterion = (
        "at every alpha, at the largest N with two or more measured spectra, the mean lowest eigenvalue at "
        f"t_max is in magnitude at most {TOUCHING:.0%} of its value at t = 0"
    )
    held, seen = [], []
    for alpha, at in ends.dropna(subset=["lowest", "lowest_error"]).groupby(ends["alpha"].round(2)):
        last = at.iloc[-1]
        held.append(abs(last["lowest"]) <= TOUCHING * abs(last["lowest_start"]))
        seen.append(
            f"alpha = {alpha:g}, N = {last['N']:g}: {with_error(last['lowest'], last['lowest_error'])} "
            f"compared with {last['lowest_start']:.1f} at t = 0; {last['certified']:.0%} are certified "
            "trapped"
        )
    verdict = Verdict.of(all(held) if held else None)
    return Part(statement, criterion, verdict, "; ".join(seen) or "too few spectra were measured")


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
