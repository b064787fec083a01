"""The rounds of a sweep with the key ``precision``: what was added to its grid, why, and what it brought.

The table ``precision.zarr`` decides: the grid of the sweep is what the file asks for and everything that its
rounds have added. A round is stored when it is decided, before its runs are computed, so that a workflow that
was killed goes on with the same round. Without the table the rounds are decided again, from the same runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr
from pydantic import ValidationError

from phasepipe.errors import SweepError
from phasepipe.log import logger
from phasepipe.physics.problem import measurement_count
from phasepipe.specification.grid import RefinedCell
from phasepipe.specification.messages import sentence
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import identity_hash, provenance
from phasepipe.store.tables import open_store, write_table
from phasepipe.variables import PRECISION, labelled

TABLE = "precision"


class Addition(NamedTuple):
    """Instances that a round adds at one N and number of measurements; ``total`` are there afterwards."""

    N: int
    measurements: int
    instances: int
    total: int


class Estimate(NamedTuple):
    """alpha_50 of one N after a round, the ends of its interval, and its half-width (inf if unbounded)."""

    alpha_50: float
    alpha_50_lower: float
    alpha_50_upper: float
    half_width: float


@dataclass(frozen=True)
class Round:
    """Runs that were added together; round 0 adds none, it is the grid that was asked for."""

    why: str = "the grid of the sweep"
    core_seconds: float = 0.0
    additions: tuple[Addition, ...] = ()
    estimates: dict[int, Estimate] = field(default_factory=dict)  # by N, once the runs are computed


@dataclass(frozen=True)
class Rounds:
    """All rounds so far, and how they ended."""

    rounds: tuple[Round, ...] = (Round(),)
    conclusion: str = ""

    @property
    def core_seconds(self) -> float:
        """Estimated cost of all runs that were added."""
        return sum(each.core_seconds for each in self.rounds)

    def grown(self, sweep: Sweep) -> Sweep:
        """The sweep with all added runs in its grid, as entries of ``refine``.

        Raises
        ------
        SweepError
            If that grid exceeds what a sweep may have.
        """
        cells = {(cell.N, measurement_count(cell.N, cell.alpha)): cell for cell in sweep.refine}
        additions = [addition for each in self.rounds for addition in each.additions if addition.N in sweep.N]
        for N, M, _, total in additions:
            former = cells.get((N, M))
            if former is None or former.instances < total:
                cells[N, M] = RefinedCell(N=N, alpha=former.alpha if former else M / N, instances=total)
        if not additions:
            return sweep
        refine = [cells[key].model_dump() for key in sorted(cells)]
        try:
            grown = Sweep.model_validate(sweep.model_dump() | {"refine": refine})
        except ValidationError as error:
            raise SweepError(sentence(f"sweep {sweep.name!r} with its rounds", error, Sweep)) from error
        # a copy: a loss of the user's own that was trusted still is
        return sweep.model_copy(update={"refine": grown.refine})


def grown_sweep(sweep: Sweep, folder: SweepFolder) -> Sweep:
    """The sweep with everything in its grid that stored rounds have added; as asked for without the key.

    Raises
    ------
    DamagedStoreError
        If the table of the rounds cannot be read.
    """
    return sweep if sweep.precision is None else read_rounds(sweep, folder).grown(sweep)


def read_rounds(sweep: Sweep, folder: SweepFolder) -> Rounds:
    """The stored rounds; none if there is no table, or one of a sweep with other settings.

    Raises
    ------
    DamagedStoreError
        If the table cannot be read.
    """
    if not os.path.lexists(folder.table(TABLE)):
        return Rounds()
    table = open_store(folder.table(TABLE)).load()
    if table.attrs.get("specification_hash") != identity_hash(sweep):
        logger.warning("%s belongs to another sweep and is not used", folder.table(TABLE))
        return Rounds()
    rounds = []
    for number in table["round"].values.tolist():
        of_round = table.sel(round=number)
        mine = table["added_round"].values == number
        columns = [table[f"added_{name}"].values[mine].tolist() for name in Addition._fields]
        known = {
            N: Estimate(*(float(of_round[name].sel(N=N)) for name in Estimate._fields))
            for N in table["N"].values.tolist()
        }
        rounds.append(
            Round(
                str(of_round["why"].item()),
                float(of_round["core_seconds"]),
                tuple(Addition(*row) for row in zip(*columns, strict=True)),
                {N: estimate for N, estimate in known.items() if not np.isnan(estimate.half_width)},
            )
        )
    return Rounds(tuple(rounds), str(table["conclusion"].item()))


def write_rounds(sweep: Sweep, folder: SweepFolder, rounds: Rounds) -> None:
    """Replace the table of the rounds of a sweep with the key ``precision``."""
    assert sweep.precision is not None
    sizes, unknown = sorted(sweep.precise_sizes()), Estimate(*[np.nan] * len(Estimate._fields))
    estimates = np.array([[each.estimates.get(N, unknown) for N in sizes] for each in rounds.rounds])
    added = [(number, *addition) for number, each in enumerate(rounds.rounds) for addition in each.additions]
    columns = np.array(added, np.int64).reshape(len(added), 1 + len(Addition._fields)).T
    names = ("added_round", *(f"added_{name}" for name in Addition._fields))
    table = xr.Dataset(
        {
            **{name: (("round", "N"), estimates[:, :, at]) for at, name in enumerate(Estimate._fields)},
            "core_seconds": ("round", [each.core_seconds for each in rounds.rounds]),
            "why": ("round", [each.why for each in rounds.rounds]),
            **{name: ("addition", column) for name, column in zip(names, columns, strict=True)},
            "wanted": sweep.precision.alpha_50,
            "budget_seconds": 3600 * sweep.precision.core_hours,
            "conclusion": rounds.conclusion,
        },
        {"round": np.arange(len(rounds.rounds)), "N": sizes},
    )
    write_table(folder.table(TABLE), labelled(table, PRECISION).assign_attrs(provenance(sweep)))
