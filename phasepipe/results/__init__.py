"""Compute a sweep and query its results: :func:`sweep`, :func:`open_sweep`, the accessor ``tree.phase``."""

from typing import TYPE_CHECKING

from phasepipe.lazy import on_demand

if TYPE_CHECKING:
    from phasepipe.results.accessor import PhaseAccessor
    from phasepipe.results.run import sweep
    from phasepipe.results.selection import QueryError
    from phasepipe.results.tree import open_sweep

__all__ = ["PhaseAccessor", "QueryError", "open_sweep", "sweep"]

# commands need one module of this package, and not what the others import
__getattr__ = on_demand(
    __name__,
    {
        "PhaseAccessor": "phasepipe.results.accessor",
        "QueryError": "phasepipe.results.selection",
        "open_sweep": "phasepipe.results.tree",
        "sweep": "phasepipe.results.run",
    },
)
