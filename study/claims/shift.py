"""Claim 4: alpha_50(N) is well below alpha_threshold and approaches it slowly; what decides the fate.

The second half is in :mod:`study.claims.decision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.extrapolation import Extrapolation, extrapolate
from phasepipe.analysis.size_fit import SizeFit
from phasepipe.analysis.text import with_interval
from phasepipe.figures.extrapolation import FORM_COLOURS, FORM_LABELS
from phasepipe.figures.scaling_tables import sizes_towards_infinity
from phasepipe.figures.style import CYCLE, MARKERS, PAGE_WIDTH, new_figure, paper_style
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
from study.claims.recovery import (
    BUDGETS,
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
from study.predictions import ALPHA_50, REFERENCE

SWEEPS = ("scaling-a0.01", "scaling-a1")
SLOW = 0.5  # exponent omega below which the shift decays more slowly than 1/sqrt(N)


def assess(sweeps: Sweeps) -> Finding:
    """Success curves, alpha_50(N) and its extrapolation, and the time from which |m| predicts the fate."""
    found = available(sweeps, SWEEPS, ("counts", "theory", "fate", "window", "decision"))
    parts: list[Part] = []
    forms, fates, within = [], [], []
    times = {name: over_time(tables) for name, tables in found.items()}
    extrapolations: dict[str, Extrapolation] = {}
    for name, tables in found.items():
        a, limit = regulariser(tables), float(tables["theory"]["alpha_threshold"])
        label, latest = f"a = {a:g}", limits(times[name])
        within.append(_printed_times(label, times[name]))
        parts.append(below(label, latest, limit, float(tables["theory"]["alpha_init"])))
        if len(_resolved(latest)) >= 2:
            extrapolations[name] = _extrapolated(latest, tables["counts"], limit)
            parts.append(_slow(label, extrapolations[name]))
            parts.append(_form(label, extrapolations[name]))
            forms.append(_form_table(label, extrapolations[name]))
        moments = fates_at_the_window(tables)
        parts += [grows(label, moments), decided(label, moments)]
        fates.append(moments.assign(a=f"{a:g}"))
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
    tables_out["How well |m| predicts the fate, at the alpha whose P is nearest to 1/2"] = printed(
        pd.concat(fates, ignore_index=True)
    )
    figure = _figure(found, times, extrapolations)
    caption = (
        f"From top to bottom: success probability at t = {longest:g} with 95 % confidence intervals and "
        "monotone curves; alpha_50 against N within the times stated, and where the dynamics for N to "
        f"infinity predict it without a fit (dashed); alpha_50 {when} against 1/log N with every form "
        "extrapolated to N = infinity (solid: free limit; dashed: limit of the theory imposed; pale: "
        "rejected); AUC of |m| at time t, that is the probability that a recovered run has a larger |m| "
        "than another run, at the alpha whose P is nearest to 1/2, with time in units of the median t_BBP, "
        "colours as at the top, points with 95 % confidence intervals."
    )
    return Finding(parts, figure, caption, tables_out)


@paper_style()
def _figure(
    found: Mapping[str, Tables],
    times: Mapping[str, pd.DataFrame],
    extrapolations: Mapping[str, Extrapolation],
) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.33 * 4)
    grid = figure.subplots(4, len(found), squeeze=False)
    for column, (name, tables) in zip(grid.T, found.items(), strict=True):
        draw_curves(column[0], group_curves(tables["counts"]))
        column[0].set_title(f"a = {regulariser(tables):g}", loc="left")
        column[0].legend(fontsize=6, handletextpad=0.2)
        _draw_times(column[1], times[name], regulariser(tables))
        _draw_shift(column[2], tables, extrapolations.get(name))
        draw_decision(column[3], tables)
    return figure


def quotable(sweeps: Sweeps) -> str:
    """Sentence to quote: alpha_50 at every N with its interval, and the thresholds of the theory."""
    sentences = []
    for tables in available(sweeps, SWEEPS, ("counts", "theory")).values():
        theory, latest, last = tables["theory"], limits(over_time(tables)), longest_time(tables)
        unlimited = latest[np.isinf(latest["budget"])]
        within = latest[np.isfinite(latest["budget"])]
        clauses = []
        if len(unlimited):
            clauses.append(f"in unlimited time at alpha_50 = {_listed(unlimited)}")
        if len(within):
            clauses.append(
                f"by t = {last:g} at alpha_50 = {_listed(within)}, which is an upper bound of the limit"
            )
        sentences.append(
            f"For a = {regulariser(tables):g}, half of the random starts recover the signal "
            f"{'; '.join(clauses)} (95 % confidence intervals; in brackets the share of the runs there that "
            f"were undecided at t = {last:g}); for N to infinity the theory gives alpha_init = "
            f"{float(theory['alpha_init']):.4f} and alpha_threshold = {float(theory['alpha_threshold']):.6f}."
        )
    return " ".join(sentences)


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(f"{midpoint(row)} at N = {row.N}" for row in rows_of(rows))


def _resolved(latest: pd.DataFrame) -> pd.DataFrame:
    """The sizes whose alpha_50 is known with its error, in unlimited time if it is for any of them."""
    known = latest[np.isfinite(latest["alpha_50"]) & np.isfinite(latest["alpha_50_error"])]
    unlimited = np.isinf(known["budget"])
    return known[unlimited] if unlimited.any() else known


def below(label: str, latest: pd.DataFrame, limit: float, initial: float) -> Part:
    """Whether alpha_50 is below alpha_threshold at every N.

    ``latest`` has the rows of :func:`~study.claims.recovery.limits`.
    """
    resolved = latest[np.isfinite(latest["alpha_50"]) & np.isfinite(latest["alpha_50_error"])]
    distance = limit - resolved["alpha_50"]
    holds = signs(distance, holm(two_sided(distance, resolved["alpha_50_error"])))
    # an alpha_50 outside the grid is known to be below the threshold if P exceeds 1/2 on the grid
    others = latest[~latest["N"].isin(resolved["N"])]
    if holds and not (others["alpha_50_upper"] < limit).all():
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
        "alpha_threshold at every N (p < 0.05 after Holm); not confirmed if it is above at any N in the same "
        "sense",
        Verdict.of(holds),
        found,
    )


def _extrapolated(latest: pd.DataFrame, counts: xr.Dataset, limit: float) -> Extrapolation:
    rows = _resolved(latest)
    run = counts["runs"].isel(start_group=0).sel(N=rows["N"].tolist()) > 0
    return extrapolate(
        rows["N"],
        rows["alpha_50"],
        rows["alpha_50_error"],
        imposed_limit=limit,
        observations=float(run.sum()),
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
        row["undecided"] = percent(of_size.sort_values("budget")["undecided"].iloc[-1])
        rows.append(row)
    return pd.DataFrame(rows).rename(columns={"undecided": f"undecided at t = {longest:g}"})


def _imposed(extrapolation: Extrapolation, form: str) -> SizeFit | None:
    return next((fit for fit in extrapolation.fits if fit.imposed and fit.form == form), None)


def _slow(label: str, extrapolation: Extrapolation) -> Part:
    power = _imposed(extrapolation, "power")
    assert power is not None
    assert extrapolation.imposed_limit is not None
    shift = extrapolation.imposed_limit - extrapolation.value
    lower, upper = power.omega_interval
    holds = None
    if power.believable and (upper < SLOW or lower > SLOW):
        holds = upper < SLOW
    misfit = "" if power.believable else f", which does not fit (p = {power.goodness:.1g})"
    return Part(
        f"{label}: the shift alpha_threshold - alpha_50(N) decays very slowly",
        f"a power law N^-omega with the limit alpha_threshold fits, and the confidence interval of omega is "
        f"below {SLOW:g}; not confirmed if it is above",
        Verdict.of(holds),
        f"the shift is {shift[0]:.2f} at N = {extrapolation.N[0]:g} and {shift[-1]:.2f} at "
        f"N = {extrapolation.N[-1]:g}; omega = {with_interval(power.omega, lower, upper)}{misfit}",
    )


def _form(label: str, extrapolation: Extrapolation) -> Part:
    imposed = [fit for fit in extrapolation.fits if fit.imposed]
    fitting = [fit for fit in imposed if fit.believable]
    logarithmic = [fit for fit in fitting if fit.form == "inverse_log"]
    best = min(imposed, key=lambda fit: fit.aicc)
    behind = {fit.form: fit.aicc - best.aicc for fit in imposed}
    if not logarithmic or behind["inverse_log"] > 6:
        holds: bool | None = False
    else:
        holds = True if all(behind[fit.form] > 6 for fit in fitting if fit.form != "inverse_log") else None
    plausible = ", ".join(
        f"{fit.formula} to {with_interval(fit.limit, *fit.limit_interval, digits=2)}"
        for fit in extrapolation.plausible
    )
    ranking = ", ".join(f"{fit.formula} p = {_p_value(fit)}, AICc +{behind[fit.form]:.1f}" for fit in imposed)
    return Part(
        f"{label}: the shift is logarithmic, alpha_threshold - c / log(N / N0)",
        "with the limit alpha_threshold imposed, c / log(N / N0) fits (p > 0.01) and every other form that "
        "fits has an AICc larger by more than 6; not confirmed if c / log(N / N0) does not fit or its AICc "
        "is more than 6 above the lowest",
        Verdict.of(holds),
        f"with the limit imposed: {ranking}; with a free limit: {plausible or 'no form fits'}",
    )


def _p_value(fit: SizeFit) -> str:
    return f"{fit.goodness:.2g}" if np.isfinite(fit.goodness) else "–"


def _form_table(label: str, extrapolation: Extrapolation) -> pd.DataFrame:
    rows = [
        {
            "loss": label,
            "form": fit.formula,
            "limit": f"{fit.limit:.3f} imposed"
            if fit.imposed
            else with_interval(fit.limit, *fit.limit_interval, digits=2),
            "omega": with_interval(fit.omega, *fit.omega_interval) if np.isfinite(fit.omega) else "–",
            "χ²/dof": f"{fit.chi2:.1f}/{fit.degrees_of_freedom}",
            "p": _p_value(fit),
            "AICc weight": f"{fit.weight:.2f}",
        }
        for fit in extrapolation.fits
    ]
    return pd.DataFrame(rows)


def predictions(a: float) -> pd.DataFrame:
    """alpha_50(N, T) that the dynamics for N to infinity predict; columns ``budget, N, alpha_50``."""
    path = REFERENCE / ALPHA_50
    if not path.exists():
        return pd.DataFrame(columns=["budget", "N", "alpha_50"], dtype=float)
    table = pd.read_csv(path)
    return table[np.isclose(table["a"], a)]


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
