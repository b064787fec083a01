"""Time grid of the dynamics: steps that grow in proportion to the time since the start.

At late times the flow changes on the scale of the time itself, and the trapezoid rule follows adiabatically
what relaxes faster. While an overlap of order one grows, steps must also be short compared with its growth.
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
_SHARE = 0.06  # of the time since the start, at accuracy 0.01; the error is of second order in it
_OF_GROWTH = 4.0  # step times the growth rate of the overlap, relative to the share
_HALVINGS = 4


def step_share(accuracy: float) -> float:
    """Step divided by the time since the start, for a relative accuracy."""
    return _SHARE * float(np.sqrt(accuracy / 0.01))


def choose_times(loss: Loss, alpha: float, t_max: float, share: float, overlap: float = 0.0) -> Floats:
    """Times of a forward pass, from 0 to ``t_max``, an even number of steps.

    Parameters
    ----------
    loss, alpha
        As for :func:`phasepipe.theory.dynamics`.
    t_max
        Last time.
    share
        Step divided by the time since the start, including the time scale of the initial descent.
    overlap
        Initial overlap. Unless it is 0, a run with few samples finds where the overlap grows.

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
    pilot = EffectiveProcess(loss, alpha, variables, most + 2, initial_overlap=overlap)
    times, step = [0.0], np.inf
    while times[-1] < t_max:
        step = next_step(pilot, times[-1], 2 * share, t_max, step)
        if overlap:
            step = advance(pilot, step)
        times.append(times[-1] + step)
        if len(times) > most and times[-1] < t_max:
            raise ConvergenceError(
                f"t_max = {t_max:g} needs more than {MOST_STEPS} time steps (t = {times[-1]:.3g} was "
                "reached); ask for a shorter time or less accuracy"
            )
    shared = np.array(times)
    shared[-1] = t_max
    halves = np.empty(2 * len(shared) - 1)
    halves[::2], halves[1::2] = shared, 0.5 * (shared[1:] + shared[:-1])
    return halves


def next_step(
    process: EffectiveProcess, time: float, share: float, t_max: float, last: float = np.inf
) -> float:
    """Length of the next step.

    Parameters
    ----------
    process
        Its initial descent sets the unit of time, its overlap may ask for shorter steps.
    time, last
        Time of the start of the step, and length of the step before.
    share, t_max
        As for :func:`choose_times`.
    """
    offset = 1 / max(process.descent_rate, 1 / t_max)
    step = min(share * (time + offset), _GROWTH * last)
    if process.growth_rate:
        step = min(step, _OF_GROWTH * share / process.growth_rate)
    left = t_max - time
    # avoid a very short last step
    return left if left < 1.2 * step else min(step, left / 2) if left < 2 * step else step


def advance(process: EffectiveProcess, step: float) -> float:
    """Advance by this step, or by a shorter one if it cannot be solved; returns the step.

    Raises
    ------
    ConvergenceError
        If a step sixteen times shorter cannot be solved either.
    """
    for _ in range(_HALVINGS):
        try:
            process.advance(step)
        except ConvergenceError:
            step /= 2
        else:
            return step
    process.advance(step)
    return step
