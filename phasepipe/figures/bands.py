"""What figures show of the thresholds for N to infinity: a band and the literature's line.

Marginal minima, the traps of the descent, do not turn unstable towards the signal at one alpha, and do not
lie at one energy. The band spans those that exist, from the most numerous to those of complexity 0. The
threshold of the literature is that of one-step replica symmetry breaking (1RSB).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from phasepipe.figures.style import BLACK, ORANGE

UNSTABLE = "marginal minima unstable"
LITERATURE = "1RSB"
BAND: dict[str, Any] = {"color": ORANGE, "alpha": 0.28, "linewidth": 0, "zorder": 0}
EDGE: dict[str, Any] = {"color": ORANGE, "linewidth": 0.9}
ONE_RSB: dict[str, Any] = {"color": BLACK, "linestyle": (0, (1, 1.5)), "linewidth": 0.8}


class Band(NamedTuple):
    """Both ends of the marginal minima that exist; of either an alpha or an energy."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether both ends are."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


class Thresholds(NamedTuple):
    """The thresholds that a figure marks; NaN is not drawn."""

    initial: float  # alpha_init
    unstable: Band  # marginal minima turn unstable towards the signal: the most numerous, the lowest
    one_rsb: float  # alpha_threshold of the literature
