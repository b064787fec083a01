"""Complete finite-size scaling analysis of one table of counts, with the results as labelled arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.collapse import fit_collapse, fit_smooth_collapse
from phasepipe.analysis.collapse_points import Collapse
from phasepipe.analysis.curves import CurveFit, curve_table, fit_curves
from phasepipe.analysis.extrapolation import Extrapolation, extrapolate
from phasepipe.variables import COLLAPSES, FORMS, Variables, labelled


@dataclass(frozen=True)
class ScalingStudy:
    """Curves, extrapolations and collapses; if one failed, it is None or absent and ``notes`` says why."""

    curves: list[CurveFit]
    alpha_50: Extrapolation | None
    width: Extrapolation | None
    collapses: tuple[Collapse, ...]
    notes: tuple[str, ...]


def scaling_study(
    counts: pd.DataFrame,
    *,
    imposed_limit: float | None = None,
    imposed_from: str = "",
    level: float = 0.95,
    steered: Collection[int] = (),
) -> ScalingStudy:
    """Finite-size scaling of success counts (docs/explanation/physics.md §8).

    Parameters
    ----------
    counts
        Tidy counts (:func:`~phasepipe.analysis.counts.tidy_counts`).
    imposed_limit
        Limit of alpha_50 from theory, compared with the free one.
    imposed_from
        Which theory that is, for reports.
    level, steered
        As in :func:`~phasepipe.analysis.curves.fit_curves`.

    Raises
    ------
    ValueError
        If the counts are not valid or a size has a single alpha.
    """
    curves = fit_curves(counts, level=level, steered=steered)
    table = curve_table(curves)
    notes: list[str] = []
    alpha_50 = width = None
    try:
        alpha_50 = alpha_50_limit(curves, imposed_limit=imposed_limit, imposed_from=imposed_from, level=level)
        # the width tends to zero for N -> infinity: only its exponent is fitted
        width = extrapolate(
            table["N"],
            table["width"],
            table["width_error"],
            imposed_limit=0.0,
            forms=["power"],
            level=level,
            quantity="width",
            observations=_instances(curves),
        )
    except ValueError as error:
        notes.append(str(error))
    collapses: list[Collapse] = []
    for correction in (None, False, True):
        try:
            if correction is None:
                collapses.append(fit_collapse(counts))
            else:
                collapses.append(fit_smooth_collapse(counts, correction=correction, level=level))
        except ValueError as error:
            notes.append(str(error))
    return ScalingStudy(curves, alpha_50, width, tuple(collapses), tuple(dict.fromkeys(notes)))


def alpha_50_limit(
    curves: Sequence[CurveFit],
    *,
    imposed_limit: float | None = None,
    imposed_from: str = "",
    level: float = 0.95,
) -> Extrapolation:
    """alpha_50 of fitted curves extrapolated to N = infinity, as in :func:`scaling_study`.

    Raises
    ------
    ValueError
        If fewer than two curves have an alpha_50 with an interval.
    """
    return extrapolate(
        [fit.N for fit in curves],
        [fit.alpha_50 for fit in curves],
        [fit.alpha_50_error for fit in curves],
        imposed_limit=imposed_limit,
        imposed_from=imposed_from,
        level=level,
        observations=_instances(curves),
    )


def _instances(curves: Sequence[CurveFit]) -> float:
    return float(sum(fit.cells.sums.instances.sum() for fit in curves))


def scaling_dataset(study: ScalingStudy) -> xr.Dataset:
    """Results of a study as arrays over ``N``, ``form`` (of the shift) and ``collapse`` (method)."""
    parts = [curve_table(study.curves)]
    if study.alpha_50 is not None:
        parts.append(extrapolation_table(study.alpha_50))
    if study.collapses:
        parts.append(_collapse_table(study.collapses))
    dataset = xr.merge(parts, combine_attrs="drop_conflicts")
    dataset.attrs["notes"] = " | ".join(study.notes)
    return dataset


def extrapolation_table(extrapolation: Extrapolation) -> xr.Dataset:
    """Fits of an extrapolation over ``form``; fits with an imposed limit are separate forms."""
    fits = extrapolation.fits
    columns = {
        "limit": [fit.limit for fit in fits],
        "limit_lower": [fit.limit_interval[0] for fit in fits],
        "limit_upper": [fit.limit_interval[1] for fit in fits],
        "amplitude": [fit.amplitude for fit in fits],
        "shape": [fit.shape for fit in fits],
        "shape_lower": [fit.shape_interval[0] for fit in fits],
        "shape_upper": [fit.shape_interval[1] for fit in fits],
        "chi2": [fit.chi2 for fit in fits],
        "degrees_of_freedom": [float(fit.degrees_of_freedom) for fit in fits],
        "form_goodness": [fit.goodness for fit in fits],
        "aicc": [fit.aicc for fit in fits],
        "weight": [fit.weight for fit in fits],
    }
    return _over("form", [fit.label for fit in fits], columns, FORMS)


def _collapse_table(collapses: tuple[Collapse, ...]) -> xr.Dataset:
    columns = {
        "alpha_c": [c.alpha_c for c in collapses],
        "alpha_c_lower": [c.alpha_c_interval[0] for c in collapses],
        "alpha_c_upper": [c.alpha_c_interval[1] for c in collapses],
        "inverse_nu": [c.inverse_nu for c in collapses],
        "inverse_nu_lower": [c.inverse_nu_interval[0] for c in collapses],
        "inverse_nu_upper": [c.inverse_nu_interval[1] for c in collapses],
        "collapse_omega": [c.omega for c in collapses],
        "quality": [c.quality for c in collapses],
        "points_entered": [float(c.entered) for c in collapses],
    }
    return _over("collapse", [c.method for c in collapses], columns, COLLAPSES)


def _over(dim: str, names: list[str], columns: dict[str, list[float]], declared: Variables) -> xr.Dataset:
    """Dataset of columns over one dimension with text labels."""
    table = xr.Dataset(
        {name: (dim, values) for name, values in columns.items()}, {dim: (dim, np.array(names, dtype=str))}
    )
    return labelled(table, declared)
