"""Claim 7a: other sensing ensembles and label noise, compared with noiseless Gaussian sensing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_error, with_interval
from phasepipe.figures.style import PAGE_WIDTH, new_figure, paper_style, size_colours, size_markers
from study.claims.finding import Finding, Part, Sweeps, Verdict, available, rows_of
from study.claims.recovery import Success, common_counts, group_curves, midpoint
from study.claims.testing import (
    LEVEL,
    holm,
    paired_correlation,
    paired_share,
    simultaneous_quantile,
    simultaneous_student,
    undetected,
    within,
)

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
SAME_P = 0.02  # difference of P that counts as none


def assess(sweeps: Sweeps) -> Finding:
    """Shift of alpha_50(N) relative to noiseless Gaussian sensing."""
    found = available(sweeps, (REFERENCE, *OTHERS), ("counts",))
    if REFERENCE not in found:
        return Finding([])
    time, counts = common_counts(found)
    curves = {name: group_curves(of_name) for name, of_name in counts.items()}
    if REFERENCE not in curves:
        return Finding([])
    shifts = shifts_of(counts, curves)
    tests = (same, same_within, close)
    parts = [test(name, shift) for name, shift in shifts.items() for test in tests]
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
            row |= {
                f"paired difference of P, N = {at.N}": with_error(at.difference, at.difference_error)
                for at in rows_of(shifts[name])
            }
        rows.append(row)
    figure = _figure(shifts, sizes)
    caption = (
        f"Shift of alpha_50 at t = {time:g} relative to noiseless Gaussian sensing (a = 0.01), with "
        f"{LEVEL:.0%} confidence intervals that hold simultaneously and account for the instances that both "
        "have in common; shifts in the grey band count as none."
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


def shifts_of(
    counts: Mapping[str, xr.Dataset], curves: Mapping[str, Sequence[Success]]
) -> dict[str, pd.DataFrame]:
    """Differences from the reference at every common N, by sweep.

    Columns ``N, shift, lower, upper`` (of alpha_50, intervals simultaneous over all sweeps and N),
    ``correlation`` (of both estimates), ``difference, difference_error`` (of P, paired by instance),
    ``difference_lower, difference_upper`` (simultaneous), ``adjusted`` (its p value, Holm over all sweeps and
    N). The sweeps share their seed, so that an instance has the same signal and starts in all of them.
    """
    known = {fit.N: fit for fit in curves[REFERENCE]}
    pairs = [(name, fit, known[fit.N]) for name, of_name in curves.items() for fit in of_name
             if name != REFERENCE and fit.N in known]  # fmt: skip
    quantile = simultaneous_quantile(len(pairs))
    rows = []
    for name, fit, other in pairs:
        paired = paired_share(counts[name], counts[REFERENCE], fit.N)
        correlation = 0.0
        if np.isfinite([fit.alpha_50, other.alpha_50]).all():
            correlation = paired_correlation(counts[name], fit, counts[REFERENCE], other)
        first, second = fit.alpha_50_error, other.alpha_50_error
        reach = quantile * np.sqrt(first**2 + second**2 - 2 * correlation * first * second)
        shift = fit.alpha_50 - other.alpha_50
        half = float(simultaneous_student(len(pairs), paired.instances - 1)) * paired.error
        rows.append(
            {
                "name": name,
                "N": fit.N,
                "shift": shift,
                "lower": shift - reach,
                "upper": shift + reach,
                "correlation": correlation,
                "difference": paired.difference,
                "difference_error": paired.error,
                "difference_lower": paired.difference - half,
                "difference_upper": paired.difference + half,
                "p_value": paired.p_value,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return {name: table for name in curves if name != REFERENCE}
    table["adjusted"] = holm(table["p_value"])
    return {name: table[table["name"] == name] for name in curves if name != REFERENCE}


def _columns(shift: pd.DataFrame, *names: str) -> list[np.ndarray]:
    """Columns of a table that may be empty."""
    return [shift[name].to_numpy(float) if len(shift) else np.empty(0) for name in names]


def _words(name: str) -> str:
    what = name.removeprefix("ensemble-")
    return f"label noise {name.removeprefix('noise-')}" if name.startswith("noise") else f"sensing {what}"


def same(name: str, shift: pd.DataFrame) -> Part:
    """Whether no difference of P from noiseless Gaussian sensing is detected, instance by instance."""
    holds = undetected(*_columns(shift, "adjusted", "difference_lower", "difference_upper"), SAME_P)
    return Part(
        f"{_words(name)}: no difference of P from noiseless Gaussian sensing is detected",
        "at no N does P, averaged over alpha and paired by instance, differ (t test, p < 0.05 after Holm "
        "over all sweeps and N), and the simultaneous 95 % confidence intervals of the difference are within "
        f"±{SAME_P:g}; not confirmed if P differs at any N, be it by less than that",
        Verdict.of(holds),
        "; ".join(
            f"{with_error(at.difference, at.difference_error)} at N = {at.N} (p = {at.adjusted:.2g})"
            for at in rows_of(shift)
        )
        or "no common N",
    )


def same_within(name: str, shift: pd.DataFrame) -> Part:
    """Whether P is that of noiseless Gaussian sensing within a margin."""
    return Part(
        f"{_words(name)}: P is that of noiseless Gaussian sensing within {SAME_P:g}",
        "the simultaneous 95 % confidence intervals of the difference of P, averaged over alpha and paired "
        f"by instance, are within ±{SAME_P:g} at every N; not confirmed if one is outside",
        Verdict.of(within(*_columns(shift, "difference_lower", "difference_upper"), SAME_P)),
        "; ".join(
            f"{with_interval(at.difference, at.difference_lower, at.difference_upper)} at N = {at.N}"
            for at in rows_of(shift)
        )
        or "no common N",
    )


def close(name: str, shift: pd.DataFrame) -> Part:
    """Whether alpha_50 is that of noiseless Gaussian sensing to a few per cent."""
    return Part(
        f"{_words(name)}: alpha_50 is that of noiseless Gaussian sensing within {SMALL:g}",
        f"the simultaneous {LEVEL:.0%} confidence intervals of the shift, which account for the common "
        f"instances, are within ±{SMALL:g} at every N; not confirmed if one is outside",
        Verdict.of(within(*_columns(shift, "lower", "upper"), SMALL)),
        "; ".join(
            f"shift {with_interval(at.shift, at.lower, at.upper)} at N = {at.N} (correlation "
            f"{at.correlation:.2f})"
            for at in rows_of(shift)
        )
        or "no common N",
    )
