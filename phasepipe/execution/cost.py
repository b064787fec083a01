"""Estimated cost of a block of runs in core-seconds and memory, and the number of instances per block."""

from __future__ import annotations

from collections.abc import Collection

from phasepipe.specification.sweep import Sweep

_RUNS_PER_BLOCK = 1024
_SECONDS_IN_PROCESS = 3.0  # of runs, or of spectra: below, no worker processes are started
_LONGEST_IN_PROCESS = 1000.0  # t_max: a run up to here takes a few times the evaluations below
_SECONDS_PER_BLOCK = 3.0  # of the most expensive block; writing a block takes 30 ms

# Speed of the engine on one core (float32, 16 starts, a = 0.01, with records): matrix products, and a fixed
# cost per evaluation. To measure it again: make bench BENCH="--only flow,gradient"
_FLOPS_PER_SECOND = 1.3e11
_SECONDS_PER_EVALUATION = 2e-6
_EVALUATIONS_PER_RUN = 400
_SPECTRUM_FLOPS_PER_SECOND = 4e9
_SECONDS_PER_POINT = 5e-3
_ALPHA_OF_LONGEST_RUNS = 2.5  # near alpha_50; at larger alpha evaluations per run fall roughly as alpha^-1.5

# Arrays that a block holds in memory: per run of the integrator, and per record before it is measured
_ARRAYS_PER_RUN = 18
_RECORDS_IN_FLIGHT = 256
_PREDICTIONS_IN_FLIGHT = 2**18  # at small M
_ARRAYS_PER_RECORD = 8
_WORKER_BASE = 310e6  # bytes of an idle worker that has imported the package
_SHARE_OF_MEMORY = 0.5  # share of the memory limit of a worker that a block may use; Dask ends one at 0.95


def evaluation_seconds(N: int, M: int) -> float:
    """Estimated core-seconds of one gradient evaluation of one run."""
    return 4 * M * N / _FLOPS_PER_SECOND + _SECONDS_PER_EVALUATION


def block_seconds(N: int, M: int, runs: int) -> float:
    """Estimated core-seconds of ``runs`` runs; it affects the order of the blocks, but no result."""
    fall = float(min(1.0, _ALPHA_OF_LONGEST_RUNS * N / M) ** 1.5)
    return runs * _EVALUATIONS_PER_RUN * fall * evaluation_seconds(N, M)


def point_seconds(N: int, M: int) -> float:
    """Estimated core-seconds of a spectrum: M N^2 products for the Hessian, and its eigenvalues."""
    return (M + 4 * N) * N**2 / _SPECTRUM_FLOPS_PER_SECOND + _SECONDS_PER_POINT


def computed_here(sweep: Sweep) -> bool:
    """Whether stages compute their blocks in their own process, because that is faster than starting workers.

    A worker process needs about two seconds of a core to start. Always with workers: a sweep that names a
    cluster, their number or a precision, and one whose cost is not that of a flow with the losses known here.
    """
    if sweep.cluster.kind != "local" or sweep.cluster.workers is not None or sweep.precision is not None:
        return False
    if sweep.dynamics.kind != "flow" or sweep.loss.kind == "custom" or sweep.t_max > _LONGEST_IN_PROCESS:
        return False
    starts, kept = len(sweep.start_keys()), sweep.snapshots
    points = len(sweep.snapshot_indices()) * kept.instances * kept.starts
    cells = [(N, M, instances) for N in sweep.N for M, instances in sweep.instances_at(N).items()]
    runs = sum(block_seconds(N, M, instances * starts) for N, M, instances in cells)
    return max(runs, sum(points * point_seconds(N, M) for N, M, _ in cells)) < _SECONDS_IN_PROCESS


def block_bytes(N: int, M: int, starts: int, instances: int, itemsize: int = 4) -> float:
    """Estimated peak memory in bytes of a worker that computes a block of runs.

    Parameters
    ----------
    N, M
        Dimension and number of measurements. A block holds every sensing matrix as it was drawn, and two
        copies in the precision of the arithmetic.
    starts, instances
        Starts per instance, and number of instances.
    itemsize
        Bytes per floating-point number of the arithmetic.
    """
    sensing = instances * M * N * (4 + 2 * itemsize)
    runs = instances * starts * _ARRAYS_PER_RUN * N * itemsize + starts * M * itemsize
    # records are measured in double precision, at most these and one of every run at a time
    in_flight = max(_RECORDS_IN_FLIGHT, _PREDICTIONS_IN_FLIGHT // M)
    records = (in_flight + instances * starts) * (N * itemsize + _ARRAYS_PER_RECORD * M * 8)
    certificate = 8 * (6 * N**2 + 3 * M * N + 512 * M)  # of a run that may be trapped, in double precision
    return _WORKER_BASE + sensing + runs + records + certificate


def instances_per_block(
    N: int, measurements: Collection[int], starts: int, memory: float = float("inf"), itemsize: int = 4
) -> int:
    """Number of instances for which a Dask task takes a few seconds and fits into the memory of a worker.

    The number may exceed the instances of the sweep; instances added later then fill the last Zarr chunk.

    Parameters
    ----------
    N, measurements
        Dimension, and every number of measurements of the sweep.
    starts
        Starts per instance.
    memory
        Memory limit of a worker in bytes, half of which a block may use. The result is at least 1, even if
        one instance needs more.
    itemsize
        Bytes per floating-point number of the arithmetic.
    """
    longest = max(block_seconds(N, M, starts) for M in measurements)
    chosen = max(1, min(int(_SECONDS_PER_BLOCK / longest), _RUNS_PER_BLOCK // starts))
    largest = max(measurements)
    while chosen > 1 and block_bytes(N, largest, starts, chosen, itemsize) > _SHARE_OF_MEMORY * memory:
        chosen -= 1
    return chosen
