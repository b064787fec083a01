"""Claim 6: without the window there is no finite-size advantage."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from phasepipe.analysis.claims.finding import (
    Finding,
    Part,
    Sweeps,
    Tables,
    Verdict,
    available,
    ranged,
    regulariser,
)
from phasepipe.analysis.claims.recovery import (
    draw_level,
    draw_midpoints,
    group_curves,
    midpoint,
    midpoints,
    size_axis,
    start_names,
)
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.style import BLUE, CYCLE, MARKERS, PAGE_WIDTH, VERMILION, new_figure, paper_style

SWEEPS = ("control-a0.01", "control-a1")
ZERO_SIGNAL = "control-zero-signal"
GONE = 0.9  # of alpha_threshold: what alpha_50 from threshold states has to reach for the advantage to be gone


def assess(sweeps: Sweeps) -> Finding:
    """alpha_50(N) from random starts and from planted threshold states; and what is left without signal."""
    found = available(sweeps, SWEEPS, ("counts", "theory"))
    zero = available(sweeps, (ZERO_SIGNAL,), ("counts", "window", "decision"))
    parts, tables_out, curves = [], {}, {}
    for name, tables in found.items():
        label, counts = f"a = {regulariser(tables):g}", tables["counts"]
        curves[name] = {kind: group_curves(counts, group) for group, kind in enumerate(start_names(counts))}
        limit = float(tables["theory"]["alpha_threshold"])
        random, planted = curves[name]["random"], curves[name]["threshold"]
        parts += [_later(label, random, planted), _gone(label, random, planted, limit)]
        tables_out[f"alpha_50 with 95 % intervals, {label}"] = midpoints(curves[name])
    for tables in zero.values():
        parts.append(_nothing(tables))
        tables_out["Zero-signal control"] = zero_signal_rows(tables)
    with paper_style():
        panels = len(found) + len(zero)
        figure = new_figure(PAGE_WIDTH, 0.38)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for axis, (name, tables) in zip(axes, found.items(), strict=False):
            for kind, colour, marker in (("random", BLUE, "o"), ("threshold", VERMILION, "s")):
                draw_midpoints(axis, curves[name][kind], colour, marker, f"{kind} starts")
            size_axis(axis, [fit.N for fit in curves[name]["random"]])
            axis.set_ylabel(r"$\alpha_{50}$")
            axis.set_title(f"a = {regulariser(tables):g}", loc="left")
            draw_level(axis, float(tables["theory"]["alpha_threshold"]), "$α_{threshold}$")
            axis.legend(fontsize=6, loc="center right")
        for tables in zero.values():
            _draw_zero(axes[-1], tables)
    caption = (
        "alpha_50 from random starts and from planted threshold states, which lack the descent in which the "
        "window is open; 95 % intervals, open triangles are bounds where the grid of alpha does not contain it. "
        "Last panel: without signal, share of the runs that ever have an outlier, 95 % intervals."
    )
    return Finding(parts, figure, caption, tables_out)


def _later(label: str, random: list[CurveFit], planted: list[CurveFit]) -> Part:
    later = {fit.N: fit for fit in planted}
    pairs = [(fit, later[fit.N]) for fit in random if fit.N in later]
    higher = [fit.alpha_50_upper < other.alpha_50_lower for fit, other in pairs]
    holds = None
    if pairs:
        holds = (
            True
            if all(higher)
            else (False if any(fit.alpha_50_lower > other.alpha_50_upper for fit, other in pairs) else None)
        )
    fit, other = pairs[-1]
    return Part(
        f"{label}: without the window recovery needs a higher alpha",
        "the interval of alpha_50 from threshold states lies above that of random starts at every N; not confirmed if "
        "it lies below at one",
        Verdict.of(holds),
        f"at N = {fit.N} {midpoint(other)} against {midpoint(fit)}; higher at {sum(higher)} of {len(pairs)} N",
    )


def _gone(label: str, random: list[CurveFit], planted: list[CurveFit], limit: float) -> Part:
    fit = planted[-1]
    holds = None
    if fit.alpha_50_lower > GONE * limit:
        holds = True
    elif fit.alpha_50_upper < GONE * limit:
        holds = False
    started = {other.N: other.alpha_50 for other in random}.get(fit.N, np.nan)
    share = (fit.alpha_50 - started) / (limit - started)
    found = f"at N = {fit.N} alpha_50 = {midpoint(fit)}, alpha_threshold = {limit:.3f}"
    if np.isfinite(share):
        found += f"; {share:.0%} of the distance from random starts to alpha_threshold"
    return Part(
        f"{label}: with the window the whole finite-size advantage goes",
        f"alpha_50 from threshold states reaches {GONE:.0%} of alpha_threshold at the largest N, by its interval",
        Verdict.of(holds),
        found,
    )


def zero_signal_rows(tables: Tables) -> pd.DataFrame:
    """Runs, recoveries and the share of runs that ever have an outlier, by (N, alpha)."""
    counts = tables["counts"].isel(start_group=0).sum("instance")
    window = tables["window"].isel(start_group=0).sel(fate="all")
    rows = []
    for N in counts["N"].values.tolist():
        for alpha in counts["alpha"].values.tolist():
            at = {"N": N, "alpha": alpha}
            runs = int(counts["runs"].sel(at))
            if runs:
                ever, low, high = _ever(float(window["never"].sel(at)), runs)
                rows.append(
                    at
                    | {
                        "runs": runs,
                        "recovered": int(counts["recovered"].sel(at)),
                        "ever an outlier": ranged(ever, low, high, 3),
                        "median t_BBP": f"{float(window['t_bbp_median'].sel(at)):.2f}",
                    }
                )
    return pd.DataFrame(rows)


def _ever(never: float, runs: int) -> tuple[float, float, float]:
    """Share that ever has an outlier, with the exact 95 % interval of independent runs."""
    hits = round((1 - never) * runs)
    interval = stats.binomtest(hits, runs).proportion_ci()
    return hits / runs, float(interval.low), float(interval.high)


def _nothing(tables: Tables) -> Part:
    rows = zero_signal_rows(tables)
    return Part(
        "zero signal: nothing is recovered",
        "no run of the control recovers",
        Verdict.of(not rows["recovered"].any()),
        f"{rows['recovered'].sum()} of {rows['runs'].sum()} runs; an outlier, at any time, by chance: "
        + "; ".join(f"{row[4]} at N = {row[0]}, alpha = {row[1]:.2f}" for row in rows.to_numpy().tolist()),
    )


def _draw_zero(axes: Axes, tables: Tables) -> None:
    counts = tables["counts"].isel(start_group=0).sum("instance")
    never = tables["window"].isel(start_group=0).sel(fate="all")["never"]
    for index, alpha in enumerate(counts["alpha"].values.tolist()):
        sizes = [N for N in counts["N"].values.tolist() if int(counts["runs"].sel(N=N, alpha=alpha))]
        found = np.array(
            [
                _ever(float(never.sel(N=N, alpha=alpha)), int(counts["runs"].sel(N=N, alpha=alpha)))
                for N in sizes
            ]
        )
        axes.errorbar(
            sizes, found[:, 0], np.maximum([found[:, 0] - found[:, 1], found[:, 2] - found[:, 0]], 0),
            color=CYCLE[index % len(CYCLE)], marker=MARKERS[index % len(MARKERS)], elinewidth=0.8, label=f"α = {alpha:.3g}",
        )  # fmt: skip
    size_axis(axes, counts["N"].values.tolist())
    axes.set(ylabel="share ever with outlier", ylim=(-0.03, 1.03))
    axes.set_title("zero signal, a = 0.01", loc="left")
    axes.legend(fontsize=6)

