"""Claim 1: the Hessian at a random start has a direction towards the signal above alpha_init only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from statsmodels.stats.proportion import proportion_confint

from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.analysis.text import interval, with_error
from phasepipe.figures.style import (
    PAGE_WIDTH,
    THEORY,
    new_figure,
    paper_style,
    size_colours,
    size_markers,
)
from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.theory.initial import initial_spectrum
from study.claims.finding import Finding, Part, Sweeps, Tables, Verdict, available, regulariser
from study.claims.testing import holm, signs, simultaneous_quantile, two_sided

SWEEPS = ("initial-a0.01", "initial-a1", "initial-a2")
BELOW, ABOVE = 0.8, 1.25  # in units of alpha_init; in between, finite N smooths the transition
NOTHING = 0.02  # q_0 below which an eigenvector counts as one without information
AGREEMENT = 0.1  # relative difference from the theory that counts as agreement
_POINTS = 14  # alphas at which the theory is drawn, denser near alpha_init


def assess(sweeps: Sweeps) -> Finding:
    """Overlap of the lowest eigenvector with the signal at t = 0 against alpha, measured and predicted."""
    found = available(sweeps, SWEEPS, ("curvature", "theory", "counts"))
    parts, rows = [], []
    for tables in found.values():
        label, theory = f"a = {regulariser(tables):g}", tables["theory"]
        start, alpha_init = _at_start(tables), float(theory["alpha_init"])
        parts += [below(label, start, alpha_init), above(label, start, theory, alpha_init)]
        rows.append(_rows(label, start, theory))
    figure = _figure(found)
    caption = (
        "Top: squared overlap with the direction of the signal of the lowest eigenvector of the Hessian at a "
        "random start. Points are measured (standard errors), thin lines are predicted from the labels of "
        "the same runs, the dashed line is the theory for N to infinity. Bottom: share of the runs whose "
        "lowest eigenvector has the largest overlap of all, with 95 % confidence intervals."
    )
    return Finding(parts, figure, caption, {"q_0 at a random start": pd.concat(rows, ignore_index=True)})


@paper_style()
def _figure(found: Mapping[str, Tables]) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.62)
    grid = figure.subplots(2, len(found), squeeze=False, sharex="col")
    for column, tables in enumerate(found.values()):
        _draw(grid[0, column], grid[1, column], tables)
    grid[0, 0].set_ylabel("squared overlap $q_0$")
    grid[1, 0].set_ylabel("share with the largest overlap")
    grid[0, 0].legend(fontsize=6)
    return figure


def _at_start(tables: Tables) -> xr.Dataset:
    return tables["curvature"].isel(time=0).sel(fate="all")


def _cells(start: xr.Dataset, name: str, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes N with this alpha up to the rounding of M, and the values and standard errors there."""
    near = start.sel(alpha=np.abs(start["alpha"] - alpha) < 0.005)
    value, error = near[name].max("alpha"), near[f"{name}_error"].max("alpha")
    known = np.isfinite(value.values) & (error.values > 0)
    return near["N"].values[known], value.values[known].astype(float), error.values[known].astype(float)


def _alphas(start: xr.Dataset) -> Iterator[float]:
    """Alphas of the grid, without those that differ only by the rounding of M."""
    former = -np.inf
    for alpha in start["alpha"].values.tolist():
        if alpha - former > 0.01:
            former = alpha
            yield alpha


def below(label: str, start: xr.Dataset, alpha_init: float) -> Part:
    """Whether q_0 falls with N below alpha_init, to a limit that is bounded next to 0.

    That it falls, and that a form with the limit 0 fits, holds at these sizes above alpha_init too, where
    the limit is not 0: it is the interval of the limit that decides.
    """
    criterion = (
        f"at every alpha up to {BELOW:g} alpha_init, q_0 falls with N (slope against log N, p < 0.05 after "
        "Holm), and the 95 % confidence interval of its limit for N to infinity, over a power law and "
        f"c / log(N / N0) with free limits, contains 0 and ends below {NOTHING:g}; not confirmed if q_0 "
        f"rises at any alpha in the same sense, or such an interval is above {NOTHING:g}"
    )
    statement = f"{label}: below alpha_init the lowest eigenvector carries no information about the signal"
    falls, errors, limits, seen = [], [], [], []
    for alpha in _alphas(start):
        sizes, value, error = _cells(start, "lowest_overlap", alpha)
        if alpha > BELOW * alpha_init or len(sizes) < 2:
            continue
        slope, slope_error = _slope(np.log(sizes), value, error)
        falls.append(-slope)
        errors.append(slope_error)
        # at a smooth edge the overlap of the lowest eigenvector is expected to fall as 1/log N
        forms = extrapolate(sizes, value, error, forms=["power", "inverse_log"], quantity="q_0")
        limits.append(forms.limit_range)
        seen.append(
            f"alpha = {alpha:.2f}: {with_error(value[-1], error[-1])} at N = {sizes[-1]}, "
            f"limit {interval(*limits[-1])}"
        )
    adjusted = holm(two_sided(falls, errors))
    holds = _vanishing(signs(falls, adjusted), limits)
    found = "; ".join(f"{text}, fall p = {p:.2g}" for text, p in zip(seen, adjusted, strict=True))
    return Part(statement, criterion, Verdict.of(holds), found or "no alpha in this range was run")


