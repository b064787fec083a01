"""Claim 9: success at finite N, predicted from the dynamics for N to infinity without a fitted parameter.

``python -m study.predictions`` computes the predictions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_error, with_interval
from phasepipe.figures.style import PAGE_WIDTH, new_figure, paper_style, size_colours, size_markers
from study.claims.finding import Finding, Part, Sweeps, Verdict, available, regulariser, rows_of
from study.claims.testing import holm, signs, simultaneous_quantile, two_sided
from study.predictions import ALPHAS, DRAWN, HALF_SIZES, REFERENCE, SWEEPS, alpha_50_of, cells_of

LATE = 40.0  # budgets beyond are late
CLOSE, CLOSE_LATE = 0.015, 0.02  # rms differences of P beyond noise: up to LATE, at all budgets
SAMPLED = 4000  # bootstrap samples
CERTAIN = 0.02  # P nearer to 0 or 1 is no test


def assess(sweeps: Sweeps) -> Finding:
    """Predicted P against runs, up to t = 32 and later, and how the difference depends on N."""
    path = REFERENCE / HALF_SIZES
    if not path.exists():
        return Finding([])
    half_sizes = pd.read_csv(path)
    cells = cells_of(sweeps, half_sizes)
    parts = [
        accurate(cells[cells["budget"] < LATE], f"up to t = {LATE:g}", CLOSE),
        accurate(cells, "at all budgets computed", CLOSE_LATE),
        too_high(cells[cells["budget"] > LATE]),
        vanishes(cells[cells["budget"] > LATE]),
    ]
    caption = (
        "Left: predicted P minus measured P against the time budget, in cells with P between "
        f"{CERTAIN:g} and {1 - CERTAIN:g}; bars join the standard errors of both. Middle and right: alpha_50 "
        "for three time budgets, predicted (lines) and measured (symbols, with standard errors)."
    )
    tables = {
        "Predicted and measured P, by loss and budget": _summary(cells),
        "The same by N, at the longest budget": _by_size(cells[cells["budget"] == cells["budget"].max()]),
    }
    return Finding(parts, _figure(sweeps, cells, alpha_50_of(half_sizes)), caption, tables)


def testing(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells whose predicted P is not almost 0 or 1."""
    return cells[cells["p"].between(CERTAIN, 1 - CERTAIN)]


def rms_interval(cells: pd.DataFrame, squares: pd.Series) -> tuple[float, float, float]:
    """Root of the mean of ``squares``; 95 % interval from resampling whole (a, N, alpha).

    ``squares`` less a variance may have a negative mean, of which the root is given as 0.
    """
    groups = squares.groupby([cells["a"], cells["N"], cells["alpha"]]).agg(["sum", "size"]).to_numpy()
    drawn = np.random.default_rng(0).integers(len(groups), size=(SAMPLED, len(groups)))
    sums = groups[drawn].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    value, low, high = np.sqrt(np.maximum([squares.mean(), low, high], 0)).tolist()
    return value, low, high


def accurate(cells: pd.DataFrame, where: str, close: float) -> Part:
    """Whether prediction and runs agree to a given rms difference, apart from the noise of the runs."""
    holds, found = None, "no cell lies in the range computed"
    middle = testing(cells)
    if len(middle):
        difference = middle["p"] - middle["measured"]
        rms, low, high = rms_interval(middle, difference**2 - middle["measured_variance"])
        holds = True if high <= close else (False if low > close else None)
        found = (
            f"{with_interval(rms, low, high, 4)} over {len(middle)} of {len(cells)} cells, with the noise of "
            f"the runs {with_interval(*rms_interval(middle, difference**2), 4)}; mean "
            f"{difference.mean():+.4f}, rms standard errors {_rms(middle['measured_variance'] ** 0.5)} "
            f"(runs) and {_rms(middle['error'])} (prediction)"
        )
    return Part(
        f"{where}, success at finite N is predicted without a fit",
        f"over the cells whose predicted P is between {CERTAIN:g} and {1 - CERTAIN:g} (nearer to 0 or 1 "
        "nothing is tested), the root of the mean square difference of P less the variance of the runs is at "
        f"most {CLOSE:g} for budgets up to t = {LATE:g}, and {CLOSE_LATE:g} for all, including its 95 % "
        "confidence interval (whole (N, alpha) resampled); not confirmed if the interval is above",
        Verdict.of(holds),
        found,
    )


