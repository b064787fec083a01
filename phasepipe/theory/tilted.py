"""Joint distribution of prediction and label at critical points: a Gaussian tilted by a few multipliers.

At overlap ``m`` the pair ``(yhat, y)`` of a random point is Gaussian with correlation ``m``. At the critical
points counted by the Kac-Rice formula its density is that of the Gaussian times ``exp(tilt)``,

    ``tilt = log|1 - g T| + Re(g) yhat l' - p l'^2 / 2 - A l - C y_e l'``
    ``+ kappa (r - yhat l') + delta (y_e² - 1) r``

with ``r = T / (1 - g T)`` and ``y_e = (y - m yhat) / sqrt(1 - m²)``; see docs/explanation/landscape.md for
the derivation. At minima ``g`` is real and the support is the set with ``1 - g T > 0``: *all* branches of the
proximal map, including local minima.

Integrals are composite Gauss rules on a grid adapted to the distribution. Each ``level`` doubles the number
of panels in both directions; errors are estimated by comparing two levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.losses import Loss
from phasepipe.theory.quadrature import CUT, Floats

Float64 = NDArray[np.float64]
Labels = Literal["typical", "averaged"]

NEGLIGIBLE = 45.0
"""Predictions whose weight is below exp(-45) of the maximum are left out."""
_REACH = 9.0  # initial range of predictions above the label
_DOUBLINGS = 8  # maximal number of doublings of this range for wide distributions
_TRIMS = 3
_BISECTIONS = 40
_SCAN = np.linspace(0, 1, 65)[:, None]
_POINTS = 8  # points of the Gauss rule in a panel of predictions
_PANELS = 5  # panels of each of the two pieces of the predictions
_LABEL_POINTS = 6
_LABEL_EDGES = np.array(
    [0, 0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.75, 1, 1.3, 1.65, 2, 2.5, 3, 3.7, 4.6, 5.8, 7.4, CUT]
)
_LAYERS = np.array([side * 0.3 * 4.0**-k for k in range(6) for side in (1, -1)])
"""Panels of labels about one at which the law of minima begins to split."""


@dataclass(frozen=True)
class Multipliers:
    """Parameters of the distribution for a class of critical points, besides loss and overlap."""

    resolvent: complex
    """``g`` of the Hessian at 0, real and negative at minima; in units of 1 / curvature."""
    gradient: float
    """``p = 1 / (alpha <l'^2>)``, conjugate to the size of the gradient; in units of 1 / slope²."""
    edge: float = 0.0
    """``kappa``, what holds the edge of the Hessian at 0; positive if it pays to have it below."""
    energy: float = 0.0
    """``A``, the slope of the complexity in the energy; in units of 1 / loss."""
    signal: float = 0.0
    """``C``, what makes the gradient towards the signal vanish; 0 at overlap 0. In units of 1 / slope."""
    outlier: float = 0.0
    """``delta``, what holds minima where they turn unstable towards the signal; in units of 1 / curvature."""


@dataclass(frozen=True)
class TiltedMeasure:
    """Joint distribution of ``(yhat, y)`` at critical points of a loss."""

    loss: Loss
    multipliers: Multipliers
    overlap: float = 0.0
    minima: bool = True  # restrict to 1 - g T > 0; otherwise weight by the modulus
    labels: Labels = "typical"  # typical: Gaussian labels; averaged: labels are tilted too

    def exponent(self, yhat: Floats, y: Floats) -> Float64:
        """Logarithm of the density, relative to a Gaussian label and Lebesgue measure of ``yhat``.

        Minus infinity outside the support of minima.
        """
        loss, at = self.loss, self.multipliers
        slope = loss.slope(yhat, y)
        T = loss.curvature(yhat, y)
        variance = 1 - self.overlap**2
        tangent = (y - self.overlap * yhat) / np.sqrt(variance)
        determinant = 1 - at.resolvent * T if at.resolvent.imag else 1 - at.resolvent.real * T
        exponent = (
            (at.resolvent.real - at.edge) * yhat * slope
            - 0.5 * at.gradient * slope**2
            - at.energy * loss.value(yhat, y)
            - at.signal * tangent * slope
            - 0.5 * (yhat - self.overlap * y) ** 2 / variance
            - 0.5 * np.log(2 * np.pi * variance)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = exponent + np.log(np.abs(determinant))
            if self.minima:
                constraints = (at.edge + at.outlier * (tangent**2 - 1)) * T / determinant
                exponent = np.where(determinant > 0, exponent + constraints, -np.inf)
        return np.asarray(exponent, dtype=np.float64)

    def grid(self, level: int = 0) -> Grid:
        """Nodes and probabilities; each ``level`` doubles the number of panels in both directions."""
        y, label_weights = self._label_nodes(level)
        signs = np.array([1.0]) if self.overlap == 0 else np.array([1.0, -1.0])
        labels = (signs[:, None] * y).ravel()
        lowest, middle, highest = self._pieces(labels)
        panel, panel_weights = _gauss(np.linspace(0, 1, _PANELS * 2**level + 1), _POINTS)
        # Both maps refine both ends, most strongly where the density of minima may begin in a thin layer.
        units = (panel**4 * (5 - 4 * panel), panel**2 * (3 - 2 * panel))
        stretches = (20 * panel**3 * (1 - panel), 6 * panel * (1 - panel))
        starts, widths = (lowest, middle), (middle - lowest, highest - middle)
        yhat = np.concatenate(
            [start + width * unit[:, None] for start, width, unit in zip(starts, widths, units, strict=True)]
        )
        weights = np.concatenate(
            [
                width * (stretch * panel_weights)[:, None]
                for width, stretch in zip(widths, stretches, strict=True)
            ]
        )
        exponent = self.exponent(yhat, np.broadcast_to(labels, yhat.shape))

        # concatenate rows of both signs of y: shape (points, labels)
        def folded(values: Float64) -> Float64:
            return np.concatenate(np.split(values, signs.size, axis=1))

        rows = len(yhat)
        yhat, weights, exponent = folded(yhat), folded(weights), folded(exponent)
        deepest = exponent.max(axis=0)
        density = np.exp(exponent - deepest) * weights * (2 / signs.size)
        norm = density.sum(axis=0)
        log_norm = deepest + np.log(norm)
        if self.labels == "averaged":
            top = log_norm.max()
            tilted = label_weights * np.exp(log_norm - top)
            total = top + np.log(tilted.sum())
            label_weights = tilted / tilted.sum()
        else:
            total = log_norm @ label_weights
        both = np.repeat(signs, rows)[:, None] * y
        return Grid(yhat, both, density / norm, label_weights, float(total))

    def average(self, function: Callable[[Floats, Floats], Floats], *, level: int = 2) -> Float64:
        """Average functions of ``(yhat, y)`` that are invariant under a change of both signs.

        Parameters
        ----------
        function
            Maps ``(yhat, y)``, arrays of one shape, to values of shape ``(components, *shape)``.
        level
            Refinement of the grid.
        """
        grid = self.grid(level)
        return grid.average(np.asarray(function(grid.yhat, grid.y), dtype=np.float64))

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Float64, Float64]:
        """Draw predictions and labels, shape (count,) each, of both signs, from the nodes of a fine grid."""
        grid = self.grid(2)
        probability = (grid.conditional * grid.label_weights).ravel()
        chosen = rng.choice(probability.size, size=count, p=probability / probability.sum())
        sign = rng.choice([-1.0, 1.0], size=count)
        y = grid.y.ravel()[chosen] * sign
        if self.overlap == 0:  # at overlap 0 both signs are independent
            y = y * rng.choice([-1.0, 1.0], size=count)
        return grid.yhat.ravel()[chosen] * sign, y

    @cached_property
    def critical_labels(self) -> Float64:
        """Positive labels at which ``1 - Re(g) T`` changes sign at ``yhat = 0``."""
        lower = np.concatenate([np.geomspace(1e-8, 1e-1, 71), np.linspace(0.1, CUT, 200)[1:]])
        signs = np.sign(self._convexity(np.zeros_like(lower), lower))
        cells = np.flatnonzero(signs[:-1] * signs[1:] < 0)
        left, right, before = lower[cells], lower[cells + 1], signs[cells]
        for _ in range(_BISECTIONS):
            middle = 0.5 * (left + right)
            same = np.sign(self._convexity(np.zeros_like(middle), middle)) == before
            left, right = np.where(same, middle, left), np.where(same, right, middle)
        return np.asarray(0.5 * (left + right))

    def _convexity(self, yhat: Float64, y: Float64) -> Float64:
        return np.asarray(
            1 - self.multipliers.resolvent.real * self.loss.curvature(yhat, y), dtype=np.float64
        )

    def _label_nodes(self, level: int) -> tuple[Float64, Float64]:
        """Positive labels and their probabilities, shape (labels,); refined where supports begin to split."""
        critical = self.critical_labels
        around = (critical[:, None] + _LAYERS).ravel()
        edges = np.unique(np.concatenate([_LABEL_EDGES, critical, around[(around > 0) & (around < CUT)]]))
        edges = edges[np.concatenate([[True], np.diff(edges) > 1e-9])]
        for _ in range(level):
            edges = np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])]))
        unit, weights = _gauss(np.array([0.0, 1.0]), _LABEL_POINTS)
        width = np.diff(edges)[:, None]
        y = (edges[:-1, None] + width * unit).ravel()
        density = np.sqrt(2 / np.pi) * np.exp(-0.5 * y**2) * (width * weights).ravel()
        return y, density / density.sum()

    def _pieces(self, y: Float64) -> tuple[Float64, Float64, Float64]:
        """Relevant range of predictions at a label, and the sign change of ``1 - Re(g) T`` inside it."""
        columns = np.arange(y.size)

        def scanned(lowest: Float64, highest: Float64) -> tuple[Float64, Float64]:
            points = lowest + (highest - lowest) * _SCAN**2
            return points, self.exponent(points, np.broadcast_to(y, points.shape))

        lowest, highest = np.zeros_like(y), np.abs(y) + _REACH
        for _ in range(_DOUBLINGS):
            _, exponent = scanned(lowest, highest)
            wider = exponent[-1] > exponent.max(axis=0) - NEGLIGIBLE
            if not wider.any():
                break
            highest = np.where(wider, 2 * highest, highest)
        for _ in range(_TRIMS):
            points, exponent = scanned(lowest, highest)
            matters = exponent > exponent.max(axis=0) - NEGLIGIBLE
            first = np.maximum(np.argmax(matters, axis=0) - 1, 0)
            last = np.minimum(len(points) - np.argmax(matters[::-1], axis=0), len(points) - 1)
            lowest, highest = points[first, columns], points[last, columns]
        points, _ = scanned(lowest, highest)
        positive = self._convexity(points, np.broadcast_to(y, points.shape)) > 0
        changes = positive[1:] != positive[:-1]
        cell = np.argmax(changes, axis=0)
        left, right, before = points[cell, columns], points[cell + 1, columns], positive[cell, columns]
        for _ in range(_BISECTIONS):
            middle = 0.5 * (left + right)
            same = (self._convexity(middle, y) > 0) == before
            left, right = np.where(same, middle, left), np.where(same, right, middle)
        middle = np.where(changes.any(axis=0), 0.5 * (left + right), lowest + 0.3 * (highest - lowest))
        if self.minima:  # the density is zero left of the sign change, so use both pieces to its right
            empty = changes.any(axis=0) & ~before
            lowest = np.where(empty, middle, lowest)
            middle = np.where(empty, lowest + 0.2 * (highest - lowest), middle)
        return lowest, middle, highest


