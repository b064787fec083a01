"""Ask the results of a sweep."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.tables import open_store

STAGES = ("instances", "runs", "spectra")
TABLES = ("theory", "success", "scaling", "fate")


def open_sweep(path: str | Path) -> xr.DataTree:
    """Everything a sweep has stored, as one lazily loaded tree.

    Parameters
    ----------
    path
        Folder of the sweep, for example ``results/demo``.

    Returns
    -------
    xarray.DataTree
        ``tree["runs/N256"]``, ``tree["instances/N256"]`` and, once computed, ``tree["success"]`` and so on.
        Arrays are read from disk when their values are used. Runs that are not computed have
        ``status`` 0.

    Raises
    ------
    FileNotFoundError
        If the folder holds no sweep.

    Examples
    --------
    >>> tree = open_sweep("results/demo")                                        # doctest: +SKIP
    >>> tree["success"]["p"].sel(N=256).isel(start_group=0, budget=-1)           # doctest: +SKIP
    """
    folder = SweepFolder(Path(path))
    found = {
        f"{stage}/N{N}": open_store(store) for stage in STAGES for N, store in folder.stores(stage).items()
    }
    found |= {name: open_store(folder.table(name)) for name in TABLES if folder.table(name).exists()}
    if not found:
        raise FileNotFoundError(
            f"{folder.root} holds no sweep; run one with snakemake, or name the folder of one"
        )
    return xr.DataTree.from_dict(found, name=folder.root.name)
