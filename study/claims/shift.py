"""Claim 4: alpha_50(N) is well below alpha_threshold and approaches it slowly; what decides the fate.

The second half is in :mod:`study.claims.decision`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.analysis.text import enumerated, with_interval
from phasepipe.figures.extrapolation import FORM_COLOURS, FORM_LABELS
from phasepipe.figures.scaling_tables import sizes_towards_infinity
from phasepipe.figures.style import CYCLE, MARKERS, PAGE_WIDTH, new_figure, paper_style
from study.claims import window
from study.claims.decision import decided, draw_decision, fates_at_the_window, grows, printed
from study.claims.finding import (
    Finding,
    Part,
    Sweeps,
    Tables,
    Verdict,
    available,
    regulariser,
    rows_of,
)
from study.claims.forms import extrapolated, form, form_table, predicted_row, predictions, slow
from study.claims.recovery import (
    BUDGETS,
    draw_band,
    draw_curves,
    draw_level,
    group_curves,
    limits,
    longest_time,
    midpoint,
    over_time,
    percent,
    size_axis,
)
from study.claims.testing import holm, signs, two_sided

SWEEPS = ("scaling-a0.01", "scaling-a1")
WELL_BELOW = 0.9  # in units of alpha_threshold, as in claim 3


def assess(sweeps: Sweeps) -> Finding:
    """Success curves, alpha_50(N) and its extrapolation, and the time from which |m| predicts the fate."""
    found = available(sweeps, SWEEPS, ("counts", "theory", "fate", "window", "decision"))
    parts: list[Part] = []
    forms, within = [], []
    fates: dict[str, pd.DataFrame] = {}
    others = available(sweeps, window.SWEEPS, ("theory", "fate", "window", "decision")).values()
    with_window = {
        name: [tables, *(other for other in others if _same_loss(tables, other))]
        for name, tables in found.items()
    }
    times = {name: over_time(tables) for name, tables in found.items()}
    extrapolations: dict[str, Extrapolation] = {}
    for name, tables in found.items():
        a, limit = regulariser(tables), float(tables["theory"]["alpha_threshold"])
        label, latest = f"a = {a:g}", limits(times[name])
        within.append(_printed_times(label, times[name]))
        parts.append(below(label, latest, limit, float(tables["theory"]["alpha_init"])))
        if len(_resolved(latest)) >= 2:
            rows = _resolved(latest)
            run = tables["counts"]["runs"].isel(start_group=0).sel(N=rows["N"].tolist()) > 0
            extrapolations[name] = extrapolated(rows, limit, float(run.sum()))
            parts += [slow(label, extrapolations[name]), form(label, extrapolations[name])]
            forms += [form_table(label, extrapolations[name]), predicted_row(label, a, times[name])]
        moments = fates_at_the_window(with_window[name])
        parts += [grows(label, moments), decided(label, moments)]
        fates[name] = moments.assign(a=f"{a:g}")
    tables_out = {
        "alpha_50 within a time t and for unlimited time, with 95 % intervals": pd.concat(
            within, ignore_index=True
        ).fillna("–")
    }
    longest = max(longest_time(tables) for tables in found.values())
    unlimited = all(np.isinf(of_sweep["budget"]).any() for of_sweep in times.values())
    when = "for unlimited time" + (
        "" if unlimited else ", or at the end of the runs where that is not known,"
    )
    if forms:
        tables_out[f"Forms of the shift of alpha_50 {when.rstrip(',')}"] = pd.concat(forms, ignore_index=True)
    tables_out["How well |m| predicts the fate, above alpha_init"] = printed(
        pd.concat(fates.values(), ignore_index=True)
    )
    figure = _figure(found, times, extrapolations, with_window, fates)
    caption = (
        f"From top to bottom: success probability at t = {longest:g} with 95 % confidence intervals and "
        "monotone curves; alpha_50 against N within the times stated, and where the dynamics for N to "
        f"infinity predict it without a fit (dashed); alpha_50 {when} against 1/log N with every form "
        "extrapolated to N = infinity (solid: free limit; dashed: limit of the theory imposed; pale: "
        "rejected); AUC of |m| at time t, that is the probability that a recovered run has a larger |m| "
        "than another run, above alpha_init (also in the sweeps of claim 2), with time in units of t_loss, "
        "the median t_BBP of all runs there, colours as at the top, points with 95 % confidence intervals. "
        "Pale: where marginal minima become unstable, between the most numerous and the lowest ones."
    )
    return Finding(parts, figure, caption, tables_out)


def _same_loss(tables: Tables, other: Tables) -> bool:
    return regulariser(tables) == regulariser(other)


@paper_style()
def _figure(
    found: Mapping[str, Tables],
    times: Mapping[str, pd.DataFrame],
    extrapolations: Mapping[str, Extrapolation],
    with_window: Mapping[str, Sequence[Tables]],
    fates: Mapping[str, pd.DataFrame],
) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.33 * 4)
    grid = figure.subplots(4, len(found), squeeze=False)
    for column, (name, tables) in zip(grid.T, found.items(), strict=True):
        draw_curves(column[0], group_curves(tables["counts"]))
        column[0].set_title(f"a = {regulariser(tables):g}", loc="left")
        column[0].legend(fontsize=6, handletextpad=0.2)
        _draw_times(column[1], times[name], regulariser(tables))
        _draw_shift(column[2], tables, extrapolations.get(name))
        draw_decision(column[3], with_window[name], fates[name])
    return figure


def quotable(sweeps: Sweeps) -> str:
    """Sentence to quote: alpha_50 at three sizes with its interval, and the thresholds of the theory."""
    sentences = []
    for tables in available(sweeps, SWEEPS, ("counts", "theory")).values():
        theory, latest, last = tables["theory"], limits(over_time(tables)), longest_time(tables)
        shown = latest.iloc[sorted({0, len(latest) // 2, len(latest) - 1})]
        unlimited, within = shown[np.isinf(shown["budget"])], shown[np.isfinite(shown["budget"])]
        clauses = []
        if len(unlimited):
            clauses.append(f"in unlimited time at alpha_50 = {_listed(unlimited)}{_if_all(unlimited)}")
        if len(within):
            clauses.append(
                f"by t = {last:g} at alpha_50 = {_listed(within)}, which is an upper bound of the limit"
            )
        sentences.append(
            f"For a = {regulariser(tables):g}, half of the random starts recover the signal "
            f"{'; '.join(clauses)} (95 % confidence intervals; undecided at t = {last:g}). For N to infinity "
            f"the theory gives alpha_init = {float(theory['alpha_init']):.3f}, and for the threshold states "
            f"in 1RSB, an approximation, alpha_threshold = {float(theory['alpha_threshold']):.3f}."
        )
    return " ".join(sentences)


def _listed(rows: pd.DataFrame) -> str:
    return enumerated(f"{midpoint(row)} at N = {row.N}" for row in rows_of(rows))


def _if_all(rows: pd.DataFrame) -> str:
    """What alpha_50 at the largest size would be if all undecided runs recovered; empty without such runs."""
    last = rows.iloc[-1]
    if not last["undecided"] > 0:
        return ""
    return f", or {last['every']} there if all undecided runs recover"


def _resolved(latest: pd.DataFrame) -> pd.DataFrame:
    """The sizes whose alpha_50 is known with its error, in unlimited time if it is for any of them."""
    known = latest[np.isfinite(latest["alpha_50"]) & np.isfinite(latest["alpha_50_error"])]
    unlimited = np.isinf(known["budget"])
    return known[unlimited] if unlimited.any() else known


def below(label: str, latest: pd.DataFrame, limit: float, initial: float) -> Part:
    """Whether alpha_50 is below WELL_BELOW alpha_threshold at every N.

    ``latest`` has the rows of :func:`~study.claims.recovery.limits`.
    """
    resolved = latest[np.isfinite(latest["alpha_50"]) & np.isfinite(latest["alpha_50_error"])]
    distance = WELL_BELOW * limit - resolved["alpha_50"]
    holds = signs(distance, holm(two_sided(distance, resolved["alpha_50_error"])))
    # an alpha_50 outside the grid is known to be below if P exceeds 1/2 on the grid
    others = latest[~latest["N"].isin(resolved["N"])]
    if holds and not (others["alpha_50_upper"] < WELL_BELOW * limit).all():
        holds = None
    known = latest[np.isfinite(latest["alpha_50"])]
    found = "no alpha_50 lies within the alphas that were run"
    if len(known):
        last = next(rows_of(known.tail(1)))
        when = "for unlimited time" if np.isinf(last.budget) else f"within t = {last.budget:g}"
        found = (
            f"alpha_50 = {midpoint(last)} {when} at N = {last.N}, {last.alpha_50 / limit:.0%} of "
            f"alpha_threshold = {limit:.3f}"
        )
        if last.alpha_50_upper < initial:
            found += f", and also below alpha_init = {initial:.3f}"
    return Part(
        f"{label}: at finite N runs recover well below alpha_threshold",
        "alpha_50 for unlimited time (where it is not known, at t_max, which is an upper bound) is below "
        f"{WELL_BELOW:g} alpha_threshold at every N (p < 0.05 after Holm); not confirmed if it is above at "
        "any N in the same sense",
        Verdict.of(holds),
        found,
    )


def _printed_times(label: str, times: pd.DataFrame) -> pd.DataFrame:
    """One row per N, one column per time."""
    longest = times["budget"][np.isfinite(times["budget"])].max()
    rows = []
    for N, of_size in times.groupby("N"):
        row: dict[str, Any] = {"loss": label, "N": N}
        for at in rows_of(of_size.sort_values("budget")):
            row[_when(at.budget)] = (
                at.message
                if at.message and np.isnan(at.alpha_50) and np.isinf(at.budget)
                else (with_interval(at.alpha_50, at.alpha_50_lower, at.alpha_50_upper))
            )
        last = of_size.sort_values("budget").iloc[-1]
        row[f"undecided at t = {longest:g}"] = percent(last["undecided"])
        row["if all undecided runs recover"] = last["every"]
        row[f"width, {_when(last['budget'])}"] = with_interval(
            *(float(last[f"width{end}"]) for end in ("", "_lower", "_upper"))
        )
        rows.append(row)
    return pd.DataFrame(rows)


def _draw_times(axes: Axes, times: pd.DataFrame, a: float) -> None:
    """alpha_50 against N, one line for each time, and what is predicted for it."""
    predicted = predictions(a)
    budgets = set(times["budget"].unique().tolist())
    if np.inf in budgets:  # nearly the same as at the end of the runs
        budgets -= {budget for budget in budgets if np.isfinite(budget) and budget not in BUDGETS}
    for index, budget in enumerate(sorted(budgets)):
        at = times[times["budget"] == budget]
        known = at[np.isfinite(at["alpha_50"])].sort_values("N")
        if known.empty:
            continue
        reach = [known["alpha_50"] - known["alpha_50_lower"], known["alpha_50_upper"] - known["alpha_50"]]
        axes.errorbar(
            known["N"] * 1.02**index, known["alpha_50"], np.where(np.isfinite(reach), reach, 0),
            color=CYCLE[index], marker=MARKERS[index], linewidth=0.9, elinewidth=0.8, capsize=1.5,
            label=_when(budget),
        )  # fmt: skip
        line = predicted[np.isclose(predicted["budget"], budget, rtol=1e-3)].sort_values("N")
        line = line[line["N"].between(times["N"].min(), times["N"].max())]
        if len(line):
            axes.plot(
                line["N"], line["alpha_50"], "--", color=CYCLE[index], label=f"{_when(budget)}, predicted"
            )
    size_axis(axes, sorted(times["N"].unique().tolist()))
    axes.set_ylabel(r"$\alpha_{50}$")
    axes.legend(fontsize=6)


def _when(budget: float) -> str:
    return "t → ∞" if np.isinf(budget) else f"t = {budget:g}"


def _draw_shift(axes: Axes, tables: Tables, extrapolation: Extrapolation | None) -> None:
    theory = tables["theory"]
    limit = float(theory["alpha_threshold"])
    draw_band(axes, theory)
    draw_level(axes, limit, "$α_{threshold}$")
    draw_level(axes, float(theory["alpha_init"]), "$α_{init}$")
    sizes = tables["counts"]["N"].values.astype(float)
    largest = 1 / np.log(sizes.min())
    if extrapolation is not None:
        lines = sizes_towards_infinity(sizes.min())
        for fit in extrapolation.fits:
            axes.plot(
                [*1 / np.log(lines), 0],
                [*fit.predict(lines), fit.limit if np.isfinite(fit.limit) else np.nan],
                "--" if fit.imposed else "-",
                color=FORM_COLOURS[fit.form],
                linewidth=0.9,
                alpha=1.0 if fit.believable else 0.3,
                label=None if fit.imposed else FORM_LABELS[fit.form],
            )
        axes.errorbar(
            1 / np.log(extrapolation.N),
            extrapolation.value,
            extrapolation.reach,
            fmt="ko",
            zorder=5,
        )
        axes.legend(fontsize=6, handlelength=1.2, loc="center right")
        lowest = float(extrapolation.value.min())
        axes.set_ylim(lowest - 0.15 * (limit - lowest), limit + 0.2 * (limit - lowest))
    shown = np.sort(sizes)[[0, (len(sizes) - 1) // 2, -1]]
    axes.set_xticks([0, *(1 / np.log(shown))], ["∞", *(f"{N:g}" for N in shown)])
    axes.set_xlim(-0.005, 1.06 * largest)
    axes.set(xlabel="N, on a scale of 1/log N", ylabel=r"$\alpha_{50}$")
