"""The threshold that gradient flow meets: the alpha at which the states where it ends turn unstable.

Runs without a signal end in marginal minima. Had the labels a signal, the Hessian there would have a
direction towards it as soon as the response ``S = 1 + bbp_margin`` exceeds 1
(docs/explanation/landscape.md). Here S of runs at several N and alpha becomes one number, alpha_flow:

1. the mean of S over runs is extrapolated to t to infinity (:mod:`phasepipe.analysis.late_time`);
2. at every N, a straight line in alpha through the cells nearest to S = 1 gives the alpha where S = 1;
3. these are fitted by ``alpha_flow + c N^-omega``. A few sizes do not determine omega: the value is the mean
   of the fits with omega = 1/2 and omega = 1, and half their difference is a part of the error.

Errors are those of whole instances, by resampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.analysis.late_time import Cell, LateTimes, late_times, spread
from phasepipe.analysis.sizes import join_sizes
from phasepipe.analysis.summaries import carried
from phasepipe.physics.outcomes import Outcome
from phasepipe.variables import FLOW_THRESHOLD, labelled

Float = NDArray[np.float64]

SAMPLES = 400  # resamples of whole instances
OMEGAS = (0.5, 1.0)  # exponents of the correction in N between which the truth is taken to lie
NEAREST = 4  # cells through which the line in alpha is drawn
LEAST_SLOPE = 2.0  # of that line, in standard errors
_CROSSINGS = ("crossing", "crossing_end")
_UNKNOWN = np.full(3, np.nan)  # data and two resamples
_TINY = 1e-12  # errors of runs that are all alike


def flow_threshold(runs: Mapping[int, xr.Dataset], rng: np.random.Generator) -> xr.Dataset:
    """Response where runs end, the alpha at which it is 1 at every N, and its limit for N to infinity.

    Parameters
    ----------
    runs
        By N: ``outcome`` (alpha, instance, start) and ``bbp_margin`` (alpha, instance, start, time) of runs
        without a signal. A run that ended keeps its last record; pending and diverged runs do not count.
    rng
        Random stream of the resamples.

    Returns
    -------
    The arrays of ``phasepipe.variables.FLOW_THRESHOLD``. What the runs do not determine is NaN, and
    ``note`` says in sentences why.
    """
    sizes = sorted(runs)
    cells = {N: _cells(runs[N]) for N in sizes}
    flat = [cell for N in sizes for cell in cells[N] if cell is not None]
    if not flat:
        return _table(runs, cells, None, {}, ["no cell has runs on two instances"])
    time = runs[sizes[0]]["time"].values.astype(float)
    late = late_times(flat, time, SAMPLES, rng)
    notes: list[str] = []
    moments = [("crossing_end", late.end, f"at t = {time[-1]:g}")]
    if np.isnan(late.limit[0, 0]):
        notes.append("the last decade of time has too few records for an extrapolation in time")
    else:
        moments.append(("crossing", late.limit, "for t to infinity"))
    crossings: dict[str, dict[int, Float]] = {}
    for name, response, when in moments:
        crossings[name], first = {}, 0
        for N in sizes:
            known = np.array([cell is not None for cell in cells[N]], bool)
            rows = response[first : first + int(known.sum())]
            first += len(rows)
            found = _crossing(runs[N]["alpha"].values[known], rows)
            crossings[name][N] = found.samples
            if found.reason:
                notes.append(f"at N = {N}, {when}, {found.reason}")
    return _table(runs, cells, late, crossings, notes)


@dataclass(frozen=True)
class _Crossing:
    """Where S = 1 at one N: data and resamples, NaN with a reason where it is not known."""

    samples: Float
    reason: str = ""


def _cells(runs: xr.Dataset) -> list[Cell | None]:
    """The runs of every alpha, None where fewer than two instances have any."""
    found: list[Cell | None] = []
    for row in range(runs.sizes["alpha"]):
        cell = runs.isel(alpha=row)
        outcome = cell["outcome"].transpose("instance", "start").values
        margin = cell["bbp_margin"].transpose("instance", "start", "time").values.astype(float)
        response = 1 + carried(np.isfinite(margin), {"margin": margin})["margin"]
        counts = (outcome != Outcome.PENDING) & (outcome != Outcome.DIVERGED)
        counts &= np.isfinite(response).all(axis=-1)
        sums = np.where(counts[..., None], response, 0.0).sum(axis=1)
        per_instance = counts.sum(axis=1).astype(float)
        found.append(Cell(sums, per_instance) if (per_instance > 0).sum() > 1 else None)
    return found


def _crossing(alpha: Float, response: Float) -> _Crossing:
    """The alpha where S = 1, from S of the data and of resamples, shape (alpha, sample)."""
    samples = response.shape[1]
    unknown = np.full(samples, np.nan)
    if len(alpha) < 2:
        return _Crossing(unknown, "fewer than two alphas have a response")
    values, low, high = response[:, 0], float(alpha.min()), float(alpha.max())
    if (values > 1).all():
        return _Crossing(unknown, f"S exceeds 1 down to alpha = {low:.4g}; add smaller alphas")
    if (values < 1).all():
        return _Crossing(unknown, f"S is below 1 up to alpha = {high:.4g}; add larger alphas")
    near = np.sort(np.argsort(np.abs(values - 1), kind="stable")[:NEAREST])
    weight = 1 / np.maximum(spread(response[near]), _TINY)
    centre = alpha[near].mean()
    design = np.stack([np.ones(len(near)), alpha[near] - centre], axis=1) * weight[:, None]
    height, slope = np.linalg.pinv(design) @ (weight[:, None] * (response[near] - 1))
    if not slope[0] > LEAST_SLOPE * spread(slope):
        return _Crossing(unknown, "S does not rise with alpha beyond its errors; run more instances")
    found = centre - height / slope
    if not low <= found[0] <= high:
        return _Crossing(unknown, "the line through S crosses 1 outside the alphas; widen their range")
    return _Crossing(found)


def _limit(sizes: list[int], crossings: Mapping[int, Float]) -> tuple[float, float, float]:
    """Limit for N to infinity, its statistical error, and half its spread over omega; NaN if unknown."""
    known = [N for N in sizes if np.isfinite(crossings.get(N, _UNKNOWN)[0])]
    if len(known) < 2:
        return np.nan, np.nan, np.nan
    rows = np.stack([crossings[N] for N in known])
    weight = 1 / np.maximum(spread(rows), _TINY)
    limits = []
    for omega in OMEGAS:
        shift = (np.array(known, float) / known[0]) ** -omega
        design = np.stack([np.ones(len(known)), shift], axis=1) * weight[:, None]
        limits.append((np.linalg.pinv(design) @ (weight[:, None] * rows))[0])
    mean = np.mean(limits, axis=0)
    return float(mean[0]), float(spread(mean)), float(abs(limits[0][0] - limits[1][0]) / 2)


def _table(
    runs: Mapping[int, xr.Dataset],
    cells: Mapping[int, list[Cell | None]],
    late: LateTimes | None,
    crossings: Mapping[str, dict[int, Float]],
    notes: list[str],
) -> xr.Dataset:
    table = join_sizes(_responses(runs, cells, late))
    for name in _CROSSINGS:
        known = [crossings.get(name, {}).get(N, _UNKNOWN) for N in sorted(runs)]
        table[name] = ("N", [float(samples[0]) for samples in known])
        table[f"{name}_error"] = ("N", [float(spread(samples)) for samples in known])
    limits = _limits(sorted(runs), crossings)
    if np.isnan(limits["alpha_flow"]):
        notes = [*notes, "alpha_flow needs the alpha where S = 1 at two or more N"]
    limits["exponent"] = np.nan if late is None else float(late.exponent[0])
    words = {"note": "; ".join(dict.fromkeys(notes))}
    return labelled(table.assign(limits | words), FLOW_THRESHOLD)


def _limits(sizes: list[int], crossings: Mapping[str, dict[int, Float]]) -> dict[str, float]:
    """The scalars of the table: alpha_flow with the parts of its error, and the same at the last record."""
    limit, statistical, size = _limit(sizes, crossings.get("crossing", {}))
    at_end, end_statistical, end_size = _limit(sizes, crossings.get("crossing_end", {}))
    # one decade does not test a power law: half of what it adds counts as an error
    time = abs(limit - at_end) / 2
    return {
        "alpha_flow": limit,
        "alpha_flow_error": float(np.sqrt(statistical**2 + size**2 + time**2)),
        "alpha_flow_statistical": statistical,
        "alpha_flow_size": size,
        "alpha_flow_time": time,
        "alpha_flow_end": at_end,
        "alpha_flow_end_error": float(np.hypot(end_statistical, end_size)),
    }


def _responses(
    runs: Mapping[int, xr.Dataset], cells: Mapping[int, list[Cell | None]], late: LateTimes | None
) -> dict[int, xr.Dataset]:
    """Responses of every N, dimension alpha."""
    tables, row = {}, 0
    for N in sorted(runs):
        columns = {
            name: np.full(len(cells[N]), np.nan)
            for base in ("response", "response_limit")
            for name in (base, f"{base}_error")
        }
        counts = np.zeros(len(cells[N]), np.int64)
        for at, cell in enumerate(cells[N]):
            if cell is None or late is None:
                continue
            columns["response"][at], columns["response_error"][at] = late.end[row, 0], late.end_error[row]
            columns["response_limit"][at] = late.limit[row, 0]
            columns["response_limit_error"][at] = late.limit_error[row]
            counts[at] = int(cell.counts.sum())
            row += 1
        data = {name: ("alpha", values) for name, values in columns.items()}
        tables[N] = xr.Dataset(data | {"runs": ("alpha", counts)}, {"alpha": runs[N]["alpha"].values})
    return tables
