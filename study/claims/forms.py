"""How the shift of alpha_50 depends on N: how slowly it decays, which form it has, and where it ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from phasepipe.analysis.extrapolation import Extrapolation, GivenCurve, extrapolate
from phasepipe.analysis.size_fit import Form, SizeFit, fit_form
from phasepipe.analysis.text import with_interval
from study.claims.finding import Part, Verdict
from study.predictions import ALPHA_50, REFERENCE

SLOW = 0.5  # exponent omega below which the shift decays more slowly than 1/sqrt(N)
APART = 6  # difference of AICc from which on a form is preferred
PREDICTED_AT = 100.0  # longest time for which the dynamics predict alpha_50


def extrapolated(rows: pd.DataFrame, limit: float, observations: float) -> Extrapolation:
    """Every form fitted to alpha_50 over N, with a free limit and with ``limit`` imposed."""
    return extrapolate(
        rows["N"], rows["alpha_50"], rows["alpha_50_error"], imposed_limit=limit, observations=observations
    )


def _fit(extrapolation: Extrapolation, form: Form, *, imposed: bool) -> SizeFit:
    return next(fit for fit in extrapolation.fits if fit.imposed == imposed and fit.form == form)


def slow(label: str, extrapolation: Extrapolation) -> Part:
    """Whether a shift to alpha_threshold decays slowly; the limit is fitted, so that it can speak against."""
    statement = f"{label}: the shift alpha_threshold - alpha_50(N) decays very slowly"
    criterion = (
        "a power law N^-omega with a free limit fits (p > 0.01), the 95 % confidence interval of its limit "
        f"contains alpha_threshold, and that of omega is below {SLOW:g}; not confirmed if that of omega is "
        "above, or if the interval of the limit of no plausible form (more than 5 % of the AICc weight) "
        "contains alpha_threshold"
    )
    if len(extrapolation.N) < 3:
        return Part(statement, criterion, Verdict.UNDECIDED, "fewer than three sizes")
    limit = extrapolation.imposed_limit
    assert limit is not None
    power, imposed = (_fit(extrapolation, "power", imposed=kind) for kind in (False, True))
    lower, upper = power.omega_interval
    plausible = extrapolation.plausible
    holds = None
    if power.believable and _contains(power, limit) and upper < SLOW:
        holds = True
    elif lower > SLOW or (plausible and not any(_contains(fit, limit) for fit in plausible)):
        holds = False
    shift = limit - extrapolation.value
    omega = power.at_bound or f"omega = {with_interval(power.omega, lower, upper)}"
    nested = ", ".join(
        f"p = {p:.2g} ({_fit(extrapolation, form, imposed=True).formula})"
        for form, p in nested_p(extrapolation).items()
    )
    found = (
        f"the shift is {shift[0]:.2f} at N = {extrapolation.N[0]:g} and {shift[-1]:.2f} at "
        f"N = {extrapolation.N[-1]:g}; with a free limit {omega} and the limit is "
        f"{with_interval(power.limit, *power.limit_interval, digits=2)}; alpha_threshold against a free "
        f"limit: {nested}; with alpha_threshold imposed omega = "
        f"{with_interval(imposed.omega, *imposed.omega_interval)}, but any limit above the data makes omega "
        "small"
    )
    return Part(statement, criterion, Verdict.of(holds), found)


def _contains(fit: SizeFit, limit: float) -> bool:
    lower, upper = fit.limit_interval
    return lower <= limit <= upper


def nested_p(extrapolation: Extrapolation) -> dict[Form, float]:
    """P value of the imposed limit against a free one, for each form (one degree of freedom)."""
    forms: tuple[Form, ...] = ("power", "inverse_log")
    worse = {
        form: _fit(extrapolation, form, imposed=True).chi2 - _fit(extrapolation, form, imposed=False).chi2
        for form in forms
    }
    return {form: float(stats.chi2.sf(max(excess, 0.0), 1)) for form, excess in worse.items()}


def form(label: str, extrapolation: Extrapolation) -> Part:
    """Whether the shift to alpha_threshold is c / log(N / N0) and nothing else."""
    imposed = [fit for fit in extrapolation.fits if fit.imposed]
    fitting = [fit for fit in imposed if fit.believable]
    logarithmic = [fit for fit in fitting if fit.form == "inverse_log"]
    best = min(imposed, key=lambda fit: fit.aicc)
    behind = {fit.form: fit.aicc - best.aicc for fit in imposed}
    if not logarithmic or behind["inverse_log"] > APART:
        holds: bool | None = False
    else:
        holds = (
            True if all(behind[fit.form] > APART for fit in fitting if fit.form != "inverse_log") else None
        )
    plausible = ", ".join(f"{fit.formula} to {_limit(fit)}" for fit in extrapolation.plausible)
    ranking = ", ".join(f"{fit.formula} p = {p_value(fit)}, AICc +{behind[fit.form]:.1f}" for fit in imposed)
    free = f"{plausible}; together, a limit {_range(extrapolation)}" if plausible else "no form fits"
    return Part(
        f"{label}: the shift is logarithmic, alpha_threshold - c / log(N / N0)",
        "with the limit alpha_threshold imposed, c / log(N / N0) fits (p > 0.01) and every other form that "
        f"fits has an AICc larger by more than {APART}; not confirmed if c / log(N / N0) does not fit or its "
        f"AICc is more than {APART} above the lowest",
        Verdict.of(holds),
        f"with the limit imposed: {ranking}; {_power(extrapolation)}; with a free limit: {free}",
    )


def distinction(extrapolation: Extrapolation) -> float:
    """Chi-squared by which a power law is expected to miss c / log(N / N0), both to the imposed limit."""
    truth = _fit(extrapolation, "inverse_log", imposed=True).predict(extrapolation.N)
    missed = fit_form(
        "power", extrapolation.imposed_limit, extrapolation.N, truth, extrapolation.error, extrapolation.level
    )
    return missed.result().chi2


def _power(extrapolation: Extrapolation) -> str:
    """In words, whether these data could have told the forms apart."""
    expected = distinction(extrapolation)
    if expected > APART:
        return f"if the former is the truth, an AICc difference of {expected:.0f} is expected"
    return (
        f"if the former is the truth, the two are expected to differ by {expected:.2g} in chi2: these data "
        f"cannot tell them apart, which takes about {APART / expected:.0f} times as many runs at these N"
    )


def _limit(fit: SizeFit) -> str:
    """The limit with its interval."""
    return "no limit" if fit.form == "log_linear" else with_interval(fit.limit, *fit.limit_interval, digits=2)


def _range(extrapolation: Extrapolation) -> str:
    lower, upper = extrapolation.limit_range
    return (
        f"between {lower:.2f} and {upper:.2f}" if np.isfinite(upper) else f"of at least {lower:.2f} or none"
    )


def p_value(fit: SizeFit | GivenCurve) -> str:
    """P value of chi-squared, to two digits."""
    return f"{fit.goodness:.2g}" if np.isfinite(fit.goodness) else "–"


def form_table(label: str, extrapolation: Extrapolation) -> pd.DataFrame:
    """Every form fitted, one row each."""
    rows = [
        {
            "loss": label,
            "form": fit.formula,
            "limit": f"{fit.limit:.3f} imposed" if fit.imposed else _limit(fit),
            "omega": with_interval(fit.omega, *fit.omega_interval) if np.isfinite(fit.omega) else "–",
            "χ²/dof": f"{fit.chi2:.1f}/{fit.degrees_of_freedom}",
            "p": p_value(fit),
            "AICc weight": f"{fit.weight:.2f}",
        }
        for fit in extrapolation.fits
    ]
    return pd.DataFrame(rows)


def predicted_row(label: str, a: float, times: pd.DataFrame) -> pd.DataFrame:
    """What the dynamics predict without a fit, against alpha_50 within the longest time that they cover.

    ``times`` is that of :func:`~study.claims.recovery.over_time`. The errors of the prediction are added;
    they are correlated between sizes, so that chi-squared is a guide. Empty without two sizes in common.
    """
    known = predictions(a)
    both = times[times["budget"] == PREDICTED_AT].merge(
        known[np.isclose(known["budget"], PREDICTED_AT)], on="N", suffixes=("", "_predicted")
    )
    both = both[np.isfinite(both["alpha_50"]) & np.isfinite(both["alpha_50_error"])]
    if len(both) < 2:
        return pd.DataFrame()
    error = np.hypot(both["alpha_50_error"], both["error"])
    curve = extrapolate(both["N"], both["alpha_50"], error).hold_against(
        "dynamics, no fit", both["alpha_50_predicted"]
    )
    row = {
        "loss": label,
        "form": f"{curve.name}, t = {PREDICTED_AT:g}",
        "limit": "–",
        "omega": "–",
        "χ²/dof": f"{curve.chi2:.1f}/{curve.degrees_of_freedom}",
        "p": p_value(curve),
        "AICc weight": "–",
    }
    return pd.DataFrame([row])


def predictions(a: float) -> pd.DataFrame:
    """alpha_50(N, T) that the dynamics for N to infinity predict; columns ``budget, N, alpha_50, error``."""
    path = REFERENCE / ALPHA_50
    if not path.exists():
        return pd.DataFrame(columns=["budget", "N", "alpha_50", "error"], dtype=float)
    table = pd.read_csv(path)
    return table[np.isclose(table["a"], a)]
