"""How a run can end (PHYSICS §3). Values are part of the store format."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """Fate of a run; ``PENDING`` marks a run that has not been computed."""

    PENDING = 0
    RECOVERED = 1
    TRAPPED = 2
    UNDECIDED = 3
    DIVERGED = 4

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return _MEANINGS[self]


_MEANINGS = {
    Outcome.PENDING: "not computed yet",
    Outcome.RECOVERED: "the overlap with the signal passed the recovery threshold",
    Outcome.TRAPPED: "certified: small gradient and positive definite Hessian, a spurious minimum is near",
    Outcome.UNDECIDED: "the time budget was spent before the run was recovered or certified as trapped",
    Outcome.DIVERGED: "the state stopped being finite or the step size collapsed: an error, not a trap",
}
