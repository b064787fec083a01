"""Groups of starts of the same kind; success and scaling are estimated separately for each group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from phasepipe.physics.start_kinds import StartKind
from phasepipe.specification.sweep import Sweep


@dataclass(frozen=True)
class StartGroup:
    """Starts of one kind and one overlap ``m0`` (NaN if the kind has no overlap)."""

    position: int
    kind: StartKind
    m0: float

    @property
    def name(self) -> str:
        """Readable name."""
        kind = f"{self.kind.name.lower()} starts"
        return kind if np.isnan(self.m0) else f"{kind}, m0 = {self.m0:g}"

    @property
    def suffix(self) -> str:
        """Ending of file names; empty for the first group."""
        return f"-{self.position}" if self.position else ""

    def select(self, runs: xr.Dataset) -> xr.Dataset:
        """The runs of this group."""
        same = runs["start_kind"].values == self.kind
        if not np.isnan(self.m0):
            same &= runs["start_m0"].values == self.m0
        return runs if same.all() else runs.isel(start=np.flatnonzero(same))


def start_groups(sweep: Sweep) -> list[StartGroup]:
    """Groups in the order of the sweep."""
    return [
        StartGroup(position, StartKind[start.kind.upper()], getattr(start, "m0", float("nan")))
        for position, start in enumerate(sweep.starts)
    ]
