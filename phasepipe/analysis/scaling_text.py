"""Finite-size scaling as text: a verdict of one sentence, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasepipe.analysis.collapse_points import Collapse
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.analysis.scaling import ScalingStudy
from phasepipe.analysis.size_fit import Interval, SizeFit
from phasepipe.analysis.text import (
    enumerated,
    interval,
    markdown_table,
    number,
    with_interval,
    with_stored_interval,
)


def verdict(extrapolation: Extrapolation) -> str:
    """One sentence with the forms that the data allow, the limit of each, and the agreement with theory."""
    name, plausible = extrapolation.quantity, extrapolation.plausible
    sizes = f"{len(extrapolation.N)} sizes, N = {extrapolation.N[0]:g} to {extrapolation.N[-1]:g}"
    if not plausible:
        forms = ", ".join(dict.fromkeys(fit.formula for fit in extrapolation.fits if not fit.imposed))
        return (
            f"None of the forms {forms} describes {name} over {sizes}, so its limit is not determined"
            f"{_theory(extrapolation)}."
        )
    described = [f"{fit.formula} ({_limit(fit)})" for fit in plausible]
    if len(plausible) == 1:
        excluded = [fit for fit in extrapolation.fits if not fit.imposed and fit not in plausible]
        against = f" and disfavour {enumerated(fit.formula for fit in excluded)}" if excluded else ""
        sentence = f"The data ({sizes}) allow {described[0]}{against}"
    else:
        sentence = (
            f"The data ({sizes}) cannot tell {enumerated(described)} apart, so the limit of {name} "
            f"{_bounds(extrapolation.limit_range)}"
        )
    if all(fit.degrees_of_freedom <= 0 for fit in plausible):
        sentence += ", with no size to spare for testing any form"
    return f"{sentence}{_theory(extrapolation)}."


def scaling_report(study: ScalingStudy) -> str:
    """Markdown report of a study: the verdict, followed by the tables."""
    level = f"{study.alpha_50.level:.0%}" if study.alpha_50 is not None else "Nominal"
    lines = ["# Finite-size scaling", ""]
    if study.alpha_50 is not None:
        lines += [verdict(study.alpha_50), ""]
    lines += [*(f"Note: {note}.\n" for note in study.notes)]
    lines += ["## Success curves", "", _curve_section(study.curves), ""]
    lines += [
        f"{fit.status.capitalize()} at N = {fit.N}: {fit.message}.\n" for fit in study.curves if fit.message
    ]
    for extrapolation in (study.alpha_50, study.width):
        if extrapolation is not None:
            lines += [f"## {extrapolation.quantity} for N to infinity", "", _form_section(extrapolation), ""]
            lines += _check_sections(extrapolation)
    if study.collapses:
        lines += ["## Data collapse", "", _collapse_section(study.collapses), ""]
    lines += [
        f"{level} intervals. rho: correlation of the starts of one instance; p: p value of the lack of fit; "
        "width: distance in alpha between the quartiles of the curve; model spread: part of the standard "
        "error of alpha_50 that is due to the unknown shape of the curve.",
    ]
    return "\n".join(lines) + "\n"


def time_limit_report(table: xr.Dataset) -> str:
    """Markdown section with alpha_50 and the width at every time budget and in the limit t to infinity."""
    rows, notes = [], []
    for N in table["N"].values:
        for budget in table["budget"].values:
            at = table.sel(N=N, budget=budget)
            time = f"{budget:.3g}" if np.isfinite(budget) else number(budget)
            values = [with_stored_interval(at, f"budget_{name}") for name in ("alpha_50", "width")]
            rows.append([str(N), time, *values, f"{float(at['budget_undecided']):.0%}"])
            note = str(at["budget_note"].item())
            notes += [f"At N = {N} and t = {time}: {note}.\n"] if note else []
    header = ["N", "time budget t", "alpha_50", "width", "undecided, at most"]
    lines = ["## alpha_50 at every time budget", "", markdown_table(header, rows), "", *notes]
    return "\n".join(lines) + "\n"


def _theory(extrapolation: Extrapolation) -> str:
    limit = extrapolation.imposed_limit
    if limit is None:
        return ""
    imposed = [fit for fit in extrapolation.fits if fit.imposed]
    passing = [fit.formula for fit in imposed if not fit.goodness < 0.05]
    name = f"imposed {extrapolation.imposed_from} limit".replace("  ", " ")
    if not passing:
        return f"; the {name} {limit:.4g} fits with none of them"
    only = "" if len(passing) == len(imposed) else " only"
    return f"; the {name} {limit:.4g} is compatible with {enumerated(passing)}{only}"


def _limit(fit: SizeFit) -> str:
    """The limit of a form with its interval, or "no limit"."""
    if fit.form == "log_linear":
        return "no limit"
    if np.isinf(fit.limit):
        return f"at its bound: {fit.at_bound}"
    return f"limit {with_interval(fit.limit, *fit.limit_interval, None)}"


def _bounds(ends: Interval) -> str:
    lower, upper = ends
    if np.isinf(lower) and np.isinf(upper):
        return "is not bounded"
    if np.isinf(upper):
        return f"is at least {number(lower)} and unbounded above"
    if np.isinf(lower):
        return f"is at most {number(upper)} and unbounded below"
    return f"is known only to lie in the range {interval(lower, upper, None)}"


def _curve_section(curves: Sequence[CurveFit]) -> str:
    rows = [
        [
            str(fit.N),
            with_interval(fit.alpha_50, fit.alpha_50_lower, fit.alpha_50_upper, None),
            with_interval(fit.width, fit.width_lower, fit.width_upper, None),
            number(fit.alpha_50_model),
            number(fit.correlation),
            number(fit.goodness),
            f"{fit.cells.sums.recovered.sum():.0f} / {fit.cells.sums.runs.sum():.0f}",
            str(fit.status),
        ]
        for fit in curves
    ]
    return markdown_table(
        ["N", "alpha_50", "width", "model spread", "rho", "p", "recovered / runs", "status"], rows
    )


def _form_section(extrapolation: Extrapolation) -> str:
    rows = [
        [
            fit.formula,
            f"{number(fit.limit)} imposed"
            if fit.imposed
            else with_interval(fit.limit, *fit.limit_interval, None),
            with_interval(fit.amplitude, *fit.amplitude_interval, None),
            _shape(fit),
            f"{fit.chi2:.2f} / {fit.degrees_of_freedom}",
            number(fit.goodness),
            f"{fit.weight:.2f}",
        ]
        for fit in extrapolation.fits
    ]
    return markdown_table(
        ["form", "limit", "shift at the smallest N", "shape", "chi2 / dof", "p", "AICc weight"], rows
    )


def _check_sections(extrapolation: Extrapolation) -> list[str]:
    """Prediction of the held-out largest size, and scan of the smallest size, if there are enough sizes."""
    formula = {(fit.form, fit.imposed): _label(fit) for fit in extrapolation.fits}
    lines: list[str] = []
    held = extrapolation.held_out
    if len(held):
        rows = [
            [
                formula[row["form"], row["imposed"]],
                with_interval(row["predicted"], row["lower"], row["upper"], None),
                f"{row['z']:+.1f}",
            ]
            for row in held.to_dict("records")
        ]
        largest = f"N = {extrapolation.N[-1]:g}, observed {number(extrapolation.value[-1])}"
        lines += [
            f"Largest size predicted from the others ({largest}):",
            "",
            markdown_table(["form", "predicted", "observed - predicted, in standard errors"], rows),
            "",
        ]
    scan = extrapolation.scan[~extrapolation.scan["imposed"]]
    if len(scan):
        rows = [
            [
                formula[row["form"], row["imposed"]],
                f"{row['N_min']:g}",
                with_interval(row["limit"], row["lower"], row["upper"], None),
                f"{row['chi2']:.2f} / {row['degrees_of_freedom']}",
            ]
            for row in scan.to_dict("records")
        ]
        lines += [
            "Limit against the smallest size kept:",
            "",
            markdown_table(["form", "N_min", "limit", "chi2 / dof"], rows),
            "",
        ]
    return lines


def _collapse_section(collapses: Sequence[Collapse]) -> str:
    rows = [
        [
            found.method,
            with_interval(found.alpha_c, *found.alpha_c_interval, None),
            with_interval(found.inverse_nu, *found.inverse_nu_interval, None),
            with_interval(found.omega, *found.omega_interval, None) if np.isfinite(found.omega) else "",
            f"{found.quality:.2f}",
            f"{found.entered} of {len(found.points)}",
            f"{found.at_bound} at its bound" if found.at_bound else "",
        ]
        for found in collapses
    ]
    return markdown_table(
        ["method", "alpha_c", "1/nu", "omega", "quality (1 = collapse)", "points entered", ""], rows
    )


def _shape(fit: SizeFit) -> str:
    if np.isnan(fit.shape):
        return ""
    if fit.at_bound:
        return f"at its bound: {fit.at_bound}"
    name = "omega" if fit.form == "power" else "log(N_min/N0)"
    return f"{name} = {with_interval(fit.shape, *fit.shape_interval, None)}"


def _label(fit: SizeFit) -> str:
    return f"{fit.formula}, imposed" if fit.imposed else fit.formula