def _vanishing(falls: bool | None, limits: Sequence[tuple[float, float]]) -> bool | None:
    if falls is False or any(low > NOTHING for low, _ in limits):
        return False
    return True if falls and all(low <= 0 and high < NOTHING for low, high in limits) else None


def _slope(x: np.ndarray, value: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Slope of a weighted straight line, and its standard error."""
    weight = error**-2.0
    centred = x - np.average(x, weights=weight)
    precision = float(weight @ centred**2)
    return float(weight * centred @ value) / precision, precision**-0.5


def above(label: str, start: xr.Dataset, theory: xr.Dataset, alpha_init: float) -> Part:
    """Whether q_0 is that of the theory above alpha_init, within an error that can be told from zero."""
    criterion = (
        f"at every alpha above {ABOVE:g} alpha_init, the simultaneous 95 % confidence interval of the "
        "relative difference of q_0 at the largest N from the theory for N to infinity is within "
        f"±{AGREEMENT:.0%}; not confirmed if one is outside"
    )
    statement = f"{label}: above alpha_init the lowest eigenvector points to the signal, as predicted"
    cells = [
        (
            alpha,
            sizes[-1],
            value[-1],
            error[-1],
            float(theory["initial_overlap"].sel(alpha=alpha, method="nearest")),
        )
        for alpha in _alphas(start)
        for sizes, value, error in [_cells(start, "lowest_overlap", alpha)]
        if alpha >= ABOVE * alpha_init and len(sizes)
    ]
    if not cells:
        return Part(statement, criterion, Verdict.UNDECIDED, "no alpha in this range was run")
    alphas, sizes, values, errors, expected = map(np.array, zip(*cells, strict=True))
    gap = values / expected - 1
    reach = simultaneous_quantile(len(cells)) * errors / expected
    low, high = gap - reach, gap + reach
    inside, outside = (low > -AGREEMENT) & (high < AGREEMENT), (low > AGREEMENT) | (high < -AGREEMENT)
    worst = int(np.argmax(np.maximum(np.abs(low), np.abs(high))))
    return Part(
        statement,
        criterion,
        Verdict.of(False if outside.any() else (True if inside.all() else None)),
        f"within ±{AGREEMENT:.0%} at {inside.sum()} of {len(cells)} alphas, outside at {outside.sum()}; "
        f"least certain is alpha = {alphas[worst]:.2f}: {with_error(values[worst], errors[worst])} at N = "
        f"{sizes[worst]}, theory {expected[worst]:.3f}, difference {gap[worst]:+.0%} [{low[worst]:+.0%}, "
        f"{high[worst]:+.0%}]",
    )


def _rows(label: str, start: xr.Dataset, theory: xr.Dataset) -> pd.DataFrame:
    rows = []
    for alpha in _alphas(start):
        sizes, value, error = _cells(start, "lowest_overlap", alpha)
        row = {"loss": label, "alpha": f"{alpha:.2f}"}
        row |= {f"N = {N}": with_error(v, e) for N, v, e in zip(sizes, value, error, strict=True)}
        predicted = _cells(start, "outlier_overlap", alpha)[1]
        row["predicted from labels, largest N"] = f"{predicted[-1]:.3f}" if len(predicted) else "0"
        row["N → ∞"] = f"{float(theory['initial_overlap'].sel(alpha=alpha, method='nearest')):.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _draw(top: Axes, bottom: Axes, tables: Tables) -> None:
    start, alpha_init = _at_start(tables), float(tables["theory"]["alpha_init"])
    sizes = start["N"].values.tolist()
    colours, markers = size_colours(sizes), size_markers(sizes)
    for N in sizes:
        at = start.sel(N=N)
        at = at.isel(alpha=np.flatnonzero(at["runs"].values > 0))
        alpha = at["alpha"].values
        top.errorbar(
            alpha, at["lowest_overlap"], at["lowest_overlap_error"], fmt=markers[N], color=colours[N],
            label=f"N = {N}",
        )  # fmt: skip
        top.plot(alpha, at["outlier_overlap"], color=colours[N], linewidth=0.7)
        share, runs = at["lowest_is_largest"].values, at["runs"].values
        low, high = proportion_confint(np.rint(share * runs), runs, method="wilson")
        spread = np.maximum([share - low, high - share], 0)
        bottom.errorbar(
            alpha, share, spread, marker=markers[N], color=colours[N], elinewidth=0.7, linewidth=0.7
        )
    lowest, highest = start["alpha"].values[[0, -1]]
    line = alpha_init + (highest - alpha_init) * np.linspace(0.01, 1, _POINTS) ** 2
    loss = NormalisedQuartic(regulariser(tables))
    expected = [initial_spectrum(loss, alpha).overlap for alpha in line.tolist()]
    top.plot([lowest, alpha_init, *line], [0, 0, *expected], label="N → ∞", **THEORY)
    for axes in (top, bottom):
        axes.axvline(alpha_init, color="0.6", linestyle=":", linewidth=0.9)
    top.set_title(rf"a = {regulariser(tables):g}, $α_{{init}}$ = {alpha_init:.3f}", loc="left")
    bottom.set(xlabel="α = M/N", ylim=(-0.03, 1.03))
    top.set_ylim(bottom=0)
