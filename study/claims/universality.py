"""Claim 7a: other sensing ensembles and label noise, compared with noiseless Gaussian sensing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.text import with_interval
from phasepipe.figures.style import PAGE_WIDTH, new_figure, paper_style, size_colours, size_markers
from study.claims.finding import Finding, Part, Sweeps, Verdict, available, rows_of
from study.claims.recovery import group_curves, midpoint

REFERENCE = "ensemble-gaussian"
OTHERS = (
    "ensemble-signs",
    "ensemble-sphere",
    "ensemble-correlated",
    "ensemble-orthogonal",
    "noise-0.03",
    "noise-0.1",
)
SMALL = 0.1  # shift of alpha_50 that counts as none: a few per cent of alpha_50
LEVEL = 0.95  # simultaneous confidence level of the intervals of one ensemble


def assess(sweeps: Sweeps) -> Finding:
    """Shift of alpha_50(N) relative to noiseless Gaussian sensing."""
    found = available(sweeps, (REFERENCE, *OTHERS), ("counts",))
    if REFERENCE not in found:
        return Finding([])
    curves = {name: group_curves(tables["counts"]) for name, tables in found.items()}
    shifts = {name: shift_of(curves[name], curves[REFERENCE]) for name in curves if name != REFERENCE}
    parts = [_equal(name, shift) for name, shift in shifts.items()]
    sizes = [fit.N for fit in curves[REFERENCE]]
    rows = []
    for name, of_name in curves.items():
        row = {"sweep": name.removeprefix("ensemble-")}
        row |= {f"alpha_50, N = {fit.N}": midpoint(fit) for fit in of_name}
        if name in shifts:
            row |= {
                f"shift, N = {at.N}": with_interval(at.shift, at.lower, at.upper)
                for at in rows_of(shifts[name])
            }
        rows.append(row)
    figure = _figure(shifts, sizes)
    caption = (
        f"Shift of alpha_50 relative to noiseless Gaussian sensing (a = 0.01), with simultaneous {LEVEL:.0%} "
        "confidence intervals for both N; shifts in the grey band count as none."
    )
    return Finding(parts, figure, caption, {"alpha_50 with 95 % intervals": pd.DataFrame(rows).fillna("–")})


@paper_style()
def _figure(shifts: dict[str, pd.DataFrame], sizes: list[int]) -> Figure:
    figure = new_figure(PAGE_WIDTH * 0.6, 0.6)
    axes = figure.subplots()
    colours, markers = size_colours(sizes), size_markers(sizes)
    for position, shift in enumerate(shifts.values()):
        for offset, at in zip((-0.12, 0.12), rows_of(shift), strict=False):
            label = f"N = {at.N}" if position == 0 else None
            axes.errorbar(
                at.shift, position + offset, xerr=[[at.shift - at.lower], [at.upper - at.shift]],
                fmt=markers[at.N], color=colours[at.N], elinewidth=0.8, label=label,
            )  # fmt: skip
    axes.axvspan(-SMALL, SMALL, color="0.93", linewidth=0, zorder=0)
    axes.axvline(0, color="black", linewidth=0.5)
    axes.set_yticks(range(len(shifts)), [name.removeprefix("ensemble-") for name in shifts])
    axes.invert_yaxis()
    axes.set_xlabel(r"shift of $\alpha_{50}$ relative to noiseless Gaussian sensing")
    if shifts:
        axes.legend(fontsize=6)
    return figure


def shift_of(curves: list[CurveFit], reference: list[CurveFit]) -> pd.DataFrame:
    """Shift of alpha_50 with its interval at every common N; columns ``N, shift, lower, upper``.

    The two sweeps have independent instances. The intervals are simultaneous (Bonferroni correction).
    """
    known = {fit.N: fit for fit in reference}
    pairs = [(fit, known[fit.N]) for fit in curves if fit.N in known]
    quantile = stats.norm.isf((1 - LEVEL) / 2 / max(len(pairs), 1))
    rows = []
    for fit, other in pairs:
        shift, error = fit.alpha_50 - other.alpha_50, np.hypot(fit.alpha_50_error, other.alpha_50_error)
        rows.append((fit.N, shift, shift - quantile * error, shift + quantile * error))
    return pd.DataFrame(rows, columns=["N", "shift", "lower", "upper"])


def _equal(name: str, shift: pd.DataFrame) -> Part:
    inside = (shift["lower"] > -SMALL) & (shift["upper"] < SMALL)
    outside = (shift["lower"] > 0) | (shift["upper"] < 0)
    moved = outside & ((shift["lower"] > SMALL) | (shift["upper"] < -SMALL))
    holds = True if len(shift) and inside.all() else (False if moved.any() else None)
    what = name.removeprefix("ensemble-")
    words = f"label noise {name.removeprefix('noise-')}" if name.startswith("noise") else f"sensing {what}"
    return Part(
        f"{words}: alpha_50 equals that of noiseless Gaussian sensing",
        f"the simultaneous {LEVEL:.0%} confidence intervals of the shift are within ±{SMALL:g} at every N; "
        "not confirmed if one is outside",
        Verdict.of(holds),
        "; ".join(
            f"shift {with_interval(at.shift, at.lower, at.upper)} at N = {at.N}" for at in rows_of(shift)
        ),
    )
