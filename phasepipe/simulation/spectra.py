"""Measured and predicted spectra of the Hessian at the stored points of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.hessian import spectrum
from phasepipe.physics.losses import Loss
from phasepipe.physics.problem import Problem
from phasepipe.theory.density import bulk_density
from phasepipe.theory.resolvent import predict
from phasepipe.variables import PREDICTED, SPECTRA, SPECTRUM

Float = NDArray[np.float64]

EIGENPAIRS = 2
# points of the predicted density, denser towards the edge; the density costs more than the spectrum
GRID = 72


def spectra_at(problem: Problem, loss: Loss, points: NDArray[np.float32]) -> dict[str, Float]:
    """Measured and predicted spectra at ``points`` (count, N): arrays by name, first dimension count."""
    measured = spectrum(problem, loss, points, k=EIGENPAIRS, full=True)
    predictions = points.astype(np.float64) @ problem.sensing.T / np.sqrt(problem.N)
    predicted = predict(problem.labels, predictions, measured["overlap"].values, loss, problem.N)
    grids = np.stack([_density_grid(row) for row in measured["all_eigenvalues"].values])
    densities = [
        bulk_density(grid, problem.labels, yhat, loss, problem.N)
        for grid, yhat in zip(grids, predictions, strict=True)
    ]
    values = {name: measured[name].values for name in SPECTRUM if name in SPECTRA}
    values |= {name: getattr(predicted, name) for name in PREDICTED}
    return values | {"density_eigenvalue": grids, "density": np.stack(densities)}


def _density_grid(eigenvalues: Float) -> Float:
    """Grid from just below the lowest eigenvalue to the upper quartile; the long right tail is left out."""
    low, high = eigenvalues[0], np.quantile(eigenvalues, 0.75)
    grid: Float = low + (high - low) * (1.05 * np.linspace(0, 1, GRID) ** 1.5 - 0.05)
    return grid
