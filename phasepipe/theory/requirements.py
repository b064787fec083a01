"""Checks of what the theory is given: numbers, and a loss with symmetry, minimum and bounded curvature."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from phasepipe.errors import shown
from phasepipe.physics.arguments import require_number as positive_number
from phasepipe.physics.loss_check import check_loss
from phasepipe.physics.losses import Loss

_UNBOUNDED = 1e3  # the curvature is considered unbounded if its minimum grows by more over seven decades


def require_number(name: str, value: object, example: str, *, integer: bool = False) -> None:
    """Check that an argument is a number.

    Raises
    ------
    TypeError
        If it is none, or not an integer where one is needed.
    ValueError
        If it is an integer that no float can hold.
    """
    if isinstance(value, bool) or not isinstance(value, Integral if integer else Real):
        kind = "an integer" if integer else "a number"
        raise TypeError(f"{name} = {shown(value)} is not {kind}; take for example {example}")
    try:
        float(value)
    except OverflowError:  # an integer of hundreds of digits
        raise ValueError(f"{name} = {shown(value)} is too large; take for example {example}") from None


def require_alpha(alpha: object) -> float:
    """Measurements per dimension, as a positive finite float; errors are those of
    :func:`phasepipe.physics.arguments.require_number`.
    """
    return positive_number("alpha", alpha, example=3.0, above=0)


def require_even(loss: object) -> Loss:
    """Return the loss if it is even in ``yhat`` and ``y``.

    Raises
    ------
    TypeError
        If a method is missing.
    ValueError
        If value or curvature change with a sign or are not finite, or the slope is not the derivative of the
        value.
    """
    accepted = check_loss(loss)
    generator = np.random.default_rng(0)
    yhat, y = generator.uniform(0.1, 3.0, size=(2, 64))
    for name in ("value", "curvature"):
        method = getattr(accepted, name)
        here = method(yhat, y)
        if not np.isfinite(here).all():
            raise ValueError(
                f"the {name} of {loss!r} is not finite everywhere; the theory needs a finite one"
            )
        if not (np.allclose(here, method(-yhat, y)) and np.allclose(here, method(yhat, -y))):
            raise ValueError(
                f"the {name} of {loss!r} changes with the sign of yhat or y, which phase retrieval does not "
                "see; use a loss that is even in both"
            )
    if np.ptp(accepted.value(yhat, y)) == 0:
        raise ValueError(f"{loss!r} is constant; use a loss whose minimum is the label")
    if np.any(accepted.value(yhat, y) < accepted.value(y, y)):
        raise ValueError(f"{loss!r} is not smallest at yhat = y; use a loss whose minimum is the label")
    step = 1e-5
    for name, derivative in (("value", "slope"), ("slope", "curvature")):
        method = getattr(accepted, name)
        numerical = (method(yhat + step, y) - method(yhat - step, y)) / (2 * step)
        given = getattr(accepted, derivative)(yhat, y)
        # The median tolerates a few kinks.
        if np.median(np.abs(numerical - given) / (1 + np.abs(given))) > 1e-4:
            raise ValueError(
                f"the {derivative} of {loss!r} is not the derivative of its {name}; check the formula"
            )
    return accepted


def lowest_curvature(loss: Loss) -> float:
    """Infimum of the curvature over all ``(yhat, y)``, dimensionless; may be approached at infinity.

    Raises
    ------
    ValueError
        If the curvature is unbounded below or nowhere negative, because ``1 / inf T`` is then not defined
        (docs/explanation/physics.md §5).
    """
    radii = np.concatenate([[0.0], np.geomspace(1e-7, 1e7, 281)])
    yhat, y = np.meshgrid(radii, radii[1:])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        curvature = loss.curvature(yhat, y)
    if not np.isfinite(curvature).all():
        raise ValueError(f"the curvature of {loss!r} is not finite everywhere; the theory needs a finite one")
    start = np.unravel_index(np.argmin(curvature), curvature.shape)
    lowest = float(curvature[start])
    near = float(curvature[np.hypot(yhat, y) < 10].min())
    logs = np.log([max(float(yhat[start]), 1e-7), float(y[start])])

    def at(logs: NDArray[np.float64]) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            curvature = float(loss.curvature(np.exp(logs[:1]), np.exp(logs[1:]))[0])
        return curvature if np.isfinite(curvature) else np.inf

    refined = minimize(
        at,
        logs.astype(np.float64),
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-16},
    )
    lowest = min(lowest, float(refined.fun))  # the grid can miss a narrow minimum
    if lowest < _UNBOUNDED * min(near, -1e-12):
        raise ValueError(
            f"the curvature of {loss!r} is unbounded below (it reaches {lowest:.1e}), so that the Hessian at "
            "a random start has no left edge; use a loss with bounded curvature, for example the normalised "
            "quartic"
        )
    if lowest >= 0:
        raise ValueError(
            f"the curvature of {loss!r} is nowhere negative, so that no eigenvalue can leave the bulk "
            "towards the signal; there is no threshold to compute"
        )
    return lowest