def _rms(values: pd.Series) -> str:
    return f"{np.sqrt((values**2).mean()):.4f}"


def too_high(cells: pd.DataFrame) -> Part:
    """Whether the prediction for late times is too high."""
    middle = testing(cells)
    rows = [(f"a = {a:g}", *_mean_difference(of_loss)) for a, of_loss in middle.groupby("a")]
    means, errors = [row[1] for row in rows], [row[2] for row in rows]
    return Part(
        f"beyond t = {LATE:g} runs recover less often than predicted",
        "for every loss the mean of predicted minus measured P over cells with "
        f"{CERTAIN:g} < P < {1 - CERTAIN:g} is positive (p < 0.05 after Holm); not confirmed if one is "
        "negative in the same sense",
        Verdict.of(signs(means, holm(two_sided(means, errors)))),
        "; ".join(f"{label}: {with_error(mean, error)}" for label, mean, error in rows)
        or "no cell lies in the range computed",
    )


def _mean_difference(cells: pd.DataFrame) -> tuple[float, float]:
    """Mean of predicted minus measured P, and its error from the scatter over (N, alpha)."""
    means = (cells["p"] - cells["measured"]).groupby([cells["N"], cells["alpha"]]).mean()
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else np.nan


def vanishes(cells: pd.DataFrame) -> Part:
    """Whether the difference becomes smaller with N at equal alpha."""
    slopes = [
        (f"a = {a:g}", *known)
        for a, of_loss in testing(cells).groupby("a")
        if (known := _slope_with_size(of_loss)) is not None
    ]
    values, errors = [row[1] for row in slopes], [row[2] for row in slopes]
    return Part(
        f"beyond t = {LATE:g} the difference becomes smaller with N",
        "for every loss the coefficient of log2 N in a linear regression of predicted minus measured P on "
        "log2 N and alpha (larger N were run at larger alpha) is negative (p < 0.05 after Holm); not "
        "confirmed if one is positive in the same sense",
        Verdict.of(signs([-value for value in values], holm(two_sided(values, errors)))),
        "; ".join(
            f"{label}: {with_error(slope, error, 4)} per doubling of N" for label, slope, error in slopes
        )
        or "too few cells lie in the range computed",
    )


def _slope_with_size(cells: pd.DataFrame) -> tuple[float, float] | None:
    """Change of predicted minus measured P per doubling of N at equal alpha, and its standard error.

    Budgets of one (N, alpha) are averaged. None if the cells do not determine it.
    """
    means = (cells["p"] - cells["measured"]).groupby([cells["N"], cells["alpha"]]).mean()
    N, alpha = (means.index.get_level_values(name).to_numpy(float) for name in ("N", "alpha"))
    design = np.column_stack([np.log2(N), alpha, np.ones(len(N))])
    freedom = len(N) - design.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(design - design.mean(axis=0)) < 2:
        return None
    coefficients, *_ = np.linalg.lstsq(design, means.to_numpy(), rcond=None)
    scatter = float(np.sum((means.to_numpy() - design @ coefficients) ** 2)) / freedom
    covariance = scatter * np.linalg.inv(design.T @ design)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def _summary(cells: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (a, budget), at in cells.groupby(["a", "budget"]):
        middle = testing(at)
        row = {"a": f"{a:g}", "budget": f"{budget:.3g}", "cells": len(at)}
        row |= {
            "rms": _rms(at["p"] - at["measured"]),
            f"cells with {CERTAIN:g} < P < {1 - CERTAIN:g}": len(middle),
        }
        if len(middle):
            difference, variance = middle["p"] - middle["measured"], middle["measured_variance"]
            beyond = np.sqrt(max((difference**2 - variance).mean(), 0))
            row |= {"their rms": _rms(difference), "less the noise of the runs": f"{beyond:.4f}"}
            row |= {"mean difference": f"{difference.mean():+.4f}", "error of the runs": _rms(variance**0.5)}
            row |= {"error of the prediction": _rms(middle["error"])}
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["a", "budget", "cells", "rms"]).fillna("–")


