"""Integrals and Gaussian expectations with controlled errors.

All integrals use the same algorithm: a batch of one-dimensional integrals is refined panel by panel with the
15-point Gauss-Kronrod rule until the estimated error of every integral of the batch is small. Averages over
the plane are nested: the inner integrals at all outer points form one batch. An integral that does not
converge raises an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.intp]
# Maps points, shape (panels, 15), and the batch index of each panel, shape (panels,), to values of shape
# (components, panels, 15).
BatchIntegrand = Callable[[Floats, Integers], Floats]

TOLERANCE = 1e-9
"""Relative accuracy asked of each expectation; root finding may amplify it."""
CUT = 10.0
"""Gaussian variables beyond this many standard deviations must not matter."""
FAR = 30.0
"""How far beyond the cut the integrand is followed, to notice an expectation that does not converge."""
_DENSITY_AT_0 = np.sqrt(2 / np.pi)  # density at 0 of the modulus of a standard Gaussian variable
_FIRST_PANELS = 6  # initial panels of each interval; fewer panels need more rounds, which have an overhead
_MAX_ROUNDS = 60
_MAX_PANELS = 200_000
_RESOLUTION = 1e-13  # smallest width of a panel relative to its position, limited by rounding

_NODES_HALF = (
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691693013,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
)
_KRONROD_HALF = (
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
)
_GAUSS_HALF = (
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
)
NODES: Floats = np.array([*(-np.array(_NODES_HALF)), 0.0, *_NODES_HALF[::-1]])
KRONROD: Floats = np.array([*_KRONROD_HALF, 0.209482141084727828012999174891714, *_KRONROD_HALF[::-1]])
GAUSS: Floats = np.zeros(15)
GAUSS[1::2] = [*_GAUSS_HALF, 0.417959183673469387755102040816327, *_GAUSS_HALF[::-1]]


class ConvergenceError(ArithmeticError):
    """An integral or a root was not found to the required accuracy."""


@dataclass(frozen=True)
class Estimate:
    """Values of integrals with the estimate of their absolute errors."""

    value: Floats  # (components, *batch)
    error: Floats  # same shape, absolute


def integrate(
    integrand: BatchIntegrand,
    lower: Floats,
    upper: Floats,
    *,
    owner: Integers | None = None,
    tolerance: float = TOLERANCE,
    deciding: int | None = None,
) -> Estimate:
    """Integrate a batch of vector-valued functions, each over its own finite interval.

    Parameters
    ----------
    integrand
        Maps points, shape (panels, 15), and the batch index of each panel, shape (panels,), to values of
        shape (components, panels, 15).
    lower, upper
        Ends of the intervals, shape (intervals,).
    owner
        Index of the integral that each interval belongs to, shape (intervals,); by default each interval is
        a separate integral.
    tolerance
        Target error of each component, relative to the integral of its absolute value.
    deciding
        Number of leading components that control the refinement; the others are only evaluated.

    Returns
    -------
    Estimate
        Values and errors, shape (components, batch).

    Raises
    ------
    ConvergenceError
        If an integrand is not finite or the refinement does not reach the tolerance.
    """
    owner = np.arange(lower.size) if owner is None else owner
    batch = int(owner.max()) + 1
    cuts = lower + (upper - lower) * np.linspace(0, 1, _FIRST_PANELS + 1)[:, None]
    left, right, owner = cuts[:-1].ravel(), cuts[1:].ravel(), np.tile(owner, _FIRST_PANELS)
    accepted: Floats | None = None  # value, error and magnitude of the panels that need no further refinement
    decide = slice(None, deciding)
    for _ in range(_MAX_ROUNDS):
        panels = _gauss_kronrod(integrand, left, right, owner)
        if accepted is None:
            accepted = np.zeros((*panels.shape[:2], batch))
        total = accepted + _sum_by_owner(panels, owner, batch)
        value, error, magnitude = total
        budget = tolerance * magnitude[decide]
        unfinished = np.any(error[decide] > budget, axis=0)
        if not unfinished.any():
            return Estimate(value, error)
        # Accept panels whose errors fit into their share of the remaining error budget.
        share = (budget - accepted[1, decide]) / (2 * np.maximum(np.bincount(owner, minlength=batch), 1))
        split = unfinished[owner] & np.any(panels[1, decide] > share[:, owner], axis=0)
        indivisible = right - left < _RESOLUTION * np.maximum(np.abs(left), np.abs(right))
        if not split.any() or split.sum() > _MAX_PANELS or np.any(split & indivisible):
            break
        accepted = accepted + _sum_by_owner(panels[..., ~split], owner[~split], batch)
        middle = 0.5 * (left[split] + right[split])
        left, right = np.concatenate([left[split], middle]), np.concatenate([middle, right[split]])
        owner = np.concatenate([owner[split], owner[split]])
    where = left[np.argmax(right - left < 2 * np.min(right - left))]
    raise ConvergenceError(
        f"an integral did not reach the relative accuracy {tolerance:.0e} (trouble near {where:.6g}); "
        "the expectation may not exist"
    )


def _gauss_kronrod(integrand: BatchIntegrand, left: Floats, right: Floats, owner: Integers) -> Floats:
    """Value, error and integral of the modulus on each panel, shape (3, components, panels).

    The error estimate is that of QUADPACK's qk15 (Piessens et al., 1983).
    """
    half = 0.5 * (right - left)
    points = 0.5 * (right + left)[:, None] + half[:, None] * NODES
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = integrand(points, owner)
    if not np.isfinite(values).all():
        where = points.ravel()[np.argmax(~np.isfinite(values).all(axis=0).ravel())]
        raise ConvergenceError(f"an integrand is not finite at {where:.6g}; its expectation does not exist")
    value = values @ KRONROD * half
    magnitude = np.abs(values) @ KRONROD * half
    spread = np.abs(values - (value / (2 * half))[..., None]) @ KRONROD * half
    difference = np.abs(values @ GAUSS * half - value)
    ratio = np.divide(200 * difference, spread, out=np.zeros_like(spread), where=spread > 0)
    error = np.where(spread > 0, spread * np.minimum(1.0, ratio**1.5), difference)
    return np.stack([value, np.maximum(error, 2e-15 * magnitude), magnitude])


def _sum_by_owner(panels: Floats, owner: Integers, batch: int) -> Floats:
    """Sum panels of the same integral: shape (3, components, panels) to (3, components, batch)."""
    rows = int(np.prod(panels.shape[:-1]))
    places = owner + batch * np.arange(rows)[:, None]
    sums = np.bincount(places.ravel(), weights=panels.ravel(), minlength=rows * batch)
    return sums.astype(float).reshape(*panels.shape[:-1], batch)


def gaussian_average(
    function: Callable[[Floats], Floats],
    *,
    breaks: Sequence[float] = (),
    tolerance: float = TOLERANCE,
    deciding: int | None = None,
) -> Estimate:
    """Average even functions of a standard Gaussian variable.

    Parameters
    ----------
    function
        Maps positive points, shape (n,), to values, shape (components, n); assumed to be even.
    breaks
        Points at which the function is singular or has a kink.
    tolerance, deciding
        As for :func:`integrate`.

    Returns
    -------
    Estimate
        Averages and errors, shape (components,).

    Raises
    ------
    ConvergenceError
        If the average does not converge, or if the tail of the Gaussian contributes too much.
    """
    edges = np.array([0.0, *sorted(point for point in breaks if 0 < point < CUT), CUT])
    pieces = np.arange(edges.size - 1.0)

    def weighted(points: Floats) -> Floats:
        return np.asarray(_DENSITY_AT_0 * np.exp(-0.5 * points**2) * function(points))

    def integrand(points: Floats, owner: Integers) -> Floats:  # noqa: ARG001
        # Piece k is mapped to [k, k + 1]; the smoothstep removes inverse square roots at both ends.
        piece = np.floor(points[:, 7]).astype(int)
        start, width = edges[piece][:, None], np.diff(edges)[piece][:, None]
        unit = points - np.floor(points[:, 7:8])
        variable = start + width * unit**2 * (3 - 2 * unit)
        values = weighted(variable.ravel())
        stretch: Floats = 6 * unit * (1 - unit) * width
        return values.reshape(len(values), *points.shape) * stretch

    everything = np.zeros(pieces.size, dtype=int)
    estimate = integrate(
        integrand, pieces, pieces + 1, owner=everything, tolerance=tolerance, deciding=deciding
    )
    value, error = estimate.value[:, 0], estimate.error[:, 0]
    _require_small_tail(weighted, value[:deciding])
    return Estimate(value, error)


def _require_small_tail(weighted: Callable[[Floats], Floats], value: Floats) -> None:
    """Raise an error if points beyond the cut would contribute to an average."""
    with np.errstate(over="ignore", invalid="ignore"):
        tail = np.abs(weighted(np.linspace(CUT, FAR, 8))[: len(value)]).max(axis=1) * (FAR - CUT)
    scale = np.max(np.abs(value)) + np.finfo(float).tiny
    if not np.all(tail <= 1e-6 * scale):
        raise ConvergenceError(
            f"a Gaussian expectation does not converge: beyond {CUT:.0f} standard deviations its integrand "
            f"is still {np.max(tail) / scale:.1e} of the result; the loss grows too fast"
        )


def gaussian_plane_average(
    function: Callable[[Floats, Floats], Floats], *, tolerance: float = TOLERANCE
) -> Estimate:
    """Average functions, even in both arguments, over two independent standard Gaussian variables.

    Parameters
    ----------
    function
        Maps ``(first, second)``, shape (n,) each, to values, shape (components, n).
    tolerance
        As for :func:`integrate`.

    Returns
    -------
    Estimate
        Averages and errors, shape (components,).

    Raises
    ------
    ConvergenceError
        If the average does not converge.
    """
    components = len(function(np.ones(1), np.ones(1)))

    def weighted(first: Floats, second: Floats) -> Floats:
        return np.asarray(_DENSITY_AT_0 * np.exp(-0.5 * first**2) * function(first, second))

    def over_first(second: Floats) -> Floats:
        def integrand(points: Floats, owner: Integers) -> Floats:
            first = CUT * points**2  # graded towards 0, where losses have small scales
            fixed = np.broadcast_to(second[owner][:, None], first.shape)
            values = weighted(first.ravel(), fixed.ravel())
            return values.reshape(components, *points.shape) * (2 * CUT * points)

        inner = integrate(integrand, np.zeros(second.size), np.ones(second.size), tolerance=0.1 * tolerance)
        _require_small_tail(lambda first: weighted(first, np.ones_like(first)), inner.value.mean(axis=1))
        return np.concatenate([inner.value, inner.error])

    outer = gaussian_average(over_first, tolerance=tolerance, deciding=components)
    return Estimate(outer.value[:components], outer.error[:components] + outer.value[components:])
