"""The stores of a sweep as one labelled tree."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_chunked

STAGES = ("instances", "runs", "spectra")
TABLES = ("theory", "success", "scaling", "fate", "flow_threshold")
REDUCED = ("counts", "window", "decision", "course", "curvature")  # what phasepipe reduce makes of the runs


def open_sweep(path: str | Path) -> xr.DataTree:
    """Everything a sweep has stored, as one lazily loaded tree.

    Parameters
    ----------
    path
        Folder of the sweep, for example ``results/demo``, or of one that ``phasepipe reduce`` has made small.

    Returns
    -------
    xarray.DataTree
        ``tree["runs/N256"]``, ``tree["instances/N256"]`` and, once computed, ``tree["success"]`` and so on.
        Arrays are read from disk when their values are used. Runs that are not computed have
        ``status`` 0. Questions are asked through ``tree.phase``
        (:class:`~phasepipe.results.accessor.PhaseAccessor`).

    Raises
    ------
    FileNotFoundError
        If the folder holds no sweep.

    Examples
    --------
    >>> tree = open_sweep(folder)
    >>> sorted(tree["runs"].children)
    ['N12', 'N16']
    >>> tree["runs/N16"]["outcome"].dims
    ('alpha', 'instance', 'start')
    """
    folder = SweepFolder(Path(path))
    found = {
        f"{stage}/N{N}": open_chunked(store) for stage in STAGES for N, store in folder.stores(stage).items()
    }
    found |= {
        name: open_chunked(path)
        for name in (*TABLES, *REDUCED)
        for path in (folder.archive(name), folder.table(name))
        if path.exists()
    }
    if not found:
        raise FileNotFoundError(
            f"{folder.root} holds no sweep; run one with snakemake, or name the folder of one"
        )
    found["/"] = xr.Dataset(attrs={"folder": str(folder.root.resolve())})
    return xr.DataTree.from_dict(found, name=folder.root.resolve().name)
