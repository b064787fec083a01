"""Evaluate a loss once before any run starts, so that a mistake in it raises an error with one sentence."""

from __future__ import annotations

import numpy as np

from phasepipe.physics.losses import LOSS_METHODS, Array, Loss, NormalisedQuartic, Quartic

_LARGEST_SHARE = 0.5  # share of points where a derivative may differ from finite differences, near kinks
_STEP = 1e-5  # of the finite differences, relative to 1 + |yhat|


class LossError(TypeError, ValueError):
    """The object is not a valid loss; the message says why."""


def check_loss(candidate: object, name: str = "loss") -> Loss:
    """Return ``candidate`` if it behaves like a loss for a few numbers, otherwise raise an error.

    Its three methods are evaluated at fixed predictions and labels, in both precisions. Results must be
    finite floating-point arrays of the shape of ``yhat``, and derivatives of one another by finite
    differences. The arguments must not be modified. Takes a fraction of a millisecond.

    Parameters
    ----------
    candidate
        Object to check.
    name
        Name of the object in the message.

    Raises
    ------
    LossError
        Both a TypeError and a ValueError.
    """
    try:
        return examined(candidate)
    except LossError as fault:
        raise LossError(f"{name} {candidate!r}: {fault}") from fault.__cause__


def examined(candidate: object) -> Loss:
    """As :func:`check_loss`, but error messages do not include the name of the loss."""
    if isinstance(candidate, type):
        raise LossError(
            f"{candidate.__name__} is a class and not an object; give an object, for example "
            f"{candidate.__name__}() with its parameters"
        )
    missing = [method for method in LOSS_METHODS if not callable(getattr(candidate, method, None))]
    if missing:
        raise LossError(
            f"it lacks {', '.join(missing)}; a loss has the three methods value, slope and curvature of "
            "(yhat, y)"
        )
    assert isinstance(candidate, Loss)
    if type(candidate) in (NormalisedQuartic, Quartic):  # a class derived from one may differ
        return candidate
    draw = np.random.Generator(np.random.PCG64(0))
    # the integrator evaluates several rows of predictions for the same labels
    yhat, y = draw.normal(size=(3, 16)), draw.normal(size=16)
    for method in LOSS_METHODS:
        for dtype in (np.float32, np.float64):
            _evaluate(candidate, method, yhat.astype(dtype), y.astype(dtype))
    _require_derivative(candidate, "slope", "value", yhat, y)
    _require_derivative(candidate, "curvature", "slope", yhat, y)
    _require_weight(candidate, yhat, y)
    return candidate


def _require_derivative(loss: Loss, derivative: str, function: str, yhat: Array, y: Array) -> None:
    step = _STEP * (1 + np.abs(yhat))
    ahead, behind = (_evaluate(loss, function, yhat + sign * step, y) for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    found = _evaluate(loss, derivative, yhat, y)
    error = np.abs(found - expected) - 1e-3 * (np.abs(found) + np.abs(expected))
    if np.mean(error > 1e-6) > _LARGEST_SHARE:
        worst = np.unravel_index(np.argmax(error), error.shape)
        raise LossError(
            f"its {derivative} is not the derivative of its {function} in yhat: {found[worst]:.6g} at yhat = "
            f"{yhat[worst]:.3g}, y = {y[worst[1]]:.3g}, where differences give {expected[worst]:.6g}"
        )


def _require_weight(loss: Loss, yhat: Array, y: Array) -> None:
    """A weight that does not belong to the slope would be followed without a sign of it."""
    weight = getattr(loss, "quartic_weight", None)
    if weight is None:
        return
    slope = _evaluate(loss, "slope", yhat, y)
    try:
        found = np.broadcast_to(weight(y) * yhat * (yhat**2 - y**2), slope.shape)
    except (Exception, SystemExit) as error:
        raise LossError(f"its quartic_weight(y) fails with {type(error).__name__}: {error}") from error
    if not np.allclose(found, slope, rtol=1e-6, atol=1e-9):
        raise LossError(
            "its quartic_weight does not give its slope, quartic_weight(y) * yhat * (yhat² - y²); "
            "correct it, or set quartic_weight = None"
        )


def _evaluate(loss: Loss, name: str, yhat: Array, y: Array) -> Array:
    given = yhat.copy(), y.copy()
    try:
        with np.errstate(all="ignore"):
            found = getattr(loss, name)(*given)
    except (Exception, SystemExit) as error:  # code of the user can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
        raise LossError(f"its {name}(yhat, y) fails with {reason}") from error
    if found is None:
        raise LossError(f"its {name} returns nothing; is a return missing?")
    shape = np.shape(found)
    if shape != yhat.shape:
        raise LossError(
            f"its {name} has shape {shape} for yhat of shape {yhat.shape} and y of shape {y.shape}; "
            f"it should be elementwise, of shape {yhat.shape}"
        )
    # NumPy constants can convert float32 to float64, which costs time but does no harm
    if not np.issubdtype(getattr(found, "dtype", object), np.floating):
        kind = getattr(found, "dtype", type(found).__name__)
        raise LossError(f"its {name} is {kind} for arguments of {yhat.dtype}; it should keep their type")
    if not (np.array_equal(given[0], yhat) and np.array_equal(given[1], y)):
        raise LossError(f"its {name} changes its arguments in place; return a new array")
    if not np.isfinite(found).all():
        raise LossError(f"its {name} is not finite at yhat and y of order one")
    return np.asarray(found)
