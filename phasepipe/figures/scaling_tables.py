"""Tables of the numbers that the figures of finite-size scaling show, one row per point.

See docs/explanation/physics.md §8. The figures are drawn from these tables, and the stage saves each table as
a CSV file next to its figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.analysis.intervals import interval_from_sums, overdispersion

_LARGEST = 1e150  # largest N at which a form is evaluated; 1 / log N is 0.003 there


def success_curves_table(curves: Sequence[CurveFit]) -> pd.DataFrame:
    """Success probability and fitted curve, with their intervals, at every alpha that was run.

    Columns ``N, alpha, probability, lower, upper, runs, fitted, fitted_lower, fitted_upper, residual,
    goodness``. ``residual`` is in standard errors that include the design effect; ``goodness`` is the
    p value of the fit.
    """
    tables = []
    for fit in curves:
        cells = fit.cells
        interval = interval_from_sums(cells.sums, pool_axes=(0,))
        low, high = fit.band(cells.alpha)
        columns = {
            "N": fit.N,
            "alpha": cells.alpha,
            "probability": interval.probability,
            "lower": interval.lower,
            "upper": interval.upper,
            "runs": cells.sums.runs.astype(int),
            "fitted": fit.probability(cells.alpha),
            "fitted_lower": low,
            "fitted_upper": high,
            "residual": _residuals(fit),
            "goodness": fit.goodness,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def sizes_towards_infinity(smallest: float) -> FloatArray:
    """Sizes N from ``smallest`` upwards at which a form is evaluated, ascending, shape (200,).

    They are evenly spaced in 1 / log N, the horizontal axis of the figures, because a power law falls
    steeply near 1 / log N = 0.
    """
    return np.exp(1 / np.linspace(1 / np.log(smallest), 1 / np.log(_LARGEST), 200))


def extrapolation_table(extrapolation: Extrapolation) -> pd.DataFrame:
    """The measured value at every N, and every fitted form extrapolated to N = infinity.

    Columns ``series, N, value, lower, upper``. ``series`` is "measured" or the name of the form, followed by
    " imposed" if its limit is fixed. The row with infinite N contains the limit and its interval.
    """
    tables = [
        pd.DataFrame(
            {
                "series": "measured",
                "N": extrapolation.N,
                "value": extrapolation.value,
                "lower": extrapolation.value - extrapolation.reach,
                "upper": extrapolation.value + extrapolation.reach,
            }
        )
    ]
    sizes = sizes_towards_infinity(extrapolation.N.min())
    for fit in extrapolation.fits:
        lower, upper = fit.limit_interval
        tables += [
            pd.DataFrame({"series": fit.label, "N": sizes, "value": fit.predict(sizes)}),
            pd.DataFrame(
                {"series": [fit.label], "N": np.inf, "value": fit.limit, "lower": lower, "upper": upper}
            ),
        ]
    return pd.concat(tables, ignore_index=True)


def scaling_overview_table(curves: Sequence[CurveFit], extrapolation: Extrapolation) -> pd.DataFrame:
    """Limit of every form with a free limit against the smallest N in the fit, and curve width against N.

    Columns ``quantity, form, N, value, lower, upper``. For ``quantity`` "limit", ``N`` is the smallest N in
    the fit; for "width", ``form`` is empty.
    """
    free = extrapolation.scan[~extrapolation.scan["imposed"]]
    limits = free.rename(columns={"N_min": "N", "limit": "value"}).assign(quantity="limit")
    known = [fit for fit in curves if np.isfinite(fit.width) and np.isfinite(fit.width_lower)]
    widths = pd.DataFrame(
        {
            "quantity": "width",
            "form": "",
            "N": [fit.N for fit in known],
            "value": [fit.width for fit in known],
            "lower": [fit.width_lower for fit in known],
            "upper": [fit.width_upper for fit in known],
        }
    )
    return pd.concat([limits.reindex(columns=widths.columns), widths], ignore_index=True)


def _residuals(fit: CurveFit) -> FloatArray:
    effect = overdispersion(fit.cells.sums, pool_axes=(0,)).design_effect
    expected = np.clip(fit.probability(fit.cells.alpha), 1e-9, 1 - 1e-9)
    runs = fit.cells.sums.runs
    # at least the error of one run: where the fit expects no recovery at all the residual would diverge
    error = np.sqrt(np.maximum(runs * expected * (1 - expected), 1.0) * effect)
    return np.asarray((fit.cells.sums.recovered - runs * expected) / error)
