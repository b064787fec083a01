"""The dynamics for N to infinity at a few times, as plain numbers for a table or JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

QUANTITIES = ("energy", "mu", "correlation", "amplification", "overlap_variance", "edge", "outlier")
_SHARES = (0.0, 1 / 32, 0.1, 1 / 3.2, 1.0)  # of t_max: half decades


def dynamics_summary(found: xr.Dataset) -> dict[str, Any]:
    """What :func:`~phasepipe.theory.dynamics` found, at five times, ready for JSON.

    Parameters
    ----------
    found
        Result of :func:`~phasepipe.theory.dynamics`.

    Returns
    -------
    dict
        ``times`` is a list with one entry a time: ``time``, ``energy``, ``mu``, ``correlation`` (with the
        start), ``amplification``, ``overlap_variance``, ``edge`` and ``outlier``, each with its
        ``<name>_error``. ``t_bbp`` with ``t_bbp_error`` is the time at which the outlier ceases to exist.
        What does not exist is None; for ``t_bbp``, ``t_bbp_note`` says why.
    """
    series = found[[name for base in QUANTITIES for name in (base, f"{base}_error")]]
    series = series.isel(earlier=0, drop=True)  # only the correlation has this dimension
    last = float(found["time"][-1])
    at_times = series.interp(time=last * np.array(_SHARES))
    entries: dict[str, Any] = {
        "alpha": float(found.attrs["alpha"]),
        "t_bbp": _finite(found["t_bbp"]),
        "t_bbp_error": _finite(found["t_bbp_error"]),
    }
    if entries["t_bbp"] is None:
        entries["t_bbp_error"] = None
        entries["t_bbp_note"] = _without(found, last)
    entries["times"] = [
        {"time": float(row["time"]), **{name: _finite(row[name]) for name in series}}
        for row in (at_times.isel(time=index) for index in range(len(_SHARES)))
    ]
    return entries | {
        "samples": int(found.attrs["samples"]),
        "seeds": int(found.attrs["seeds"]),
        "time_steps": int(found.attrs["time_steps"]),
        "accuracy_reached": float(found.attrs["accuracy_reached"]),
    }


def _without(found: xr.Dataset, last: float) -> str:
    if np.isposinf(found["t_bbp"]):
        return f"the outlier still exists at t = {last:g}"
    if not np.isfinite(found["outlier"]).any():
        return f"no outlier exists at any time up to t = {last:g}"
    return f"the seeds do not agree on whether an outlier exists up to t = {last:g}"


def _finite(value: xr.DataArray) -> float | None:
    return float(value) if np.isfinite(value) else None
