"""Claim 5: the kind of start determines the alpha at which a run recovers."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from phasepipe.analysis.curves import CurveFit
from phasepipe.figures.style import CYCLE, MARKERS, PAGE_WIDTH, new_figure, paper_style
from study.claims.finding import Finding, Part, Sweeps, Tables, Verdict, available, regulariser
from study.claims.recovery import (
    draw_curve,
    draw_level,
    draw_midpoints,
    group_curves,
    midpoint,
    midpoints,
    size_axis,
    start_names,
)

SWEEPS = ("starts-a0.01", "starts-a1")

Curves = dict[str, list[CurveFit]]  # by kind of start


def assess(sweeps: Sweeps) -> Finding:
    """Success curves and alpha_50(N) for random, warm, spectral and curvature starts."""
    found = available(sweeps, SWEEPS, ("counts", "theory"))
    parts, tables_out = [], {}
    curves: dict[str, Curves] = {}
    for name, tables in found.items():
        label, counts = f"a = {regulariser(tables):g}", tables["counts"]
        curves[name] = {kind: group_curves(counts, group) for group, kind in enumerate(start_names(counts))}
        limit = float(tables["theory"]["alpha_threshold"])
        parts += [_better(label, kind, curves[name], limit) for kind in curves[name] if kind != "random"]
        tables_out[f"alpha_50 with 95 % intervals, {label}"] = midpoints(curves[name])
    figure = _figure(found, curves)
    caption = (
        "Left: success probability at t = 100 for every kind of start, with 95 % confidence intervals and "
        "logistic fits. Right: alpha_50 against N; open triangles are bounds where alpha_50 lies outside the "
        "alphas that were run."
    )
    return Finding(parts, figure, caption, tables_out)


@paper_style()
def _figure(found: Mapping[str, Tables], curves: dict[str, Curves]) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.4 * len(found))
    grid = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), (name, tables) in zip(grid, found.items(), strict=True):
        sizes = sorted({fit.N for of_kind in curves[name].values() for fit in of_kind})
        shown = _middle(curves[name], sizes)
        for index, (kind, fits) in enumerate(curves[name].items()):
            draw_midpoints(right, fits, CYCLE[index], MARKERS[index], kind)
            for fit in fits:
                if shown == fit.N:
                    draw_curve(left, fit, CYCLE[index], MARKERS[index], kind)
        left.axhline(0.5, color="0.8", linewidth=0.6, zorder=0)
        left.set(xlabel="α = M/N", ylabel="success probability P", ylim=(-0.03, 1.03))
        left.set_title(f"a = {regulariser(tables):g}, N = {shown}", loc="left")
        size_axis(right, sizes)
        right.set_ylabel(r"$\alpha_{50}$")
        draw_level(right, float(tables["theory"]["alpha_threshold"]), "$α_{threshold}$")
        draw_level(right, float(tables["theory"]["alpha_init"]), "$α_{init}$")
    grid[0, 0].legend(fontsize=6)
    return figure


def _middle(curves: Curves, sizes: list[int]) -> int:
    """The largest N among those with the most alphas."""
    cells = {N: max(len(fit.cells) for fits in curves.values() for fit in fits if fit.N == N) for N in sizes}
    return max(N for N in sizes if cells[N] == max(cells.values()))


def _better(label: str, kind: str, curves: Curves, limit: float) -> Part:
    random = {fit.N: fit for fit in curves["random"]}
    pairs = [(fit, random[fit.N]) for fit in curves[kind] if fit.N in random]
    lower = [fit.alpha_50_upper < other.alpha_50_lower for fit, other in pairs]
    higher = [fit.alpha_50_lower > other.alpha_50_upper for fit, other in pairs]
    holds = True if pairs and all(lower) else (False if any(higher) else None)
    fit, other = pairs[-1]
    found = (
        f"at N = {fit.N}, alpha_50 = {midpoint(fit)}, compared with {midpoint(other)} for random starts; "
        f"lower at {sum(lower)} of {len(pairs)} values of N"
    )
    if fit.alpha_50_upper < float("inf"):
        found += f"; at most {fit.alpha_50_upper / limit:.0%} of alpha_threshold"
    return Part(
        f"{label}: {kind} starts recover at a lower alpha than random ones",
        "the confidence interval of alpha_50 is below that of random starts at every N; not confirmed if it "
        "is above at any N",
        Verdict.of(holds),
        found,
    )
