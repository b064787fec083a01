"""The whole finite-size scaling of one table of counts, and its results as labelled arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.collapse import fit_collapse, fit_smooth_collapse
from phasepipe.analysis.collapse_points import Collapse
from phasepipe.analysis.curves import CurveFit, curve_table, fit_curves
from phasepipe.analysis.extrapolation import Extrapolation, extrapolate


@dataclass(frozen=True)
class ScalingStudy:
    """Curves, extrapolations and collapses; what could not be done is None or absent, and a note says why."""

    curves: list[CurveFit]
    alpha_50: Extrapolation | None
    width: Extrapolation | None
    collapses: tuple[Collapse, ...]
    notes: tuple[str, ...]


def scaling_study(
    counts: pd.DataFrame,
    *,
    imposed_limit: float | None = None,
    level: float = 0.95,
) -> ScalingStudy:
    """Finite-size scaling of success counts (PHYSICS §8).

    Parameters
    ----------
    counts
        Tidy counts (:func:`~phasepipe.analysis.counts.tidy_counts`).
    imposed_limit
        Limit of alpha_50 from theory, compared with the free one.
    level
        As in :func:`~phasepipe.analysis.curves.fit_curves`.

    Raises
    ------
    ValueError
        If the counts are not valid or a size has a single alpha.
    """
    curves = fit_curves(counts, level=level)
    table = curve_table(curves)
    instances = float(sum(fit.cells.sums.instances.sum() for fit in curves))
    notes: list[str] = []
    alpha_50 = width = None
    try:
        alpha_50 = extrapolate(
            table["N"],
            table["alpha_50"],
            table["alpha_50_error"],
            imposed_limit=imposed_limit,
            level=level,
            observations=instances,
        )
        # the width dies out for N -> infinity: only its exponent is open
        width = extrapolate(
            table["N"],
            table["width"],
            table["width_error"],
            imposed_limit=0.0,
            forms=["power"],
            level=level,
            quantity="width",
            observations=instances,
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
    """Fits of an extrapolation over ``form``; imposed limits are forms of their own."""
    fits = extrapolation.fits
    name = extrapolation.quantity
    columns: dict[str, tuple[list[float], str]] = {
        "limit": ([fit.limit for fit in fits], f"limit of {name} for N to infinity"),
        "limit_lower": ([fit.limit_interval[0] for fit in fits], "lower end of the interval of the limit"),
        "limit_upper": ([fit.limit_interval[1] for fit in fits], "upper end of the interval of the limit"),
        "amplitude": ([fit.amplitude for fit in fits], "shift at the smallest N, or b of a + b log N"),
        "shape": (
            [fit.shape for fit in fits],
            "omega of a power law, log(N_min / N0) of the inverse logarithm",
        ),
        "shape_lower": ([fit.shape_interval[0] for fit in fits], "lower end of the interval of the shape"),
        "shape_upper": ([fit.shape_interval[1] for fit in fits], "upper end of the interval of the shape"),
        "chi2": ([fit.chi2 for fit in fits], "chi-squared of the form"),
        "degrees_of_freedom": (
            [float(fit.degrees_of_freedom) for fit in fits],
            "degrees of freedom of the form",
        ),
        "form_goodness": ([fit.goodness for fit in fits], "p value of chi-squared"),
        "aicc": ([fit.aicc for fit in fits], "Akaike information criterion, corrected"),
        "weight": ([fit.weight for fit in fits], "Akaike weight of the form"),
    }
    return _labelled("form", [fit.label for fit in fits], "form of the shift with N", columns)


def _collapse_table(collapses: tuple[Collapse, ...]) -> xr.Dataset:
    columns: dict[str, tuple[list[float], str]] = {
        "alpha_c": ([c.alpha_c for c in collapses], "critical alpha of the collapse"),
        "alpha_c_lower": ([c.alpha_c_interval[0] for c in collapses], "lower end of the interval of alpha_c"),
        "alpha_c_upper": ([c.alpha_c_interval[1] for c in collapses], "upper end of the interval of alpha_c"),
        "inverse_nu": ([c.inverse_nu for c in collapses], "exponent 1/nu of the collapse"),
        "inverse_nu_lower": (
            [c.inverse_nu_interval[0] for c in collapses],
            "lower end of the interval of 1/nu",
        ),
        "inverse_nu_upper": (
            [c.inverse_nu_interval[1] for c in collapses],
            "upper end of the interval of 1/nu",
        ),
        "collapse_omega": ([c.omega for c in collapses], "exponent of the correction to scaling"),
        "quality": ([c.quality for c in collapses], "quality of the collapse, about 1 if the data collapse"),
        "points_entered": ([float(c.entered) for c in collapses], "points that entered the collapse"),
    }
    return _labelled("collapse", [c.method for c in collapses], "method of the collapse", columns)


def _labelled(
    dim: str, labels: list[str], long_name: str, columns: dict[str, tuple[list[float], str]]
) -> xr.Dataset:
    return xr.Dataset(
        {name: (dim, values, {"long_name": text, "units": "1"}) for name, (values, text) in columns.items()},
        coords={dim: (dim, np.array(labels, dtype=str), {"long_name": long_name, "units": "1"})},
    )
