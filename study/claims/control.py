"""Claim 6: without the window in which curvature points to the signal there is no finite-size advantage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from phasepipe.analysis.text import with_error
from phasepipe.figures.style import BLACK, BLUE, PAGE_WIDTH, THEORY, VERMILION, new_figure, paper_style
from phasepipe.physics.outcomes import Outcome
from study.claims.finding import Finding, Part, Sweeps, Tables, Verdict, available, regulariser, rows_of
from study.claims.recovery import (
    Success,
    draw_band,
    draw_level,
    draw_midpoints,
    group_curves,
    midpoint,
    midpoints,
    size_axis,
    start_names,
)
from study.claims.testing import (
    holm,
    paired_share,
    signs,
    simultaneous_student,
    undetected,
    welch_freedom,
    within,
)

SWEEPS = ("control-a0.01", "control-a1")
WITH_SIGNAL, ZERO_SIGNAL = "control-a0.01", "control-zero-signal"
SAME_ENERGY = 0.02  # relative difference of energies that counts as none
GONE = 0.9  # in units of alpha_threshold: alpha_50 from threshold states above which no advantage remains


def assess(sweeps: Sweeps) -> Finding:
    """alpha_50(N) from random starts and planted threshold states, and final energies without a signal."""
    found = available(sweeps, SWEEPS, ("counts", "theory"))
    zero = available(sweeps, (ZERO_SIGNAL,), ("window", "recovery"))
    parts: list[Part] = []
    tables_out, curves = {}, {}
    tests = paired_tests(found)
    for name, tables in found.items():
        label, counts = f"a = {regulariser(tables):g}", tables["counts"]
        curves[name] = {kind: group_curves(counts, group) for group, kind in enumerate(start_names(counts))}
        limit = float(tables["theory"]["alpha_threshold"])
        random, planted = curves[name]["random"], curves[name]["threshold"]
        parts += [
            _later(label, random, planted, tests[tests["sweep"] == name]),
            _gone(label, random, planted, limit),
        ]
        tables_out[f"alpha_50 with 95 % intervals, {label}"] = midpoints(curves[name])
    energy_tables = [energies(tables, found[WITH_SIGNAL]) for tables in zero.values() if WITH_SIGNAL in found]
    for rows in energy_tables:
        gaps = relative_differences(rows)
        parts += [no_gap(gaps), same_energy(gaps)]
        tables_out[
            "Energy per dimension at the end of runs that do not recover and of runs without a signal"
        ] = _printed(rows)
    figure = _figure(found, curves, energy_tables)
    caption = (
        "alpha_50 from random starts and from planted threshold states, which skip the part of the descent "
        "in which curvature points to the signal, with 95 % confidence intervals. Open triangles are bounds "
        "where alpha_50 lies outside the alphas that were run; where marginal minima become unstable is "
        "shaded. Last panel: energy at the end of runs that do "
        "not recover and of runs without a signal (standard errors), and of the threshold states for N to "
        "infinity (dashed)."
    )
    return Finding(parts, figure, caption, tables_out)


@paper_style()
def _figure(
    found: Mapping[str, Tables],
    curves: Mapping[str, Mapping[str, Sequence[Success]]],
    energy_tables: list[pd.DataFrame],
) -> Figure:
    panels = len(found) + len(energy_tables)
    figure = new_figure(PAGE_WIDTH, 0.38)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, (name, tables) in zip(axes, found.items(), strict=False):
        for kind, colour, marker in (("random", BLUE, "o"), ("threshold", VERMILION, "s")):
            draw_midpoints(axis, curves[name][kind], colour, marker, f"{kind} starts")
        size_axis(axis, [fit.N for fit in curves[name]["random"]])
        axis.set_ylabel(r"$\alpha_{50}$")
        axis.set_title(f"a = {regulariser(tables):g}", loc="left")
        draw_band(axis, tables["theory"])
        draw_level(axis, float(tables["theory"]["alpha_threshold"]), "$α_{threshold}$")
        axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(0, 0.9))
    for rows in energy_tables:
        _draw_energies(axes[-1], rows)
    return figure


def paired_tests(found: Mapping[str, Tables]) -> pd.DataFrame:
    """Paired differences of P(recovery), random less threshold starts, one row per sweep and N.

    Columns ``sweep, N, difference, error, adjusted``, the last with Holm's correction over all rows.
    """
    rows = []
    for name, tables in found.items():
        counts = tables["counts"]
        kinds = start_names(counts)
        random, planted = kinds.index("random"), kinds.index("threshold")
        for N in counts["N"].values.tolist():
            paired = paired_share(counts, counts, N, random, planted)
            rows.append((name, N, paired.difference, paired.error, paired.p_value))
    table = pd.DataFrame(rows, columns=["sweep", "N", "difference", "error", "p_value"])
    return table.assign(adjusted=holm(table["p_value"]))


def _later(label: str, random: Sequence[Success], planted: Sequence[Success], tests: pd.DataFrame) -> Part:
    last = {fit.N: fit for fit in random}
    fit = next(fit for fit in reversed(planted) if fit.N in last)
    return Part(
        f"{label}: without the window before t_BBP, recovery needs a higher alpha",
        "P, averaged over the alphas that were run and paired by instance, is lower from threshold states "
        "than from random starts at every N (t test, p < 0.05 after Holm over N and a); not confirmed if it "
        "is higher at any N in the same sense",
        Verdict.of(signs(tests["difference"], tests["adjusted"])),
        f"P is lower by {tests['difference'].min():.2f} to {tests['difference'].max():.2f}; at N = {fit.N}, "
        f"alpha_50 = {midpoint(fit)} compared with {midpoint(last[fit.N])}",
    )


def _gone(label: str, random: Sequence[Success], planted: Sequence[Success], limit: float) -> Part:
    fit = planted[-1]
    holds = None
    if fit.alpha_50_lower > GONE * limit:
        holds = True
    elif fit.alpha_50_upper < GONE * limit:
        holds = False
    started = {other.N: other.alpha_50 for other in random}.get(fit.N, np.nan)
    share = (fit.alpha_50 - started) / (limit - started)
    found = f"at N = {fit.N}, alpha_50 = {midpoint(fit)} and alpha_threshold = {limit:.3f}"
    if np.isfinite(share):
        found += f"; this is {share:.0%} of the way from alpha_50 of random starts to alpha_threshold"
    return Part(
        f"{label}: without the window before t_BBP, the whole finite-size advantage disappears",
        f"the confidence interval of alpha_50 from threshold states is above {GONE:.0%} of alpha_threshold "
        "at the largest N; not confirmed if it is below",
        Verdict.of(holds),
        found,
    )


def energies(zero: Tables, control: Tables) -> pd.DataFrame:
    """Final energies of runs without a signal and of runs that do not recover, at every common (N, alpha).

    Columns ``N, alpha, runs, zero, zero_error, zero_instances`` (without a signal), ``random, random_error,
    random_instances, threshold, threshold_error, threshold_instances`` (not recovered, by kind of start;
    instances are the independent units of the errors), ``theory`` (threshold states for N to infinity).
    """
    without = zero["window"].isel(start_group=0).sel(fate="all")
    stuck = control["window"].sel(fate="not recovered")
    groups = {name: position for position, name in enumerate(start_names(stuck))}
    failing, computed = _instances(control, Outcome.TRAPPED), _instances(zero, Outcome.RECOVERED)
    rows = []
    for N in np.intersect1d(without["N"], stuck["N"]).tolist():
        for alpha in np.intersect1d(without["alpha"], stuck["alpha"]).tolist():
            at = {"N": N, "alpha": alpha}
            row = at | {"runs": int(without["runs"].sel(at))}
            row |= _energy("zero", without.sel(at), computed.isel(start_group=0).sel(at))
            for name, group in groups.items():
                row |= _energy(
                    name, stuck.sel(at).isel(start_group=group), failing.isel(start_group=group).sel(at)
                )
            row["theory"] = float(control["theory"]["threshold_energy"].sel(alpha=alpha, method="nearest"))
            rows.append(row)
    return pd.DataFrame(rows)


def _instances(tables: Tables, least: Outcome) -> xr.DataArray:
    """Number of instances with a run that ended with this outcome or a later one of the enumeration."""
    outcome = tables["recovery"]["outcome"]
    ended = (outcome >= least) & (outcome <= Outcome.UNDECIDED)
    return ended.any("start").sum("instance")


def _energy(name: str, cell: xr.Dataset, instances: xr.DataArray) -> dict[str, float]:
    return {
        name: float(cell["energy"]),
        f"{name}_error": float(cell["energy_error"]),
        f"{name}_instances": int(instances),
    }


def relative_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Energies of runs that do not recover relative to those without a signal, where both have an error.

    Adds ``gap, low, high`` (simultaneous intervals) and ``adjusted`` (p value, Holm) to ``rows``. A mean
    over few instances has an uncertain error, so all follow Student's t.
    """
    known = rows[np.isfinite(rows["random_error"]) & np.isfinite(rows["zero_error"])]
    gap = (known["random"] - known["zero"]) / known["zero"]
    error = np.hypot(known["random_error"], known["zero_error"]) / known["zero"]
    freedom = welch_freedom(
        known["random_error"], known["random_instances"], known["zero_error"], known["zero_instances"]
    )
    reach = simultaneous_student(len(known), freedom) * error
    adjusted = holm(2 * stats.t.sf(np.abs(gap) / error, freedom))
    return known.assign(gap=gap, low=gap - reach, high=gap + reach, adjusted=adjusted)


