"""Responses of ``w``, and of its overlap with a fixed direction, to the start and to earlier forces.

They are those of the flow integrated by the implicit trapezoid rule: a force at one time of the grid acts as
a pulse that rises linearly from the time before and falls to the time after. Sums over the past need the
response to a pulse, in place of a quadrature of the response function. It is smooth where the response
function decays within a step, so that steps may grow with time.
"""

from __future__ import annotations

import numpy as np

from phasepipe.theory.quadrature import Floats


class Propagator:
    """Responses up to the current time, first of ``w``, then of its overlap with the direction.

    Parameters
    ----------
    most
        Largest number of times, the first included.

    Attributes
    ----------
    start
        Response to the start, ``R(t, 0)``, shape (2, most).
    pulse
        Response of each time (row) to a pulse of force at each time up to it, shape (2, most, most).
    """

    def __init__(self, most: int) -> None:
        self.start, self.pulse = np.zeros((2, most)), np.zeros((2, most, most))
        self._start_change, self._change = np.zeros((2, most)), np.zeros((2, most, most))

    def begin(self, rate: Floats) -> None:
        """First time; ``rate`` (2,) is that of the responses, ``mu`` minus the local kernel."""
        self.start[:, 0], self._start_change[:, 0] = 1.0, rate
        self._change[:, 0, 0] = 1.0
        self._rate = rate

    def predict(self, n: int, times: Floats) -> None:
        """Guess row n, which varies slowly along diagonals."""
        P, S = self.pulse, self.start
        half = 0.5 * (times[n] - times[n - 1])
        P[:, n, n] = half / np.maximum(1 - half * self._rate, 0.5)
        if n == 1:
            S[:, 1] = 1 / (1 - np.minimum(2 * half * self._rate, 0.5))
            P[:, 1, 0] = half
            return
        ratio = (times[n] - times[n - 1]) / (times[n - 1] - times[n - 2])
        P[:, n, 1:n] = ratio * P[:, n - 1, : n - 1]
        if n > 2:
            P[:, n, 2:n] += ratio * (P[:, n - 1, 1 : n - 1] - P[:, n - 2, : n - 2])
        P[:, n, 0] = P[:, n - 1, 0] + ratio * (P[:, n - 1, 0] - P[:, n - 2, 0])
        S[:, n] = S[:, n - 1] + ratio * (S[:, n - 1] - S[:, n - 2])

    def extend(self, n: int, half: float, mu: float, kernels: Floats) -> float:
        """Row n by the trapezoid rule.

        Parameters
        ----------
        n, half
            Index of the time, and half of the step.
        mu
            Multiplier of the sphere.
        kernels
            Response of the force to the field at all times, ``Gamma`` and that of the direction, shape
            (2, n + 1).

        Returns
        -------
        Largest change of the row of ``w``, relative to its last entry.
        """
        before = self.pulse[0, n, : n + 1].copy()
        self._rate = mu - kernels[:, n]
        for which, (kernel, rate) in enumerate(zip(kernels, self._rate, strict=True)):
            P, change = self.pulse[which], self._change[which]
            past = kernel[:n] @ P[:n, :n]
            P[n, :n] = (P[n - 1, :n] + half * (change[n - 1, :n] - past)) / (1 - half * rate)
            P[n, n] = half / (1 - half * rate)
            change[n, :n], change[n, n] = rate * P[n, :n] - past, 1 + rate * P[n, n]
            S, start_change = self.start[which], self._start_change[which]
            feedback = kernel[:n] @ S[:n]
            S[n] = (S[n - 1] + half * (start_change[n - 1] - feedback)) / (1 - half * rate)
            start_change[n] = rate * S[n] - feedback
        return float(np.abs(self.pulse[0, n, : n + 1] - before).max() / abs(self.pulse[0, n, n]))

    def scale(self, n: int, factor: float) -> None:
        """The projection onto the sphere multiplies ``w(t_n)``, and therefore its responses."""
        for array in (self.start, self._start_change):
            array[:, n] *= factor
        for matrix in (self.pulse, self._change):
            matrix[:, n] *= factor

    def response(self, n: int, times: Floats) -> Floats:
        """``R(t, s)`` at the first n times, shape (n, n): 1 on the diagonal, 0 above."""
        widths = np.gradient(times[:n]) if n > 1 else np.ones(1)
        R: Floats = np.tril(self.pulse[0, :n, :n] / widths, -1) + np.eye(n)
        R[:, 0] = self.start[0, :n]
        return R
