"""Compute a sweep and query its results: :func:`sweep`, :func:`open_sweep`, the accessor ``tree.phase``."""

from phasepipe.results.accessor import PhaseAccessor
from phasepipe.results.run import sweep
from phasepipe.results.selection import QueryError
from phasepipe.results.tree import open_sweep

__all__ = ["PhaseAccessor", "QueryError", "open_sweep", "sweep"]
