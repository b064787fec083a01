"""Join tables of one N or one kind of start each into one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.variables import COORDINATES

_LEADING = ("N", "alpha", "start_group")


def join_sizes(tables: Mapping[int, xr.Dataset]) -> xr.Dataset:
    """Join the tables of all N.

    The result has the alphas of all N; where an N lacks an alpha, counts are 0 and other values are NaN.

    Parameters
    ----------
    tables
        Tables by N, all with the same variables.

    Returns
    -------
    Dataset whose dimensions begin with N, alpha and start_group, as far as it has them. Its attributes are
    those of the first table.
    """
    parts = [table.drop_vars(("N", "measurements"), errors="ignore") for table in tables.values()]
    joined = xr.concat(parts, pd.Index(list(tables), name="N"), join="outer", fill_value=_fill(parts[0]))
    joined = joined.transpose(*(dim for dim in _LEADING if dim in joined.dims), ...)
    for name in ("N", "alpha"):
        joined[name].attrs = COORDINATES[name].attributes()
    return joined.assign_attrs(parts[0].attrs)


def join_groups(tables: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join the tables of all kinds of start along ``start_group``, filled as by :func:`join_sizes`."""
    return xr.concat(list(tables), "start_group", join="outer", fill_value=_fill(tables[0]))


def _fill(table: xr.Dataset) -> dict[str, Any]:
    return {
        str(name): 0 if np.issubdtype(values.dtype, np.integer) else np.nan
        for name, values in table.data_vars.items()
    }
