"""The numbers that the figures of the scaling show, as tables of one row per point (PHYSICS §8).

The figures are drawn from these tables and the same tables are stored as CSV beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.analysis.intervals import interval_from_sums, overdispersion

_LARGEST = 1e150  # N to which a form is written out: 1 / log N is 0.003 there


def curve_points(curves: Sequence[CurveFit]) -> pd.DataFrame:
    """Success probability with its interval, and the fitted curve with its band, at every alpha that was run.

    Columns ``N, alpha, probability, lower, upper, runs, fitted, fitted_lower, fitted_upper, residual,
    goodness``; the residual is in standard errors with the design effect, ``goodness`` the p value of the
    fit.
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
    """Sizes N from ``smallest`` on at which a form is written out, ascending, shape (200,).

    They lie evenly along 1 / log N, the axis of the figures: near 0 a power law falls off late and steeply.
    """
    return np.exp(1 / np.linspace(1 / np.log(smallest), 1 / np.log(_LARGEST), 200))


def limit_lines(extrapolation: Extrapolation) -> pd.DataFrame:
    """What was measured at every N, and every form continued to N = infinity.

    Columns ``series, N, value, lower, upper``: ``series`` is "measured" or the form, with " imposed" where
    its limit is held; the row with infinite N has the limit and its interval.
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


def limits_and_widths(curves: Sequence[CurveFit], extrapolation: Extrapolation) -> pd.DataFrame:
    """Limit of every free form against the smallest N kept, and width of the success curves against N.

    Columns ``quantity, form, N, value, lower, upper``: for ``quantity`` "limit" N is the smallest kept, and
    ``form`` is empty for "width".
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
    return pd.concat([limits[list(widths.columns)], widths], ignore_index=True)


def _residuals(fit: CurveFit) -> FloatArray:
    effect = overdispersion(fit.cells.sums, pool_axes=(0,)).design_effect
    expected = np.clip(fit.probability(fit.cells.alpha), 1e-9, 1 - 1e-9)
    runs = fit.cells.sums.runs
    # never below one run's worth: a cell where nothing is expected would explode
    error = np.sqrt(np.maximum(runs * expected * (1 - expected), 1.0) * effect)
    return np.asarray((fit.cells.sums.recovered - runs * expected) / error)