def no_gap(gaps: pd.DataFrame) -> Part:
    """Whether no difference between the energies with and without a signal is detected."""
    columns = (gaps[name] for name in ("adjusted", "low", "high"))
    return Part(
        "a = 0.01: no difference between the energy at which runs do not recover and that of runs without a "
        "signal is detected",
        "at no N and alpha do the mean final energies differ (Welch's t test over instances, p < 0.05 after "
        f"Holm), and the simultaneous 95 % confidence intervals are within ±{SAME_ENERGY:.0%}; not "
        "confirmed if they differ anywhere, be it by less than that",
        Verdict.of(undetected(*columns, SAME_ENERGY)),
        "; ".join(f"N = {row.N}, alpha = {row.alpha:.2f}: p = {row.adjusted:.2g}" for row in rows_of(gaps))
        or "no common N and alpha",
    )


def same_energy(gaps: pd.DataFrame) -> Part:
    """Whether runs that do not recover end at the energy of runs without a signal, within a margin."""
    return Part(
        "a = 0.01: runs that do not recover end at the energy of runs without a signal, within "
        f"{SAME_ENERGY:.0%}",
        "the simultaneous 95 % confidence intervals (Student's t) of the relative difference of the mean "
        f"final energies are within ±{SAME_ENERGY:.0%} at every N and alpha; not confirmed if one is outside",
        Verdict.of(within(gaps["low"], gaps["high"], SAME_ENERGY)),
        "; ".join(
            f"N = {row.N}, alpha = {row.alpha:.2f}: {with_error(row.random, row.random_error)} from "
            f"{row.random_instances} instances compared with {with_error(row.zero, row.zero_error)} from "
            f"{row.zero_instances} without a signal (difference {row.gap:.1%} [{row.low:.1%}, "
            f"{row.high:.1%}])"
            for row in rows_of(gaps)
        )
        or "no common N and alpha",
    )


