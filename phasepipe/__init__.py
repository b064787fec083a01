"""phasepipe: at which signal-to-noise ratio does gradient descent find the good minimum, and why there?"""

from typing import TYPE_CHECKING, Any

from phasepipe import theory
from phasepipe.physics import starts
from phasepipe.physics.flow import run_descent, run_flow
from phasepipe.physics.hessian import spectrum
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import Problem

if TYPE_CHECKING:
    from phasepipe.results import open_sweep

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
    "theory",
]


def __getattr__(name: str) -> Any:
    # every Dask worker imports the package, and only notebooks need Zarr through it
    if name == "open_sweep":
        from phasepipe.results import open_sweep

        return open_sweep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
