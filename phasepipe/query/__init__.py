"""Ask the results of a sweep: :func:`open_sweep` and the accessor ``tree.phase``."""

from phasepipe.query.accessor import PhaseAccessor
from phasepipe.query.selection import QueryError
from phasepipe.query.tree import open_sweep

__all__ = ["PhaseAccessor", "QueryError", "open_sweep"]
