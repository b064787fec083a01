"""phasepipe: at which signal-to-noise ratio does gradient descent find the good minimum, and why there?"""

from phasepipe.physics import starts
from phasepipe.physics.flow import run_descent, run_flow
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic
from phasepipe.physics.problem import Problem

__version__ = "0.1.0"

__all__ = [
    "Loss",
    "NormalisedQuartic",
    "Problem",
    "Quartic",
    "__version__",
    "run_descent",
    "run_flow",
    "starts",
]
