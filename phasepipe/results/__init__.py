"""Query the results of a sweep: :func:`open_sweep` and the accessor ``tree.phase``."""

from phasepipe.results.accessor import PhaseAccessor
from phasepipe.results.selection import QueryError
from phasepipe.results.tree import open_sweep

__all__ = ["PhaseAccessor", "QueryError", "open_sweep"]
