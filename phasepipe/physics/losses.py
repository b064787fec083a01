"""Losses of phase retrieval and their first two derivatives in the prediction.

See docs/explanation/physics.md §2.

A loss is any object with three methods of ``(yhat, y)``: ``value``, ``slope`` (first derivative in
``yhat``) and ``curvature`` (second derivative). All three are elementwise, broadcast their arguments
and keep their floating-point data type, so that they can be evaluated in float32. A custom loss needs
nothing else. A loss whose slope is ``c(y) yhat (yhat² - y²)`` may offer ``c`` as ``quartic_weight(y)``: its
slopes are then computed by compiled loops, between the products of many instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from phasepipe.errors import shown

Array = NDArray[np.floating[Any]]

LOSS_METHODS = ("value", "slope", "curvature")


@runtime_checkable
class Loss(Protocol):
    """Interface of a loss for the integrator and the theory."""

    def value(self, yhat: Array, y: Array) -> Array:
        """Loss of each sample, shape of ``yhat`` and ``y`` broadcast together."""
        ...

    def slope(self, yhat: Array, y: Array) -> Array:
        """First derivative of the loss in ``yhat``, same shape."""
        ...

    def curvature(self, yhat: Array, y: Array) -> Array:
        """Second derivative of the loss in ``yhat`` (the weight ``T``), same shape."""
        ...


@dataclass(frozen=True)
class NormalisedQuartic:
    """Normalised quartic loss ``(yhat² - y²)² / (4 (a + y²))`` (docs/explanation/physics.md §2).

    Parameters
    ----------
    a
        Regulariser of the denominator, positive and dimensionless; 0.01 and 1 are typical.

    Raises
    ------
    ValueError
        If ``a`` is not a positive finite number (the limit ``a → ∞`` is :class:`Quartic`).
    """

    a: float

    def __post_init__(self) -> None:
        if isinstance(self.a, bool) or not (np.isfinite(self.a) and self.a > 0):
            raise ValueError(
                f"a = {self.a!r} is not a positive finite number; "
                "take for example a = 0.01, or the quartic loss for a = inf"
            )

    def value(self, yhat: Array, y: Array) -> Array:
        excess = yhat * yhat - y * y
        return excess * excess / (4 * (self.a + y * y))

    def slope(self, yhat: Array, y: Array) -> Array:
        return yhat * (yhat * yhat - y * y) / (self.a + y * y)

    def curvature(self, yhat: Array, y: Array) -> Array:
        return (3 * (yhat * yhat) - y * y) / (self.a + y * y)

    def quartic_weight(self, y: Array) -> Array:
        """Weight ``c`` of each label, with which the slope is ``c yhat (yhat² - y²)``; shape of ``y``."""
        return 1 / (self.a + y * y)


@dataclass(frozen=True)
class Quartic:
    """Quartic loss ``(yhat² - y²)² / 4``, the limit ``a → ∞`` up to a factor.

    See docs/explanation/physics.md §2.
    """

    def value(self, yhat: Array, y: Array) -> Array:
        excess = yhat * yhat - y * y
        return excess * excess / 4

    def slope(self, yhat: Array, y: Array) -> Array:
        return yhat * (yhat * yhat - y * y)

    def curvature(self, yhat: Array, y: Array) -> Array:
        return 3 * (yhat * yhat) - y * y

    def quartic_weight(self, y: Array) -> Array:
        """Weight ``c`` of each label, with which the slope is ``c yhat (yhat² - y²)``; shape of ``y``."""
        return np.ones_like(y)


def require_loss(candidate: object, name: str = "loss") -> Loss:
    """Return ``candidate`` if it has the three methods of a loss.

    Raises
    ------
    TypeError
        If it is a class, or a method of ``value``, ``slope``, ``curvature`` is missing.
    """
    if isinstance(candidate, type):
        raise TypeError(
            f"{name} {candidate.__name__} is a class and not an object; give an object, for example "
            f"{candidate.__name__}() with its parameters"
        )
    missing = [method for method in LOSS_METHODS if not callable(getattr(candidate, method, None))]
    if missing:
        raise TypeError(
            f"{name} {shown(candidate)} lacks {', '.join(missing)}; a loss has the three methods "
            "value, slope and curvature of (yhat, y)"
        )
    assert isinstance(candidate, Loss)
    return candidate