def _by_size(cells: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"a": f"{row.a:g}", "N": row.N, "alpha": f"{row.alpha:.3f}", "budget": f"{row.budget:.3g}",
         "predicted": with_error(row.p, row.error), "measured": with_error(row.measured, row.measured_error)}
        for row in rows_of(testing(cells).sort_values(["a", "budget", "N", "alpha"]))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["a", "N", "alpha", "budget", "predicted", "measured"])


def measured_alpha_50(success: xr.Dataset, budget: float) -> pd.DataFrame:
    """Where P passes 1/2 between neighbouring alphas, columns ``N, alpha_50, error``."""
    rows = []
    at = success.sel(budget=budget, method="nearest")
    for N in success["N"].values.tolist():
        of_size = at.sel(N=N)
        of_size = of_size.isel(alpha=np.flatnonzero(of_size["n"].values > 0))
        alpha, p = of_size["alpha"].values, of_size["p"].values
        spread = (of_size["upper"] - of_size["lower"]).values / (2 * simultaneous_quantile(1))
        for left in np.flatnonzero((p[:-1] < 0.5) & (p[1:] >= 0.5)):
            slope = (p[left + 1] - p[left]) / (alpha[left + 1] - alpha[left])
            share = (0.5 - p[left]) / (p[left + 1] - p[left])
            error = np.hypot((1 - share) * spread[left], share * spread[left + 1]) / slope
            rows.append({"N": N, "alpha_50": alpha[left] + (0.5 - p[left]) / slope, "error": error})
    return pd.DataFrame(rows, columns=["N", "alpha_50", "error"])


@paper_style()
def _figure(sweeps: Sweeps, cells: pd.DataFrame, half: pd.DataFrame) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.36)
    left, *others = figure.subplots(1, 3)
    middle = testing(cells)
    sizes = sorted(set(middle["N"].tolist()))
    colours, markers = (size_colours(sizes), size_markers(sizes)) if sizes else ({}, {})
    for N, at in middle.groupby("N"):
        shift = 1.03 ** (sizes.index(N) - len(sizes) / 2)  # next to each other
        left.errorbar(
            at["budget"] * shift, at["p"] - at["measured"], np.hypot(at["error"], at["measured_error"]),
            fmt=markers[N], color=colours[N], elinewidth=0.6, ms=2.5, label=f"N = {N}",  # type: ignore[index]
        )  # fmt: skip
    left.axhline(0, color="0.6", lw=0.8, zorder=0)
    left.set(xscale="log", xlabel="time budget", ylabel="P predicted − measured")
    left.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    left.minorticks_off()
    if sizes:
        left.legend(fontsize=6, ncols=2, loc="lower left", columnspacing=0.8, handletextpad=0.2)
    known = available(sweeps, SWEEPS, ("counts", "success")).values()
    for axes, a in zip(others, sorted(ALPHAS, reverse=True), strict=True):
        successes = [tables["success"].isel(start_group=0) for tables in known if regulariser(tables) == a]
        _draw_alpha_50(axes, half[half["a"] == a], successes)
        axes.set_title(f"a = {a:g}", loc="left")
    return figure


def _draw_alpha_50(axes: Axes, half: pd.DataFrame, successes: list[xr.Dataset]) -> None:
    colours = size_colours(range(len(DRAWN)))
    for row, budget in enumerate(DRAWN):
        at = half[np.isclose(half["budget"], budget, rtol=1e-3)]
        axes.plot(at["N"], at["alpha_50"], color=colours[row], label=f"t = {budget:.3g}")
        reach = (at["alpha_50"] - at["error"], at["alpha_50"] + at["error"])
        axes.fill_between(at["N"], *reach, color=colours[row], alpha=0.25, lw=0)
        for success in successes:
            if np.isclose(success["budget"].values, budget, rtol=1e-3).any():
                runs = measured_alpha_50(success, budget)
                axes.errorbar(runs["N"], runs["alpha_50"], runs["error"], fmt="o", color=colours[row], ms=2.5)
    axes.set(xscale="log", xlabel="N", ylabel=r"$\alpha_{50}$")
    axes.legend(fontsize=6)
