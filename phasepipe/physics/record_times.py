"""Times at which the runs of a sweep are recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.arguments import require_integer, require_number

Float = NDArray[np.float64]


def record_times(t_max: float, per_decade: int, first: float = 1e-2) -> Float:
    """Logarithmically spaced times, beginning with 0 and ending with ``t_max``.

    Parameters
    ----------
    t_max
        Last time, positive.
    per_decade
        Times per factor of ten, at fixed positions ``10^(j / per_decade)`` that do not depend on
        ``t_max``.
    first
        Smallest positive time.

    Raises
    ------
    TypeError, ValueError
        If ``t_max`` is not a positive finite number, or ``per_decade`` is not an integer from 1 to 1000.
    """
    t_max = require_number("t_max", t_max, example=100, above=0)
    require_integer("records_per_decade", per_decade, least=1, example=8, most=1000)
    inner = _positions(min(first, t_max), t_max, per_decade)
    return np.concatenate([[0.0], inner[inner < t_max * (1 - 1e-9)], [t_max]])


def nested_times(t_max: float, per_decade: int, first: float = 1e-2) -> Float:
    """The times of :func:`record_times` at fixed positions; those of a larger ``t_max`` begin with them."""
    inner = _positions(first, t_max, per_decade)
    return np.concatenate([[0.0], inner[inner <= t_max]])


def _positions(first: float, last: float, per_decade: int) -> Float:
    """The fixed positions from about ``first`` to at least ``last``."""
    low = np.ceil(np.log10(first) * per_decade - 1e-9)
    high = np.ceil(np.log10(last) * per_decade + 1e-9)
    return np.asarray(10.0 ** (np.arange(low, high + 1) / per_decade))
