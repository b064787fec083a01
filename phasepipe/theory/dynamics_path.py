"""A forward pass over given times, and its results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.losses import Loss
from phasepipe.theory.effective_process import EffectiveProcess
from phasepipe.theory.noise import GaussianVariables
from phasepipe.theory.quadrature import Floats
from phasepipe.theory.resolvent import last_crossing_time, predict

SAMPLE = 4096
"""Samples whose label and predictions are kept."""


@dataclass(frozen=True)
class Path:
    """Results of one pass at the requested times."""

    series: dict[str, Floats]  # each (time,)
    two_time: dict[str, Floats]  # each (time, earlier)
    t_bbp: float
    label: NDArray[np.float32]  # (sample,)
    yhat: NDArray[np.float32]  # (time, sample)


def follow(
    loss: Loss, alpha: float, times: Floats, samples: int, seed: int, overlap: float = 0.0, every: int = 1
) -> Path:
    """Run one pass over ``times`` and return the results at every ``every``-th time.

    Parameters
    ----------
    loss, alpha, overlap
        As for :func:`phasepipe.theory.dynamics`.
    times
        Shape (steps + 1,), increasing from 0.
    samples, seed
        Number of samples, and seed of their scrambling.
    every
        Interval of the reported times; the first time is always included.

    Raises
    ------
    ConvergenceError
        If a step cannot be solved.
    """
    variables = GaussianVariables(samples, len(times) + 1, seed, antithetic=overlap != 0)
    process = EffectiveProcess(loss, alpha, variables, len(times), initial_overlap=overlap)
    label = variables.label[:SAMPLE].astype(np.float32)
    kept, spectra = [], []
    for number in range(len(times)):
        if number:
            process.advance(times[number] - times[number - 1])
        if number % every == 0:
            kept.append(process.yhat[:SAMPLE].astype(np.float32))
            m = float(process.overlap[number])
            found = predict(process.z, process.yhat, m, loss, samples / alpha)
            spectra.append((found.edge, found.outlier, found.outlier_overlap, found.bbp_margin))
    edge, outlier, outlier_overlap, margin = np.array(spectra, dtype=np.float64).T
    last = len(times)
    unknown = np.full(last, np.nan)
    everything = {
        "energy": process.energy,
        "mu": process.mu,
        "overlap": process.overlap,
        # both are defined only for starts without overlap
        "amplification": process.amplification if overlap == 0 else unknown,
        "overlap_variance": process.variance if overlap == 0 else unknown,
    }
    series = {name: values[:last:every].copy() for name, values in everything.items()}
    series |= {"edge": edge, "outlier": outlier, "outlier_overlap": outlier_overlap, "bbp_margin": margin}
    two_time = {
        "correlation": process.correlation()[::every, ::every],
        "response": process.propagator.response(last, process.time)[::every, ::every],
    }
    t_bbp = float(last_crossing_time(times[::every], margin))
    return Path(series, two_time, t_bbp, label, np.stack(kept))
