"""Complexity of the threshold states from the replica free energy.

See docs/explanation/physics.md §7.

``Sigma = Phi + x E`` with ``Phi = log(1 + x / chi) / 2 + alpha <log E_h exp(-x V(h, y))>``, ``E`` the energy
per dimension. If predictions do not jump at ``h = 0`` (``chi`` below ``-1 / inf T``), this equals the
Kac-Rice complexity of marginal minima at the same energy (:mod:`phasepipe.theory.complexity`).
"""

from __future__ import annotations

import numpy as np

from phasepipe.theory.measure import ThresholdMeasure
from phasepipe.theory.quadrature import Estimate, Floats, Integers, gaussian_average, integrate


def replica_complexity(measure: ThresholdMeasure, alpha: float, energy: float) -> float:
    """Logarithm of the number of threshold states per dimension; if negative, typically none exist.

    Parameters
    ----------
    measure
        Distribution of the threshold states, a solution of the equations at this alpha.
    alpha
        Measurements per dimension.
    energy
        Loss per dimension, ``alpha <l>``.

    Raises
    ------
    ConvergenceError
        If the average does not converge.
    """
    free = 0.5 * np.log1p(measure.x / measure.chi) + alpha * log_partition(measure).value[0]
    return float(free + measure.x * energy)


def log_partition(measure: ThresholdMeasure) -> Estimate:
    """``<log E_h exp(-x V)>`` with ``h`` a standard Gaussian, and its error, shape (1,)."""

    def at_label(y: Floats) -> Floats:
        lowest, highest, deepest = measure.support(y)
        reach = highest - lowest

        def integrand(points: Floats, owner: Integers) -> Floats:
            stretch = reach[owner][:, None]
            yhat = lowest[owner][:, None] + stretch * points**2
            label = np.broadcast_to(y[owner][:, None], yhat.shape)
            exponent = measure.exponent(yhat, label) - deepest[owner][:, None]
            convexity = 1 + measure.chi * measure.loss.curvature(yhat, label)
            return np.asarray((np.exp(-exponent) * convexity * 2 * stretch * points)[None])

        inner = integrate(integrand, np.zeros(y.size), np.ones(y.size), tolerance=1e-10)
        norm, error = inner.value[0], inner.error[0]
        return np.stack([np.log(np.sqrt(2 / np.pi) * norm) - deepest, error / norm])

    outer = gaussian_average(at_label, breaks=measure.critical_labels, deciding=1)
    return Estimate(outer.value[:1], outer.error[:1] + outer.value[1:])
