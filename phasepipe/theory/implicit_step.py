"""Equations that a step of the effective process solves: Newton's method, and Anderson mixing."""

from __future__ import annotations

import numpy as np

from phasepipe.physics.losses import Loss
from phasepipe.theory.quadrature import ConvergenceError, Floats

_NEWTON = 60


def implicit_prediction(loss: Loss, target: Floats, y: Floats, weight: float, guess: Floats) -> Floats:
    """Solve ``yhat + weight l'(yhat, y) = target`` for each sample, shape (samples,), by Newton's method.

    Raises
    ------
    ConvergenceError
        If it does not converge.
    """
    x = guess.copy()
    live = np.arange(x.size)
    for _ in range(_NEWTON):
        at, label = x[live], y[live]
        residual = at + weight * loss.slope(at, label) - target[live]
        step = residual / np.maximum(1 + weight * loss.curvature(at, label), 0.05)
        x[live] = at - step
        live = live[~(np.abs(step) <= 1e-10 * (1 + np.abs(at)))]
        if live.size == 0:
            return x
    raise ConvergenceError("Newton's method for the predictions did not converge: the step is too long")


class Anderson:
    """Accelerate a fixed-point iteration by Anderson mixing of depth one."""

    def __init__(self) -> None:
        self._last: tuple[Floats, Floats] | None = None

    def __call__(self, point: Floats, image: Floats) -> Floats:
        """Next point, from the current point and its image."""
        residual = image - point
        last, self._last = self._last, (residual, image.copy())
        if last is None:
            return image
        difference = residual - last[0]
        size = difference @ difference
        share = float(np.clip(residual @ difference / size, -9.0, 0.9)) if size > 0 else 0.0
        return np.asarray((1 - share) * image + share * last[1])
