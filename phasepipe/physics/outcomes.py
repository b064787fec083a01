"""How a run can end (PHYSICS §3). Values are part of the store format."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """Fate of a run; ``PENDING`` marks a run that has not been computed."""

    PENDING = 0  # not computed yet
    RECOVERED = 1  # |m| passed the recovery threshold
    TRAPPED = 2  # certified: small gradient, positive definite Hessian, a spurious minimum is near
    UNDECIDED = 3  # the time budget was spent first
    DIVERGED = 4  # not finite, or the step size collapsed: an error, not a trap
