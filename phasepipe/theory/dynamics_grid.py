"""Time grid of the dynamics, chosen by a pilot run with few samples.

A step must be short compared with the time since the start, with the initial descent and with the decay of
the response to a kick. The pilot run provides these rates; all later passes use the same times.
"""

from __future__ import annotations

import numpy as np

from phasepipe.physics.losses import Loss
from phasepipe.theory.effective_process import EffectiveProcess
from phasepipe.theory.noise import GaussianVariables
from phasepipe.theory.quadrature import ConvergenceError, Floats

MOST_STEPS = 1200
"""Steps that one pass may take: the work grows with their third power."""
_PILOT_SAMPLES = 1 << 11
_GROWTH = 1.25  # largest ratio of consecutive steps


def choose_times(
    loss: Loss, alpha: float, t_max: float, share: float, decay: float, overlap: float = 0.0
) -> Floats:
    """Times of a forward pass, from 0 to ``t_max``, an even number of steps.

    Parameters
    ----------
    loss, alpha
        As for :func:`phasepipe.theory.dynamics`.
    t_max
        Last time.
    share
        Step divided by the time since the start, including the time scale of the initial descent.
    decay
        Step times the decay rate of the response to a kick.
    overlap
        Initial overlap of the pilot.

    Returns
    -------
    Increasing times, shape (steps + 1,). Times with odd index bisect the intervals between those with even
    index, so that the latter are a grid of the same kind with steps twice as long.

    Raises
    ------
    ConvergenceError
        If more than ``MOST_STEPS`` steps are needed.
    """
    most = MOST_STEPS // 2
    variables = GaussianVariables(_PILOT_SAMPLES, most + 2, 0, antithetic=overlap != 0)
    pilot = EffectiveProcess(loss, alpha, variables, most + 1, initial_overlap=overlap)
    offset = 1 / max(pilot.descent_rate, 1 / t_max)
    step, time = 2 * share * offset, 0.0
    while time < t_max:
        wanted = 2 * min(share * (time + offset), decay / max(pilot.decay_rate, 1e-300))
        step = min(wanted, _GROWTH * step)
        left = t_max - time
        # avoid a very short last step
        step = left if left < 1.2 * step else min(step, left / 2) if left < 2 * step else step
        step = _advance(pilot, step)
        time = float(pilot.time[pilot.steps])
        if pilot.steps == most and time < t_max:
            raise ConvergenceError(
                f"t_max = {t_max:g} needs more than {MOST_STEPS} time steps (t = {time:.3g} was reached); "
                "ask for a shorter time or less accuracy"
            )
    shared = pilot.time[: pilot.steps + 1]
    shared[-1] = t_max
    times = np.empty(2 * len(shared) - 1)
    times[::2], times[1::2] = shared, 0.5 * (shared[1:] + shared[:-1])
    return times


def _advance(pilot: EffectiveProcess, step: float) -> float:
    """Advance the pilot run, with a shorter step if this one cannot be solved; returns the step."""
    for _ in range(8):
        try:
            pilot.advance(step)
        except ConvergenceError:
            step /= 2
        else:
            return step
    pilot.advance(step)
    return step
