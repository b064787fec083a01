"""Averages over the distribution of critical points, with derivatives by all multipliers.

The derivative of an average by a multiplier is its covariance with the function that the multiplier tilts,
plus the average of its explicit derivative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phasepipe.theory.tilted import TiltedMeasure

Float64 = NDArray[np.float64]
Unknown = Literal["chi", "eta", "gradient", "edge", "energy", "signal", "outlier", "alpha"]
Average = Literal["resolvent", "gradient", "square", "energy", "signal", "response", "response_slope", "work"]

UNKNOWNS: tuple[Unknown, ...] = ("chi", "eta", "gradient", "edge", "energy", "signal", "outlier", "alpha")
CHI, ETA, GRADIENT, EDGE, ENERGY, SIGNAL, OUTLIER, ALPHA = range(len(UNKNOWNS))
AVERAGES: tuple[Average, ...] = (
    "resolvent",  # Re r - yhat l', with r = T / (1 - g T)
    "gradient",  # l'^2
    "square",  # |r|²
    "energy",  # l
    "signal",  # y_e l'
    "response",  # (y_e² - 1) Re r
    "response_slope",  # (y_e² - 1) Re r²
    "work",  # yhat l'
)


@dataclass(frozen=True)
class Averages:
    """Averages at given multipliers, and their derivatives."""

    mean: dict[Average, float]
    slopes: dict[Average, Float64]  # derivatives by UNKNOWNS; 0 for alpha
    log_norm: float  # logarithm of the mass of the tilted Gaussian
    norm_slopes: Float64  # derivatives of log_norm by UNKNOWNS; 0 for alpha


def averages_at(measure: TiltedMeasure, level: int = 0) -> Averages:
    """Averages of a distribution on a grid of given refinement."""
    at, loss, m = measure.multipliers, measure.loss, measure.overlap
    grid = measure.grid(level)
    yhat, y = grid.yhat, grid.y
    slope, T, value = loss.slope(yhat, y), loss.curvature(yhat, y), loss.value(yhat, y)
    g = at.resolvent if at.resolvent.imag else at.resolvent.real
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(grid.conditional > 0, T / (1 - g * T), 0.0)
    real, imaginary, square = r.real, r.imag, np.abs(r) ** 2
    r_squared = r * r
    r_cubed = r_squared * r
    tangent = (y - m * yhat) / np.sqrt(1 - m * m)
    excess, work = tangent**2 - 1, yhat * slope
    functions = np.stack(
        [
            real - work,
            slope**2,
            square,
            value,
            tangent * slope,
            excess * real,
            excess * r_squared.real,
            work,
        ]
    )
    tilts = np.stack(
        [
            real - work - (at.edge + at.outlier * excess) * r_squared.real,
            imaginary,
            -0.5 * slope**2,
            real - work,
            -value,
            -tangent * slope,
            excess * real,
        ]
    )
    # explicit dependence on chi and eta: dr / dchi = -r², dr / deta = i r²
    explicit = grid.average(
        np.stack(
            [
                -r_squared.real,
                -r_squared.imag,
                -2 * square * real,
                -2 * square * imaginary,
                -excess * r_squared.real,
                -excess * r_squared.imag,
                -2 * excess * r_cubed.real,
                -2 * excess * r_cubed.imag,
            ]
        )
    )
    slopes = np.zeros((len(AVERAGES), len(UNKNOWNS)))
    slopes[:, :ALPHA] = grid.covariance(functions, tilts, measure.labels)
    dependent: tuple[Average, ...] = ("resolvent", "square", "response", "response_slope")
    for k, name in enumerate(dependent):
        slopes[AVERAGES.index(name), [CHI, ETA]] += explicit[2 * k : 2 * k + 2]
    norm_slopes = np.zeros(len(UNKNOWNS))
    norm_slopes[:ALPHA] = grid.average(tilts)
    means = grid.average(functions)
    return Averages(
        {name: float(means[k]) for k, name in enumerate(AVERAGES)},
        {name: slopes[k] for k, name in enumerate(AVERAGES)},
        grid.log_norm,
        norm_slopes,
    )
