"""phasepipe: at which signal-to-noise ratio does gradient descent find the good minimum, and why there?"""

from typing import TYPE_CHECKING

from phasepipe.lazy import on_demand

if TYPE_CHECKING:
    from phasepipe import theory
    from phasepipe.physics import starts
    from phasepipe.physics.flow import run_descent, run_flow
    from phasepipe.physics.hessian import spectrum
    from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic
    from phasepipe.physics.outcomes import Outcome
    from phasepipe.physics.problem import Problem
    from phasepipe.results.run import sweep
    from phasepipe.results.tree import open_sweep

__version__ = "0.1.0"

__all__ = [
    "Loss",
    "NormalisedQuartic",
    "Outcome",
    "Problem",
    "Quartic",
    "open_sweep",
    "run_descent",
    "run_flow",
    "spectrum",
    "starts",
    "sweep",
    "theory",
]

# every command and every Dask worker imports the package, and needs little of it
_MODULES = {
    "Loss": "phasepipe.physics.losses",
    "NormalisedQuartic": "phasepipe.physics.losses",
    "Outcome": "phasepipe.physics.outcomes",
    "Problem": "phasepipe.physics.problem",
    "Quartic": "phasepipe.physics.losses",
    "open_sweep": "phasepipe.results.tree",
    "run_descent": "phasepipe.physics.flow",
    "run_flow": "phasepipe.physics.flow",
    "spectrum": "phasepipe.physics.hessian",
    "starts": "phasepipe.physics.starts",
    "sweep": "phasepipe.results.run",
    "theory": "phasepipe.theory",
}
__getattr__ = on_demand(__name__, _MODULES)


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
