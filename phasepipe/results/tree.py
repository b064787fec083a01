"""Open the stores of a sweep as one labelled tree."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from phasepipe.errors import SweepError, shown
from phasepipe.results import accessor  # noqa: F401  registers tree.phase
from phasepipe.results.contents import REDUCED, STAGES, TABLES
from phasepipe.results.summary import SweepTree
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_chunked, refuse_mixture


def open_sweep(path: str | Path, trust: bool = False) -> xr.DataTree:
    """Open all stored results of a sweep as one lazily loaded tree.

    Parameters
    ----------
    path
        Folder of the sweep, for example ``results/demo``, or folder written by ``phasepipe reduce``.
    trust
        Whether the code of a custom loss that the folder names may be run, by ``tree.phase.rerun`` for
        example. Nothing that a folder names is imported otherwise.

    Returns
    -------
    xarray.DataTree
        ``tree["runs/N256"]``, ``tree["instances/N256"]`` and, once computed, ``tree["success"]`` and so on.
        Arrays are read from disk when their values are used. Runs that are not computed have
        ``status`` 0. A notebook shows what the sweep is, how much of it is computed and what to ask, above
        the arrays. Use the accessor ``tree.phase`` for queries
        (:class:`~phasepipe.results.accessor.PhaseAccessor`).

    Raises
    ------
    FileNotFoundError
        If the folder holds no sweep.
    DamagedStoreError, SweepError
        If it holds a sweep that cannot be read, or ``path`` is not a path.

    Examples
    --------
    >>> tree = open_sweep(folder)
    >>> sorted(tree["runs"].children)
    ['N12', 'N16']
    >>> tree["runs/N16"]["outcome"].dims
    ('alpha', 'instance', 'start')
    """
    if not isinstance(path, str | Path):
        raise SweepError(f"{shown(path)} is not a path; give that of a sweep, for example 'results/demo'")
    folder = SweepFolder(Path(path))
    if not os.path.isdir(folder.root):
        raise FileNotFoundError(_no_sweep(folder))
    found = {
        f"{stage}/N{N}": open_chunked(store) for stage in STAGES for N, store in folder.stores(stage).items()
    }
    archives = {
        folder.archive(name): open_chunked(folder.archive(name))
        for name in (*TABLES, *REDUCED)
        if os.path.lexists(folder.archive(name))
    }
    refuse_mixture(archives)
    found |= {path.name.partition(".")[0]: table for path, table in archives.items()}
    found |= {
        name: open_chunked(folder.table(name))
        for name in (*TABLES, *REDUCED)
        if os.path.lexists(folder.table(name))
    }
    if not found:
        raise FileNotFoundError(_no_sweep(folder))
    found["/"] = xr.Dataset(attrs={"folder": str(folder.root.resolve()), "trust": trust})
    tree = xr.DataTree.from_dict(found, name=folder.root.resolve().name)
    return SweepTree(tree.to_dataset(), dict(tree.children), tree.name)


def _no_sweep(folder: SweepFolder) -> str:
    return f"{folder.root} holds no sweep; run one with phasepipe run, or name the folder of one"