def _printed(rows: pd.DataFrame) -> pd.DataFrame:
    table = rows[["N", "runs"]].assign(alpha=rows["alpha"].map("{:.2f}".format))
    for name, title in (
        ("zero", "no signal"),
        ("random", "random starts"),
        ("threshold", "threshold starts"),
    ):
        table[f"energy, {title}"] = [with_error(*row) for row in rows[[name, f"{name}_error"]].to_numpy()]
    return table.assign(**{"theory, N → ∞": rows["theory"].map("{:.3f}".format)})


def _draw_energies(axes: Axes, rows: pd.DataFrame) -> None:
    looks = {
        "zero": ("no signal", BLACK, "^"),
        "random": ("random", BLUE, "o"),
        "threshold": ("threshold", VERMILION, "s"),
    }
    for position, (alpha, at) in enumerate(rows.groupby("alpha")):
        for name, (label, colour, marker) in looks.items():
            axes.errorbar(
                at["N"], at[name], at[f"{name}_error"], color=colour, marker=marker, elinewidth=0.8,
                label=None if position else label,
            )  # fmt: skip
        axes.axhline(at["theory"].iloc[0], **THEORY)
        axes.annotate(f"α = {alpha:.3g}", (at["N"].iloc[-1], at["theory"].iloc[0]), (0, 2), fontsize=6.5,
                      textcoords="offset points", ha="right")  # fmt: skip
    size_axis(axes, rows["N"].unique().tolist())
    axes.set_ylabel("final energy per dimension")
    axes.set_title("not recovered, a = 0.01", loc="left")
    axes.legend(fontsize=6)
