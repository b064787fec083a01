"""Stage *dynamics*: gradient flow for N to infinity at some alphas of a sweep, and success without a fit.

Every alpha is a Dask task. Results are kept by loss, alpha and accuracy in the folder ``theory-cache`` of the
results, so that sweeps of the same loss share them.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client, as_completed
from numpy.typing import NDArray

from phasepipe.errors import UserError
from phasepipe.execution.cluster import connect
from phasepipe.execution.progress import reporting
from phasepipe.log import logger, logging_to
from phasepipe.physics.record_times import record_times
from phasepipe.specification.dynamics_theory import DynamicsTheory
from phasepipe.specification.loss import LossSpec
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.success import time_budgets
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import loss_identity, provenance, theory_hash
from phasepipe.store.tables import open_store, write_table
from phasepipe.theory.dynamics import dynamics
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.warm_starts import HORIZONS, warm_starts
from phasepipe.variables import DYNAMICS, labelled

CACHE = "theory-cache"
SEEDS = 2
_SERIES = (
    "energy", "mu", "amplification", "overlap_variance", "edge", "outlier", "outlier_overlap", "bbp_margin",
)  # fmt: skip


class DynamicsError(UserError):
    """The dynamics for N to infinity cannot be computed for this sweep; the message says why."""


def predict_dynamics(sweep: Sweep, folder: SweepFolder, log: Path | None = None, cores: int = 1) -> None:
    """Write ``dynamics.zarr``: time series for N to infinity, and where half of the random starts recover.

    Raises
    ------
    DynamicsError
        If the sweep does not ask for it, or an alpha cannot be computed.
    """
    wanted = sweep.dynamics_theory
    if wanted is None:
        raise DynamicsError(f"sweep {sweep.name!r} asks for no dynamics; set dynamics_theory: true")
    with logging_to(log):
        alphas = predicted_alphas(sweep, wanted)
        places = {alpha: _place(sweep, folder, wanted, alpha) for alpha in alphas}
        missing = [alpha for alpha in alphas if not places[alpha].exists()]
        logger.info("dynamics: %d alphas, %d to compute", len(alphas), len(missing))
        if missing:
            with connect(sweep.cluster, cores) as client:
                _compute(client, sweep, wanted, {alpha: places[alpha] for alpha in missing})
        table = xr.concat([open_store(places[alpha]).load() for alpha in alphas], "alpha")
        write_table(folder.table("dynamics"), labelled(table, DYNAMICS).assign_attrs(provenance(sweep)))
        logger.info("dynamics: written to %s", folder.table("dynamics"))


def predicted_alphas(sweep: Sweep, wanted: DynamicsTheory) -> list[float]:
    """The alphas that are predicted, ascending: those named, else those of the grid at the largest N."""
    return sorted(wanted.alpha if wanted.alpha is not None else sweep.alphas(max(sweep.N)))


def _place(sweep: Sweep, folder: SweepFolder, wanted: DynamicsTheory, alpha: float) -> Path:
    """Where the result for one alpha is kept, for all sweeps of the same results folder."""
    settings = wanted.model_dump(exclude={"alpha"}) | {"alpha": alpha, "seeds": SEEDS}
    settings |= {"loss": loss_identity(sweep.loss), "code": theory_hash()}
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    return folder.root.parent / CACHE / f"dynamics-{key}.zarr"


def _compute(client: Client, sweep: Sweep, wanted: DynamicsTheory, places: dict[float, Path]) -> None:
    failures = []
    with reporting("dynamics", len(places)) as reporter:
        settings = sweep.loss, wanted.model_dump_json()
        futures = {
            client.submit(_predict, *settings, alpha, pure=False): alpha
            for alpha in sorted(places, reverse=True)
        }
        for future in as_completed(list(futures), loop=client.loop):
            alpha, error = futures[future], future.exception()
            if error is not None:
                failures.append(f"alpha = {alpha:.4g}: {error}")
                continue
            table, notes = future.result()
            for note in notes:
                logger.warning("dynamics: alpha = %.4g: %s", alpha, note)
            write_table(places[alpha], table)
            reporter.advance(1, {})
    if failures:
        raise DynamicsError(f"the dynamics cannot be computed, all others are stored: {'; '.join(failures)}")


def _predict(specified: LossSpec, wanted_json: str, alpha: float) -> tuple[xr.Dataset, list[str]]:
    """Series at the record times and half-recovery sizes at the budgets of one alpha; warnings as text."""
    loss = specified.build()
    wanted = DynamicsTheory.model_validate_json(wanted_json)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = dynamics(
            loss, alpha, wanted.t_max, samples=wanted.samples, seeds=SEEDS, accuracy=wanted.accuracy
        )
        budgets = np.array(time_budgets(wanted.t_max))
        halves = _half_sizes(loss, alpha, wanted, budgets)
    times = record_times(wanted.t_max, 8)
    series = found[[name for base in _SERIES for name in (base, f"{base}_error")]]
    series = series.assign(
        correlation=found["correlation"].isel(earlier=0, drop=True),
        correlation_error=found["correlation_error"].isel(earlier=0, drop=True),
    )
    table = series.drop_vars("earlier", errors="ignore").interp(time=times)
    logs = np.log(halves)
    table = table.assign_coords(budget=budgets).assign(
        t_bbp=found["t_bbp"],
        t_bbp_error=found["t_bbp_error"],
        half_size=("budget", np.exp(logs.mean(axis=0))),
        half_size_log_error=("budget", logs.std(axis=0, ddof=1) / np.sqrt(SEEDS)),
    )
    return table.drop_attrs().expand_dims(alpha=[alpha]), sorted({str(entry.message) for entry in caught})


def _half_sizes(
    loss: Any, alpha: float, wanted: DynamicsTheory, budgets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Dimension at which half of the random starts recover, per seed and budget; NaN where unknown."""
    horizon = next((time for time in HORIZONS if time >= wanted.t_max), HORIZONS[-1])
    try:
        known = warm_starts(loss, alpha, horizon, wanted.accuracy, wanted.samples, SEEDS)
    except ConvergenceError as error:
        warnings.warn(str(error), stacklevel=2)
        return np.full((SEEDS, len(budgets)), np.nan)
    return np.stack([known.half_size(float(budget)) for budget in budgets], axis=1)
