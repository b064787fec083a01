"""Line in the plane of ``chi`` and ``x`` on which the threshold states of a loss lie.

See docs/explanation/physics.md §7.

The saddle-point equation and marginality each give an ``alpha`` for any ``(chi, x)``; on the line the two
agree. As ``chi`` increases from 0 along the line, alpha decreases from infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count, pairwise

import numpy as np
from scipy.optimize import brentq

from phasepipe.physics.losses import Loss
from phasepipe.theory.measure import ThresholdMeasure
from phasepipe.theory.quadrature import TOLERANCE, ConvergenceError, Floats

COARSE = 1e-5
"""Quadrature tolerance while a solution is looked for."""
_FIRST = 0.15  # first chi, in units of 1 / curvature; small, so that the search begins at large alpha
_NEAREST_ZERO = 1e-6  # end of the search towards large alpha, in the same units
_STEP = 1.6  # ratio of consecutive values of chi
_SMALLEST_STEP = 0.005  # in log chi: with smaller steps the line has ended
_LARGEST_JUMP = 0.7  # in log (x / chi) between neighbours; a larger jump leads to a branch beyond a fold
_LAST = 100.0  # last chi, in units of 1 / curvature, where alpha is near 1 and the energy near 0
Target = Callable[["Averages"], float]


@dataclass(frozen=True)
class Averages:
    """Averages at one ``(chi, x)`` that the equations need."""

    chi: float
    x: float
    displacement: float  # <(yhat - h)²>
    square: float  # <(chi T / (1 + chi T))²>
    signal: float  # <(y² - 1) chi T / (1 + chi T)>
    energy: float  # <l>
    work: float  # <yhat l'>
    weight: float  # <chi T / (1 + chi T)>
    relative_error: float  # of the averages that enter the equations

    @property
    def alpha(self) -> float:
        """Measurements per dimension by marginality."""
        return 1 / self.square

    @property
    def mismatch(self) -> float:
        """Logarithm of alpha by the saddle point over alpha by marginality."""
        return float(np.log(self.chi / (self.chi + self.x) / self.displacement * self.square))


def averages_at(loss: Loss, chi: float, x: float, tolerance: float = TOLERANCE) -> Averages:
    """Averages of docs/explanation/physics.md §7 at given ``chi`` and ``x``."""

    def averaged(yhat: Floats, y: Floats) -> Floats:
        slope = loss.slope(yhat, y)
        scaled = chi * loss.curvature(yhat, y)
        ratio = scaled / (1 + scaled)
        values = ((chi * slope) ** 2, ratio**2, (y * y - 1) * ratio, loss.value(yhat, y), yhat * slope, ratio)
        return np.stack(values)

    estimate = ThresholdMeasure(loss, chi, x).average(averaged, tolerance=tolerance)
    displacement, square, signal, energy, work, weight = (float(value) for value in estimate.value)
    # The signal average is compared with a number of the size of the square.
    relative = np.max(estimate.error[:4] / np.array([displacement, square, square, energy]))
    return Averages(chi, x, displacement, square, signal, energy, work, weight, float(relative))


@dataclass
class _Walk:
    """Points of a line in one direction of ``chi`` that are known so far."""

    factor: float  # ratio of chi between neighbours; closer to 1 after a point that was not found
    points: list[Averages] = field(default_factory=list)


class ThresholdLine:
    """The line of a loss, computed as far as needed.

    Its points depend only on the loss, and each is computed once. Further alphas therefore cost less, and
    give the same states as when they are computed separately.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._rising = _Walk(_STEP)
        self._falling = _Walk(1 / _STEP)

    def ends_around(self, target: Target) -> tuple[Averages, Averages] | None:
        """Neighbouring points between which the target changes sign; None if there are none.

        The first crossing from small ``chi``, that is, from large alpha, is used. Beyond a fold of the line,
        where alpha increases again, the states are not the continuation of those at large alpha, and the
        search ends.
        """
        if self._first is None:
            return None
        value = target(self._first)
        for here, there in pairwise(self._follow(self._rising if value > 0 else self._falling)):
            if target(there) * value <= 0:
                return here, there
        return None

    def at(self, chi: float, x_guess: float) -> Averages | None:
        """Point of the line at a given ``chi``; None if there is no point near the guess."""

        @cache
        def averages(log_x: float) -> Averages:
            return averages_at(self.loss, chi, float(np.exp(log_x)), COARSE)

        def mismatch(log_x: float) -> float:
            return averages(log_x).mismatch

        lower = float(np.log(x_guess))
        value = mismatch(lower)
        direction = 1.0 if value > 0 else -1.0  # the mismatch falls with x
        step = 0.4
        for _ in range(8):
            upper = lower + direction * step
            if mismatch(upper) * value <= 0:
                return averages(brentq(mismatch, min(lower, upper), max(lower, upper), xtol=1e-3))
            lower, step = upper, 1.6 * step
        return None

    @cached_property
    def _stiffness(self) -> float:
        one, none = np.ones(1), np.zeros(1)
        return float(max(self.loss.curvature(one, one)[0], -self.loss.curvature(none, one)[0]))

    @cached_property
    def _first(self) -> Averages | None:
        return self.at(_FIRST / self._stiffness, _FIRST * self._stiffness)

    def _follow(self, walk: _Walk) -> Iterator[Averages]:
        """Points of a walk: first the known ones, then new ones."""
        for k in count():
            if k == len(walk.points):
                further = self._further(walk)
                if further is None:
                    return
                walk.points.append(further)
            yield walk.points[k]

    def _further(self, walk: _Walk) -> Averages | None:
        """Next point of a walk; None if the line ends or folds back."""
        if not walk.points:
            return self._first
        here = walk.points[-1]
        while (
            _NEAREST_ZERO <= here.chi * self._stiffness < _LAST and abs(np.log(walk.factor)) >= _SMALLEST_STEP
        ):
            there = self._step(here, walk.factor)
            if there is not None:
                return there
            walk.factor **= 0.5
        return None

    def _step(self, here: Averages, factor: float) -> Averages | None:
        try:
            there = self.at(here.chi * factor, here.x * factor)
        except ConvergenceError:
            return None
        if there is None:
            return None
        folds = (there.alpha - here.alpha) * (factor - 1) > 0
        jumps = abs(np.log(there.x / there.chi) - np.log(here.x / here.chi)) > _LARGEST_JUMP
        return None if folds or jumps else there
