"""Claim 5: the kind of start determines the alpha at which a run recovers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_error
from phasepipe.figures.style import CYCLE, MARKERS, PAGE_WIDTH, new_figure, paper_style
from study.claims.finding import Finding, Part, Sweeps, Tables, Verdict, available, regulariser
from study.claims.recovery import (
    Success,
    draw_curve,
    draw_level,
    draw_midpoints,
    group_curves,
    longest_time,
    midpoint,
    midpoints,
    size_axis,
    start_names,
)
from study.claims.testing import holm, paired_share, signs

SWEEPS = ("starts-a0.01", "starts-a1")

AHEAD = 2  # m0 of warm starts that are tested, in units of the rms overlap 1 / sqrt(N) of random starts

Curves = dict[str, list[Success]]  # by kind of start


def assess(sweeps: Sweeps) -> Finding:
    """Success curves and alpha_50(N) for random, warm, spectral and curvature starts."""
    found = available(sweeps, SWEEPS, ("counts", "theory"))
    parts, tables_out = [], {}
    curves: dict[str, Curves] = {}
    tests = paired_tests(found)
    for name, tables in found.items():
        label, counts = f"a = {regulariser(tables):g}", tables["counts"]
        curves[name] = {kind: group_curves(counts, group) for group, kind in enumerate(start_names(counts))}
        limit = float(tables["theory"]["alpha_threshold"])
        parts += [
            _better(
                label, kind, curves[name], limit, tests[(tests["sweep"] == name) & (tests["kind"] == kind)]
            )
            for kind in curves[name]
            if kind != "random"
        ]
        tables_out[f"alpha_50 with 95 % intervals, {label}"] = midpoints(curves[name])
    figure = _figure(found, curves)
    caption = (
        f"Left: success probability at t = {_times(found)} for every kind of start, with 95 % confidence "
        "intervals and monotone curves. Right: alpha_50 against N; open triangles are bounds where alpha_50 "
        "lies outside the alphas that were run."
    )
    return Finding(parts, figure, caption, tables_out)


def _times(found: Mapping[str, Tables]) -> str:
    return " or ".join(f"{time:g}" for time in sorted({longest_time(tables) for tables in found.values()}))


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


def paired_tests(found: Mapping[str, Tables]) -> pd.DataFrame:
    """Paired differences of P(recovery) from random starts, one row per sweep, kind of start and N.

    Warm starts are tested where they are ahead of random ones: at N with m0 > 2 / sqrt(N). Columns ``sweep,
    kind, N, difference, error, adjusted``, the last with Holm's correction over all rows.
    """
    rows = []
    for name, tables in found.items():
        counts = tables["counts"]
        kinds = start_names(counts)
        for group, kind in enumerate(kinds):
            if kind == "random":
                continue
            m0 = float(counts["start_m0"][group])
            for N in counts["N"].values.tolist():
                if m0 <= AHEAD / np.sqrt(N):  # not of kinds without m0, where it is NaN
                    continue
                paired = paired_share(counts, counts, N, group, kinds.index("random"))
                rows.append((name, kind, N, paired.difference, paired.error, paired.p_value))
    columns = ["sweep", "kind", "N", "difference", "error", "p_value"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(adjusted=holm(table["p_value"]))


def _better(label: str, kind: str, curves: Curves, limit: float, tests: pd.DataFrame) -> Part:
    random = {fit.N: fit for fit in curves["random"]}
    pairs = [(fit, random[fit.N]) for fit in curves[kind] if fit.N in random]
    fit, other = pairs[-1]
    found = "no N was tested"
    if len(tests):
        first, last = tests.iloc[0], tests.iloc[-1]
        found = (
            f"at N = {first['N']} to {last['N']} P is higher by {tests['difference'].min():.2f} to "
            f"{tests['difference'].max():.2f} (at N = {last['N']} by "
            f"{with_error(last['difference'], last['error'])})"
        )
    found += (
        f"; at N = {fit.N}, alpha_50 = {midpoint(fit)}, compared with {midpoint(other)} for random starts"
    )
    if fit.alpha_50_upper < float("inf"):
        found += f"; at most {fit.alpha_50_upper / limit:.0%} of alpha_threshold"
    return Part(
        f"{label}: {kind} starts recover at a lower alpha than random ones",
        "P, averaged over the alphas that were run and paired by instance, is higher than from random starts "
        f"at every N, for warm starts at every N with m0 > {AHEAD:g} / sqrt(N), where few random starts are "
        "as near to the signal (t test, p < 0.05 after Holm over all kinds of start, N and a); not confirmed "
        "if it is lower at any N in the same sense",
        Verdict.of(signs(tests["difference"], tests["adjusted"])),
        found,
    )