@dataclass(frozen=True)
class Grid:
    """Nodes of a distribution: columns are labels, rows are predictions (for both signs of the label)."""

    yhat: Float64  # (points, labels), positive
    y: Float64  # (points, labels)
    conditional: Float64  # probability of a prediction given the modulus of its label, (points, labels)
    label_weights: Float64  # probability of the modulus of a label, (labels,)
    log_norm: float  # logarithm of the mass of the tilted Gaussian, averaged over labels if they are typical

    def average(self, values: Float64) -> Float64:
        """Average of values, shape (components, points, labels)."""
        weight = (self.conditional * self.label_weights).ravel()
        return np.asarray(values.reshape(len(values), -1) @ weight)

    def covariance(self, values: Float64, tilts: Float64, labels: Labels) -> Float64:
        """Derivative of averages of values by multipliers of tilts, shapes (components, points, labels)."""
        by_label = tuple(np.einsum("cpl,pl->cl", each, self.conditional) for each in (values, tilts))
        weighted = values * (self.conditional * self.label_weights)
        joint = weighted.reshape(len(values), -1) @ tilts.reshape(len(tilts), -1).T
        if labels == "averaged":
            means = tuple(each @ self.label_weights for each in by_label)
            return np.asarray(joint - np.outer(*means))
        return np.asarray(joint - (by_label[0] * self.label_weights) @ by_label[1].T)


def _gauss(edges: Float64, points: int) -> tuple[Float64, Float64]:
    """Nodes and weights of the composite Gauss-Legendre rule."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    half = 0.5 * np.diff(edges)[:, None]
    centre = 0.5 * (edges[1:] + edges[:-1])[:, None]
    return (centre + half * nodes).ravel(), (half * weights).ravel()
