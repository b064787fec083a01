"""The history of a sweep: the histories of its stores and tables in order of time."""

from __future__ import annotations

import os
from typing import Any

from phasepipe.results.contents import REDUCED, STAGES, TABLES
from phasepipe.store.folder import SweepFolder
from phasepipe.store.history import past_entries
from phasepipe.store.opening import read_attributes
from phasepipe.store.tables import open_store


def read_history(folder: SweepFolder) -> list[dict[str, Any]]:
    """Everything that commands have done to a sweep, oldest first.

    Parameters
    ----------
    folder
        Results of a sweep, or the folder of a reduced one, which keeps the history of the runs.

    Returns
    -------
    One entry for each store and command: ``at`` and ``started`` (times in UTC), ``command``, ``version`` and
    ``commit`` of the program, ``store``, for example ``runs/N64``. A store of runs, instances or spectra
    also has ``sizes`` of its axes after the command, ``grew`` (the earlier sizes of those that grew) and, if
    the command continued an earlier one, ``computes`` (the number of entries that were left to compute).

    Raises
    ------
    DamagedStoreError
        If a store cannot be read.
    """
    found: list[dict[str, Any]] = []
    for stage in STAGES:
        for N, path in folder.stores(stage).items():
            sizes: dict[str, int] = {}
            for entry in past_entries(read_attributes(path)):
                now = entry.get("sizes") or {}
                grew = {axis: sizes.get(axis, 0) for axis in now if now[axis] != sizes.get(axis, 0)}
                found.append(entry | {"store": f"{stage}/N{N}", "grew": grew})
                sizes = now
    for name in TABLES:
        if folder.table(name).exists():
            found += [entry | {"store": name} for entry in past_entries(read_attributes(folder.table(name)))]
    if not found:
        kept = [folder.archive(name) for name in REDUCED if os.path.lexists(folder.archive(name))]
        found = past_entries(open_store(kept[0]).attrs) if kept else []
    return sorted(found, key=lambda entry: str(entry.get("at")))
