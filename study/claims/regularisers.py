"""Claim 7b: the regulariser ``a`` of the normalised quartic loss with the lowest alpha_50 at each N."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phasepipe.analysis.text import with_interval
from phasepipe.figures.style import PAGE_WIDTH, THEORY, new_figure, paper_style, size_colours, size_markers
from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.theory.initial import alpha_init
from phasepipe.theory.threshold import alpha_threshold
from study.claims.finding import Finding, Part, Sweeps, Verdict, available, regulariser
from study.claims.recovery import Success, common_counts, group_curves, midpoint, midpoints
from study.claims.testing import SIGNIFICANT, holm, signs, simultaneous_quantile, two_sided

Floats = NDArray[np.float64]

SWEEPS = (
    "regulariser-0.001",
    "scaling-a0.01",
    "regulariser-0.1",
    "regulariser-0.3",
    "scaling-a1",
    "regulariser-3",
)
FEWEST = 3  # values of a that a comparison needs
SAME = 0.1  # difference of alpha_50 that counts as none: a few per cent of alpha_50
UNKNOWN = "too few alpha_50 lie within the alphas that were run"


def assess(sweeps: Sweeps) -> Finding:
    """alpha_50 against ``a`` at every N that all sweeps have in common."""
    found = available(sweeps, SWEEPS, ("counts",))
    if not found:
        return Finding([])
    time, counts = common_counts(found)
    curves = {
        regulariser(found[name]): {fit.N: fit for fit in group_curves(of_name)}
        for name, of_name in counts.items()
    }
    if len(curves) < FEWEST:
        return Finding([])
    sizes = sorted(set.intersection(*(set(of_a) for of_a in curves.values())))
    gaps = {N: gaps_of({a: of_a[N] for a, of_a in curves.items()}, len(sizes)) for N in sizes}
    parts = [test(N, gaps[N]) for test in (best, best_by_far) for N in sizes]
    columns = {f"a = {a:g}": [of_a[N] for N in sizes] for a, of_a in curves.items()}
    figure = _figure(curves, sizes)
    caption = (
        f"alpha_50 of random starts at t = {time:g} against the regulariser a with 95 % confidence "
        "intervals, and the transitions for N to infinity."
    )
    return Finding(parts, figure, caption, {"alpha_50 with 95 % intervals": midpoints(columns)})


@paper_style()
def _figure(curves: dict[float, dict[int, Success]], sizes: list[int]) -> Figure:
    figure = new_figure(PAGE_WIDTH * 0.6, 0.7)
    axes = figure.subplots()
    colours, markers = size_colours(sizes), size_markers(sizes)
    for N in sizes:
        values = sorted((a, of_a[N]) for a, of_a in curves.items() if np.isfinite(of_a[N].alpha_50))
        spread = [
            [fit.alpha_50 - fit.alpha_50_lower for _, fit in values],
            [fit.alpha_50_upper - fit.alpha_50 for _, fit in values],
        ]
        axes.errorbar(
            [a for a, _ in values], [fit.alpha_50 for _, fit in values], np.minimum(spread, 1e3),
            color=colours[N], marker=markers[N], elinewidth=0.8, label=f"N = {N}",
        )  # fmt: skip
    grid = np.geomspace(min(curves), max(curves), 50)
    losses = [NormalisedQuartic(a) for a in grid]
    axes.plot(grid, [alpha_threshold(loss) for loss in losses], label="$α_{threshold}$", **THEORY)
    axes.plot(
        grid, [alpha_init(loss) for loss in losses], **(THEORY | {"linestyle": ":"}), label="$α_{init}$"
    )
    axes.set_xscale("log")
    axes.set(xlabel="regulariser a", ylabel=r"$\alpha_{50}$")
    axes.legend(fontsize=6)
    return figure


@dataclass(frozen=True)
class Gaps:
    """How far the alpha_50 of other values of ``a`` lie above the lowest one, nearest first."""

    values: Floats
    low: Floats  # simultaneous intervals
    high: Floats
    adjusted: Floats  # p values
    beyond: bool  # an alpha_50 that is not known may be lower
    words: str


def gaps_of(fits: dict[float, Success], sizes: int = 1) -> Gaps | None:
    """Compare the lowest alpha_50 at one N with all others; the sweeps are independent.

    ``sizes`` is the number of N at which the question is asked, for p values and intervals. None if too few
    alpha_50 are known.
    """
    known = {a: fit for a, fit in fits.items() if np.isfinite([fit.alpha_50, fit.alpha_50_error]).all()}
    ranking = sorted(known, key=lambda a: known[a].alpha_50)
    if len(ranking) < FEWEST:
        return None
    lowest, others = known[ranking[0]], [known[a] for a in ranking[1:]]
    gap = np.array([fit.alpha_50 - lowest.alpha_50 for fit in others])
    error = np.array([np.hypot(fit.alpha_50_error, lowest.alpha_50_error) for fit in others])
    reach = simultaneous_quantile(len(gap) * sizes) * error
    adjusted = np.minimum(holm(two_sided(gap, error)) * sizes, 1)
    beyond = [a for a, fit in fits.items() if a not in known and fit.alpha_50_lower <= lowest.alpha_50_upper]
    words = ", ".join(f"a = {a:g}: {midpoint(known[a])}" for a in ranking[:3])
    return Gaps(gap, gap - reach, gap + reach, adjusted, bool(beyond), words)


def best(N: int, gaps: Gaps | None) -> Part:
    """Whether one value of ``a`` has a lower alpha_50 than all others."""
    holds, found = None, UNKNOWN
    if gaps is not None:
        equal = (gaps.adjusted >= SIGNIFICANT) & (gaps.high < SAME)
        holds = signs(gaps.values, gaps.adjusted) if not gaps.beyond else None
        if holds is None and equal.any():
            holds = False
        found = (
            f"the lowest alpha_50 are those for {gaps.words}; the next is higher with p = "
            f"{gaps.adjusted[0]:.2g}"
        )
    return Part(
        f"N = {N}: one value of a has the lowest alpha_50",
        "the lowest alpha_50 is below every other, be it by little (p < 0.05 after Holm, times the number of "
        f"N); not confirmed if another is not higher in this sense and agrees with it within ±{SAME:g} "
        "(simultaneous 95 % intervals of the gap)",
        Verdict.of(holds),
        found,
    )


def best_by_far(N: int, gaps: Gaps | None) -> Part:
    """Whether one value of ``a`` has a lower alpha_50 than all others by more than a margin."""
    holds, found = None, UNKNOWN
    if gaps is not None:
        far = (gaps.low > SAME).all() and not gaps.beyond
        holds = True if far else (False if (gaps.high < SAME).any() else None)
        found = f"the next is higher by {with_interval(gaps.values[0], gaps.low[0], gaps.high[0])}"
    return Part(
        f"N = {N}: one value of a has the lowest alpha_50 by more than {SAME:g}",
        f"the simultaneous 95 % intervals of the gaps between the lowest alpha_50 and all others are above "
        f"{SAME:g}; not confirmed if one is below",
        Verdict.of(holds),
        found,
    )
