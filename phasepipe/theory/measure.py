"""Distribution of predictions and labels in the threshold states (docs/explanation/physics.md §7).

At given ``y`` the field ``h`` has density proportional to ``exp(-h²/2 - x V(h, y))``. With ``yhat`` as the
integration variable, ``h = yhat + chi l'(yhat, y)`` and ``dh = (1 + chi l'') dyhat``. The integrals then need
no proximal map, and the factor weakens the near-singularity ``1 / (1 + chi l'')²`` by one power. The
predictions start at ``b(y)``, the proximal map of ``h = 0+``. Where ``b`` leaves 0, at
``1 + chi l''(0, y) = 0``, the average over ``y`` has an inverse-square-root singularity, and the quadrature
is split there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from phasepipe.physics.losses import Loss
from phasepipe.theory.proximal import proximal_map
from phasepipe.theory.quadrature import (
    CUT,
    TOLERANCE,
    Estimate,
    Floats,
    Integers,
    gaussian_average,
    integrate,
)

REACH = 9.0
"""Fields up to this far above the label are kept: beyond, the weight is below exp(-40) of its maximum."""
NEGLIGIBLE = 45.0
"""Predictions whose weight is below exp(-45) of the maximum are left out."""
_TRIMS = 4
_SAMPLE_BLOCK = 8192
_CELLS = np.linspace(0, 1, 513)[:, None]
_SCAN = np.linspace(0, 1, 25)[:, None] ** 2


@dataclass(frozen=True)
class ThresholdMeasure:
    """Joint distribution of ``(yhat, y)`` at given ``chi`` and ``x``.

    Both signs of either variable are equally likely; the methods use ``yhat > 0`` and ``y > 0``.
    """

    loss: Loss
    chi: float  # response of a prediction to its field, in units of 1 / curvature
    x: float  # Parisi parameter, in units of 1 / loss

    def field(self, yhat: Floats, y: Floats) -> Floats:
        """Field ``h`` whose proximal map is ``yhat``."""
        return yhat + self.chi * self.loss.slope(yhat, y)

    def exponent(self, yhat: Floats, y: Floats) -> Floats:
        """Minus the logarithm of the density of ``h`` at ``yhat``, up to a function of ``y``."""
        slope = self.loss.slope(yhat, y)
        field = yhat + self.chi * slope
        return 0.5 * field**2 + self.x * (self.loss.value(yhat, y) + 0.5 * self.chi * slope**2)

    def support(self, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Range of positive ``yhat`` with non-negligible probability at each label.

        Parameters
        ----------
        y
            Positive labels, shape (n,).

        Returns
        -------
        lowest, highest
            Ends of the range, shape (n,).
        deepest
            Approximately the smallest :meth:`exponent` in the range, shape (n,).
        """
        lowest = proximal_map(self.loss, np.zeros_like(y), y, self.chi)
        highest = proximal_map(self.loss, y + REACH, y, self.chi)
        columns = np.arange(y.size)
        for _ in range(_TRIMS):
            scan = lowest + (highest - lowest) * _SCAN
            exponent = self.exponent(scan, np.broadcast_to(y, scan.shape))
            deepest = exponent.min(axis=0)
            matters = exponent < deepest + NEGLIGIBLE
            first = np.maximum(np.argmax(matters, axis=0) - 1, 0)
            last = np.minimum(len(scan) - np.argmax(matters[::-1], axis=0), len(scan) - 1)
            lowest, highest = scan[first, columns], scan[last, columns]
        return lowest, highest, deepest

    @cached_property
    def critical_labels(self) -> tuple[float, ...]:
        """Positive labels at which ``1 + chi l''(0, y)`` changes sign."""

        def convexity(y: Floats) -> Floats:
            return 1 + self.chi * self.loss.curvature(np.zeros_like(y), y)

        grid = np.concatenate([np.geomspace(1e-8, 1e-1, 141), np.linspace(0.1, CUT, 400)[1:]])
        signs = np.sign(convexity(grid))
        cells = np.flatnonzero(signs[:-1] * signs[1:] < 0)
        return tuple(
            float(
                brentq(lambda y: float(convexity(np.array(y))), grid[k], grid[k + 1], xtol=1e-16, rtol=1e-15)
            )
            for k in cells
        )

    def density(self, yhat: Floats, y: float) -> Floats:
        """Density of the prediction at a given label, over both signs of ``yhat``.

        Parameters
        ----------
        yhat
            Predictions, shape (n,).
        y
            Label.
        """
        label = np.array([abs(y)])
        lowest, highest, deepest = self.support(label)
        norm = integrate(
            lambda points, _: self._unnormalised(points, np.broadcast_to(label, points.shape), deepest)[None],
            lowest,
            highest,
        )
        start = proximal_map(self.loss, np.zeros(1), label, self.chi)
        size = np.abs(yhat)
        inside = np.maximum(size, start)
        weight = self._unnormalised(inside, np.broadcast_to(label, size.shape), deepest)
        return np.where(size >= start, 0.5 * weight / norm.value[0], 0.0)

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw predictions and labels, for spectra and histograms.

        The cumulative distribution of each prediction is inverted on 512 cells.

        Parameters
        ----------
        count
            Number of independent draws.
        rng
            Random generator.

        Returns
        -------
        yhat, y
            Predictions and labels, shape (count,) each, of both signs.
        """
        y = rng.standard_normal(count)
        yhat = np.empty(count)
        for start in range(0, count, _SAMPLE_BLOCK):
            block = slice(start, start + _SAMPLE_BLOCK)
            yhat[block] = self._draw(np.abs(y[block]), rng)
        return yhat * rng.choice([-1.0, 1.0], size=count), y

    def _draw(self, y: Floats, rng: np.random.Generator) -> Floats:
        lowest, highest, deepest = self.support(y)
        edges = lowest + (highest - lowest) * _CELLS**2
        middle = 0.5 * (edges[1:] + edges[:-1])
        weight = self._unnormalised(middle, np.broadcast_to(y, middle.shape), deepest) * np.diff(
            edges, axis=0
        )
        cumulative = np.concatenate([np.zeros((1, y.size)), np.cumsum(weight, axis=0)])
        wanted = rng.random(y.size) * cumulative[-1]
        cell = np.argmax(cumulative[1:] > wanted, axis=0)
        columns = np.arange(y.size)
        fraction = (wanted - cumulative[cell, columns]) / weight[cell, columns]
        return np.asarray(edges[cell, columns] + fraction * np.diff(edges, axis=0)[cell, columns])

    def _unnormalised(self, yhat: Floats, y: Floats, deepest: Floats) -> Floats:
        """Density of a positive prediction, up to a factor that depends on the label."""
        convexity = 1 + self.chi * self.loss.curvature(yhat, y)
        boltzmann = np.exp(deepest - self.exponent(yhat, y))
        concave = (convexity < -1e-9) & (boltzmann > 1e-12)
        if concave.any():
            raise ValueError(
                f"the proximal map of {self.loss!r} jumps at a field h > 0 (y = {y[concave][0]:.3g}, "
                f"chi = {self.chi:.3g}); threshold states are computed for losses that jump at h = 0 only, "
                "that is, losses convex in yhat beyond one inflection point"
            )
        return np.asarray(boltzmann * convexity)

    def average(
        self, function: Callable[[Floats, Floats], Floats], *, tolerance: float = TOLERANCE
    ) -> Estimate:
        """Average functions of ``(yhat, y)``, even in both.

        Parameters
        ----------
        function
            Maps ``(yhat, y)``, arrays of one shape, to values of shape ``(components, *shape)``.
        tolerance
            Relative accuracy of each average.

        Raises
        ------
        ConvergenceError
            If an average does not converge.
        ValueError
            If the proximal map of the loss jumps at ``h > 0``.
        """

        def at_label(y: Floats) -> Floats:
            lowest, highest, deepest = self.support(y)
            reach = highest - lowest

            def integrand(points: Floats, owner: Integers) -> Floats:
                stretch = reach[owner][:, None]
                yhat = lowest[owner][:, None] + stretch * points**2
                label = np.broadcast_to(y[owner][:, None], yhat.shape)
                weight = self._unnormalised(yhat, label, deepest[owner][:, None]) * (2 * stretch * points)
                return np.concatenate([weight[None], weight * function(yhat, label)])

            inner = integrate(integrand, np.zeros(y.size), np.ones(y.size), tolerance=0.1 * tolerance)
            norm = inner.value[0]
            error = (inner.error[1:] + np.abs(inner.value[1:] / norm) * inner.error[0]) / norm
            return np.concatenate([inner.value[1:] / norm, error])

        components = len(function(np.ones(1), np.ones(1)))
        outer = gaussian_average(
            at_label, breaks=self.critical_labels, tolerance=tolerance, deciding=components
        )
        return Estimate(outer.value[:components], outer.error[:components] + outer.error[components:])
