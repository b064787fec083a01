"""Stage *spectrum*: spectra of the Hessian at the snapshots, beside the prediction from labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.errors import UserError
from phasepipe.execution.blocks import BlockTask, Tally
from phasepipe.execution.filling import Filling, fill_stores
from phasepipe.physics.hessian import spectrum
from phasepipe.physics.losses import Loss
from phasepipe.physics.problem import Problem
from phasepipe.physics.records import TIME_ATTRIBUTES, Variable
from phasepipe.simulation.draws import draw_problem
from phasepipe.simulation.prediction import PREDICTED
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.axes import alpha_axis, selected_cells
from phasepipe.stages.runs import snapshot_sizes
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.block_store import write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Axis, Block, Layout
from phasepipe.theory.density import bulk_density
from phasepipe.theory.resolvent import predict

EIGENPAIRS = 2
GRID = 72  # points of the predicted density, denser towards the edge; they cost more than the spectrum

Float = NDArray[np.float64]

_AT = ("alpha", "instance", "start", "time")
_MEASURED = {
    "eigenvalues": ((*_AT, "eigenvalue"), "lowest eigenvalues of the Riemannian Hessian"),
    "signal_overlap": ((*_AT, "eigenvalue"), "squared overlap of the eigenvectors with the signal"),
    "all_eigenvalues": ((*_AT, "mode"), "all eigenvalues of the Riemannian Hessian"),
    "overlap": (_AT, "overlap m = w.w*/N with the signal"),
    "mu": (_AT, "Lagrange multiplier mu of the sphere"),
    "index": (_AT, "share of negative eigenvalues"),
    "largest_eigenvalue": (_AT, "largest eigenvalue"),
    "largest_signal_overlap": (_AT, "largest squared overlap of any eigenvector with the signal"),
    "largest_signal_overlap_rank": (_AT, "rank of that eigenvector, 0 = lowest eigenvalue"),
}
_DENSITY = {
    "density_eigenvalue": ((*_AT, "grid"), "eigenvalues at which the density is predicted"),
    "density": ((*_AT, "grid"), "predicted density of the bulk"),
}


class NoSnapshotsError(UserError):
    """Spectra were asked of a sweep that keeps no points."""


def layout(sweep: Sweep, N: int) -> Layout:
    """Arrays of the spectra store; NaN after the end of a run."""
    kept = sweep.times()[sweep.snapshot_indices()]
    if len(kept) == 0:
        raise NoSnapshotsError(
            f"sweep {sweep.name!r} keeps no snapshots, so it has no spectra; "
            "set for example snapshots: {instances: 4, starts: 4}"
        )
    sizes = snapshot_sizes(sweep)
    variables = {
        name: Variable(dims, "float32" if dims[-1] in ("mode", "grid") else "float64", long_name)
        for name, (dims, long_name) in (_MEASURED | _DENSITY).items()
    }
    variables |= {name: variable._replace(dims=_AT) for name, variable in PREDICTED.items()}
    return Layout(
        stage="spectra",
        selected=selected_cells(sweep, N, sizes["snapshot_instance"]),
        axes={
            "alpha": alpha_axis(sweep, N),
            "instance": Axis({"instance": np.arange(sizes["snapshot_instance"])}, 1),
        },
        sizes={
            "start": sizes["snapshot_start"],
            "time": len(kept),
            "eigenvalue": EIGENPAIRS,
            "mode": N - 1,
            "grid": GRID,
        },
        variables=variables,
        coordinates={"N": ((), np.array(N), ATTRIBUTES["N"]), "time": (("time",), kept, TIME_ATTRIBUTES)},
        attributes=ATTRIBUTES,
    )


def diagonalise_snapshots(sweep: Sweep, folder: SweepFolder, cores: int, log: Path | None = None) -> None:
    """Compute all spectra of ``sweep`` that the stores lack.

    Raises
    ------
    NoSnapshotsError
        If the sweep keeps no snapshots.
    """
    fill_stores(sweep, [_filling(sweep, N, folder) for N in sweep.N], "spectra", cores, log)


def _filling(sweep: Sweep, N: int, folder: SweepFolder) -> Filling:
    path = folder.store("spectra", N)
    compute = partial(_compute, path, folder.store("runs", N), sweep.model_dump_json(), N)

    def task(block: Block, _: Block | None) -> BlockTask:
        M = int(block.keys["measurements"][0])
        description = f"spectra at N = {N}, alpha = {M / N:.4g}, instance {block.keys['instance'][0]}"
        # forming the matrix costs M N^2, its eigenvalues some N^3
        return BlockTask(block, compute, float((M + 4 * N) * N**2), description)

    return Filling(f"spectra N = {N}", path, layout(sweep, N), task)


def _compute(path: Path, runs: Path, specification: str, N: int, block: Block) -> Tally:
    sweep = Sweep.model_validate_json(specification)
    M, instance = int(block.keys["measurements"][0]), int(block.keys["instance"][0])
    problem = draw_problem(sweep, N, M, instance)
    points = _snapshots(runs, M, instance)
    shape = points.shape[:2]
    flat = points.reshape(-1, N)
    alive = np.isfinite(flat).all(axis=1)  # a run that has ended leaves no more points
    measured = _spectra(problem, sweep.loss.build(), flat[alive])
    values = {}
    for name, rows in measured.items():
        whole = np.full((len(flat), *rows.shape[1:]), np.nan)
        whole[alive] = rows
        values[name] = whole.reshape(1, *shape, *rows.shape[1:])
    write_block(path, block, values)
    return {"spectra": int(alive.sum())}


def _snapshots(runs: Path, M: int, instance: int) -> NDArray[np.float32]:
    """Points of one instance, shape (start, time, N)."""
    group: Any = zarr.open_group(str(runs), mode="r")
    row = int(np.flatnonzero(group["measurements"][:] == M)[0])
    return np.asarray(group["snapshot"][row, instance])


def _spectra(problem: Problem, loss: Loss, points: NDArray[np.float32]) -> dict[str, Float]:
    """Measured and predicted spectra at ``points`` (count, N)."""
    measured = spectrum(problem, loss, points, k=EIGENPAIRS, full=True)
    predictions = points.astype(np.float64) @ problem.sensing.T / np.sqrt(problem.N)
    predicted = predict(problem.labels, predictions, measured["overlap"].values, loss, problem.N)
    grids = np.stack([_density_grid(row) for row in measured["all_eigenvalues"].values])
    densities = [
        bulk_density(grid, problem.labels, yhat, loss, problem.N)
        for grid, yhat in zip(grids, predictions, strict=True)
    ]
    values = {name: measured[name].values for name in _MEASURED}
    values |= {name: getattr(predicted, name) for name in PREDICTED}
    return values | {"density_eigenvalue": grids, "density": np.stack(densities)}


def _density_grid(eigenvalues: Float) -> Float:
    """From below the lowest eigenvalue to the upper quartile: the right tail is long and tells nothing."""
    low, high = eigenvalues[0], np.quantile(eigenvalues, 0.75)
    grid: Float = low + (high - low) * (1.05 * np.linspace(0, 1, GRID) ** 1.5 - 0.05)
    return grid
