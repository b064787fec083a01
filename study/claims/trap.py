"""Claim 3: above alpha_threshold the threshold states themselves are unstable towards the signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.recovery_times import kept_runs
from phasepipe.analysis.text import with_error, with_interval
from phasepipe.figures.scaling_tables import success_curves_table
from phasepipe.figures.style import CYCLE, PAGE_WIDTH, new_figure, paper_style, size_colours, size_markers
from phasepipe.physics.outcomes import Outcome
from study.claims.finding import (
    Finding,
    Part,
    Sweeps,
    Tables,
    Verdict,
    available,
    ranges,
    regulariser,
    rows_of,
)
from study.claims.outliers import share_design_effect
from study.claims.recovery import draw_band, draw_curves, draw_level, group_curves, longest_time
from study.claims.testing import holm, share_above, signs, simultaneous_quantile, two_sided

SWEEPS = ("trap-a0.01", "trap-a1")
FLOW = Path(__file__).parents[2] / "docs" / "evidence" / "flow-threshold.csv"
BELOW, ABOVE = 0.9, 1.1  # in units of alpha_threshold; in between, finite N smooths the transition
LEAST_UNSTABLE = 10  # threshold states with an outlier from which on their share can be seen to fall
MOST = 0.95  # share of threshold states that must have an outlier above alpha_threshold


def assess(sweeps: Sweeps) -> Finding:
    """Curvature towards the signal at planted threshold states, and success probability of runs from them."""
    found = available(sweeps, SWEEPS, ("counts", "course", "curvature", "recovery", "theory"))
    parts, rows = [], []
    curves = {name: group_curves(tables["counts"]) for name, tables in found.items()}
    for name, tables in found.items():
        limit, states = float(tables["theory"]["alpha_threshold"]), planted_states(tables, curves[name])
        label = f"a = {regulariser(tables):g}"
        parts += [
            unstable(label, states, limit),
            stable(label, states, limit),
            _recovers(label, states, limit),
        ]
        rows.append(_printed(label, states))
    figure = _figure(found, curves)
    caption = (
        "Runs start at threshold states planted into a problem with a signal. Left: success probability with "
        "95 % confidence intervals. Middle: share of the planted states whose Hessian has an outlier towards "
        "the signal, predicted from labels. Right: measured lowest eigenvalue at the planted states (points, "
        "standard errors) and second derivative of the loss along the signal (lines). Bottom: share of the "
        "runs that have recovered by time t, at the largest N (solid) and the smallest (dashed), for the "
        "alphas up to alpha_threshold. Pale: where marginal minima become unstable, between the most "
        "numerous and the lowest ones."
    )
    instability = pd.DataFrame([_instability(tables) for tables in found.values()])
    return Finding(
        parts,
        figure,
        caption,
        {
            "Alpha at which threshold states become unstable": instability,
            "Planted threshold states": pd.concat(rows, ignore_index=True),
        },
    )


def _instability(tables: Tables) -> dict[str, str]:
    """alpha_threshold beside what other descriptions of the threshold states give."""
    a, theory = regulariser(tables), tables["theory"]
    named = {
        "states in 1RSB (alpha_threshold)": "alpha_threshold",
        "marginal minima, most numerous": "alpha_most_numerous",
        "marginal minima, lowest": "alpha_lowest",
    }
    flow = pd.read_csv(FLOW, comment="#").query("a == @a")
    measured = [with_error(row.alpha_flow, row.error, 2) for row in rows_of(flow)]
    return (
        {"loss": f"a = {a:g}"}
        | {label: f"{float(theory[name]):.3f}" for label, name in named.items() if name in theory}
        | {"where the flow ends, measured": measured[0] if measured else "–"}
    )


@paper_style()
def _figure(found: Mapping[str, Tables], curves: Mapping[str, Sequence[CurveFit]]) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.3 * (len(found) + 1))
    grid = figure.add_gridspec(len(found) + 1, 6)
    for index, (name, tables) in enumerate(found.items()):
        row = [figure.add_subplot(grid[index, 2 * column : 2 * column + 2]) for column in range(3)]
        draw_curves(row[0], curves[name])
        row[0].set_title(f"a = {regulariser(tables):g}", loc="left")
        _draw_states(row[1], row[2], planted_states(tables, curves[name]))
        for axes in row:
            draw_band(axes, tables["theory"], vertical=True)
            draw_level(axes, float(tables["theory"]["alpha_threshold"]), "$α_{threshold}$", vertical=True)
        if index == 0:
            row[0].legend(fontsize=6)
        below = figure.add_subplot(grid[-1, 3 * index : 3 * index + 3])
        _draw_leaving(below, tables)
        below.set_title(f"a = {regulariser(tables):g}", loc="left")
    return figure


def planted_states(tables: Tables, curves: Sequence[CurveFit]) -> pd.DataFrame:
    """Success probability from the planted states and their Hessian, one row per (N, alpha).

    Columns ``N, alpha, runs, design_effect, p, p_low, p_high, outlier, outlier_error`` (share with a
    predicted outlier), ``lowest, lowest_error`` (lowest eigenvalue), ``overlap, overlap_error`` (q_0),
    ``along, along_error`` (second derivative along the signal), ``expected`` (overlap of the outlier for N to
    infinity).
    """
    course = tables["course"].isel(start_group=0, time=0).sel(fate="all")
    curvature = tables["curvature"].isel(time=0).sel(fate="all")
    theory = tables["theory"]["threshold_overlap"]
    effect = share_design_effect(tables["course"].isel(start_group=0, time=[0]).sel(fate="all"))
    rows = []
    for point in rows_of(success_curves_table(list(curves))):
        at = {"N": point.N, "alpha": point.alpha}
        rows.append(
            {
                **at,
                "runs": float(course["runs"].sel(at)),
                "design_effect": np.fmax(effect, 1.0),
                "p": point.probability,
                "p_low": point.lower,
                "p_high": point.upper,
                **_with_error(course.sel(at), "outlier", "outlier_share"),
                **_with_error(curvature.sel(at), "lowest", "lowest_eigenvalue"),
                **_with_error(curvature.sel(at), "overlap", "lowest_overlap"),
                **_with_error(curvature.sel(at), "along", "signal_curvature"),
                "expected": float(theory.sel(alpha=point.alpha, method="nearest")),
            }
        )
    return pd.DataFrame(rows)


def _with_error(table: xr.Dataset, name: str, variable: str) -> dict[str, float]:
    return {name: float(table[variable]), f"{name}_error": float(table[f"{variable}_error"])}


def _ends(states: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """States at the smallest N and at the largest N, indexed by alpha rounded to two decimals."""
    by_alpha = states.assign(grid=states["alpha"].round(2))
    smallest, largest = (by_alpha[by_alpha["N"] == N] for N in (states["N"].min(), states["N"].max()))
    return smallest.set_index("grid"), largest.set_index("grid")


def unstable(label: str, states: pd.DataFrame, limit: float) -> Part:
    """Whether threshold states above alpha_threshold have an outlier."""
    _, large = _ends(states)
    above = large[large["alpha"] >= ABOVE * limit]
    pool = share_above(np.rint(above["outlier"] * above["runs"]), above["runs"], above["design_effect"], MOST)
    found = "; ".join(
        f"alpha = {row.alpha:.2f}: {row.outlier:.0%} have an outlier, lowest eigenvalue "
        f"{with_error(row.lowest, row.lowest_error, 2)}"
        for row in rows_of(above)
    )
    return Part(
        f"{label}: above alpha_threshold, threshold states have an unstable direction towards the signal",
        f"over all alpha above {ABOVE:g} alpha_threshold at the largest N, the 95 % confidence interval of "
        f"the share of threshold states with an outlier is above {MOST:.0%}; not confirmed if it, or the "
        "share of one cell (Holm), is below",
        Verdict.of(pool.holds),
        f"{pool.words}; {found}" if found else "no alpha in this range was run",
    )


def stable(label: str, states: pd.DataFrame, limit: float) -> Part:
    """Whether fewer threshold states below alpha_threshold have an outlier at larger N."""
    small, large = _ends(states)
    both = small.merge(large, left_index=True, right_index=True, suffixes=("_small", "_large"))
    below = both[both["alpha_large"] <= BELOW * limit]
    # a share of nearly 0 % cannot fall significantly: such a cell could only speak against the claim
    states_with = sum(below[f"outlier_{size}"] * below[f"runs_{size}"] for size in ("small", "large"))
    idle = states_with < LEAST_UNSTABLE
    below = below[~idle]
    fall = below["outlier_small"] - below["outlier_large"]
    adjusted = holm(two_sided(fall, np.hypot(below["outlier_error_large"], below["outlier_error_small"])))
    holds = signs(fall, adjusted) if states["N"].nunique() > 1 else None
    found = "; ".join(
        f"alpha = {row.alpha_large:.2f}: {row.outlier_small:.0%} at N = {row.N_small}, "
        f"{row.outlier_large:.0%} at N = {row.N_large} (p = {p:.2g})"
        for row, p in zip(rows_of(below), adjusted, strict=True)
    )
    if idle.any():
        few = ", ".join(f"{alpha:.2f}" for alpha in idle.index[idle])
        found += (
            f"{'; ' if found else ''}left out, with fewer than {LEAST_UNSTABLE} such states: alpha = {few}"
        )
    return Part(
        f"{label}: below alpha_threshold, the share of threshold states with such a direction falls with N",
        f"at every alpha below {BELOW:g} alpha_threshold with at least {LEAST_UNSTABLE} such states at the "
        "smallest N and the largest N together, their share is lower at the largest N (p < 0.05 after Holm); "
        "not confirmed if it is higher at any alpha in the same sense",
        Verdict.of(holds),
        found or "no alpha in this range was run",
    )


def _recovers(label: str, states: pd.DataFrame, limit: float) -> Part:
    _, large = _ends(states)
    above, below = large[large["alpha"] >= ABOVE * limit], large[large["alpha"] <= BELOW * limit]
    sides = pd.concat([above["p"] - 0.5, 0.5 - below["p"]])
    reach = pd.concat([at["p_high"] - at["p_low"] for at in (above, below)]) / 2
    adjusted = holm(two_sided(sides, reach / simultaneous_quantile(1)))
    holds = signs(sides, adjusted) if len(above) and len(below) else None
    found = "; ".join(
        f"alpha = {row.alpha:.2f}: P = {with_interval(row.p, row.p_low, row.p_high, 2)}"
        for row in rows_of(large)
    )
    return Part(
        f"{label}: most runs from threshold states recover above alpha_threshold and few below it",
        f"at the largest N, P is above 1/2 at every alpha above {ABOVE:g} alpha_threshold and below 1/2 at "
        f"every alpha below {BELOW:g} alpha_threshold (p < 0.05 after Holm); not confirmed if one is on the "
        "other side in the same sense",
        Verdict.of(holds),
        found,
    )


def _printed(label: str, states: pd.DataFrame) -> pd.DataFrame:
    def pairs(name: str, digits: int) -> list[str]:
        return [with_error(v, e, digits) for v, e in states[[name, f"{name}_error"]].to_numpy()]

    return pd.DataFrame(
        {
            "loss": label,
            "N": states["N"],
            "alpha": states["alpha"].map("{:.3f}".format),
            "P [95 %]": ranges(states[["p", "p_low", "p_high"]], 2),
            "share with an outlier": pairs("outlier", 2),
            "λ₀": pairs("lowest", 3),
            "q₀": pairs("overlap", 3),
            "q, N → ∞": states["expected"].map(lambda q: f"{q:.3f}" if np.isfinite(q) else "–"),
            "curvature along signal": pairs("along", 2),
        }
    )


def _draw_states(middle: Axes, right: Axes, states: pd.DataFrame) -> None:
    colours, markers = size_colours(states["N"]), size_markers(states["N"])
    for N, at in states.groupby("N"):
        colour, marker = colours[N], markers[N]  # type: ignore[index]
        middle.errorbar(
            at["alpha"], at["outlier"], at["outlier_error"], color=colour, marker=marker, elinewidth=0.7
        )
        right.errorbar(
            at["alpha"], at["lowest"], at["lowest_error"], fmt=marker, color=colour, elinewidth=0.7
        )
        right.plot(at["alpha"], at["along"], color=colour, linewidth=0.9)
    middle.set(xlabel="α = M/N", ylabel="share with outlier", ylim=(-0.03, 1.03))
    right.axhline(0, color="black", linewidth=0.5)
    right.set(xlabel="α = M/N", ylabel="$λ_0$ and curvature along signal")


def _draw_leaving(axes: Axes, tables: Tables) -> None:
    """Share of the runs that have recovered by time t, for the alphas up to alpha_threshold."""
    limit, longest = float(tables["theory"]["alpha_threshold"]), longest_time(tables)
    sizes = sorted(tables["recovery"]["N"].values.tolist())
    for N, line in ((sizes[-1], "-"), (sizes[0], "--")):
        runs = kept_runs(tables["recovery"], N)
        for index, alpha in enumerate(runs["alpha"].values[runs["alpha"].values < 1.01 * limit].tolist()):
            of_cell = runs.sel(alpha=alpha)
            count = int((of_cell["outcome"] != Outcome.PENDING).sum())
            recovered = of_cell["outcome"].values == Outcome.RECOVERED
            times = np.sort(of_cell["recovery_time"].values[recovered])
            share = np.append(np.arange(1, len(times) + 1), len(times)) / count
            label = f"α = {alpha:.3g}" if line == "-" else None
            axes.step(
                [*times, longest], share, line, where="post", color=CYCLE[index], linewidth=0.9, label=label
            )
    axes.set(xscale="log", xlabel="time t", ylabel="share recovered", ylim=(-0.03, 1.03))
    axes.set_xlim(1, longest)
    axes.legend(fontsize=6)
