"""What a block of runs costs: core-seconds and memory, and how many instances make a block."""

from __future__ import annotations

from collections.abc import Collection

_RUNS_PER_BLOCK = 1024
_SECONDS_PER_BLOCK = 3.0  # of the longest; to write a block takes 30 ms

# The engine on one core (float32, 16 starts, a = 0.01, records included): products, and a fixed cost per
# evaluation. Only here; measured again by: make bench BENCH="--only flow,gradient"
_FLOPS_PER_SECOND = 5.5e10
_SECONDS_PER_EVALUATION = 12e-6
_EVALUATIONS_PER_RUN = 400
_ALPHA_OF_LONGEST_RUNS = 2.5  # near alpha_50; beyond, evaluations per run fall about as alpha^-1.5

# Memory of a block, in numbers of its arithmetic: rows of the integrator, records waiting to be measured.
_ARRAYS_PER_RUN = 12
_RECORDS_IN_FLIGHT = 256
_ARRAYS_PER_RECORD = 8
_WORKER_BASE = 250e6  # bytes of a worker that has imported the package and computes nothing
_SHARE_OF_MEMORY = 0.5  # of a worker's limit that one block may take; Dask pauses a worker at 0.8


def evaluation_seconds(N: int, M: int) -> float:
    """Core-seconds of one gradient evaluation of one run."""
    return 4 * M * N / _FLOPS_PER_SECOND + _SECONDS_PER_EVALUATION


def block_seconds(N: int, M: int, runs: int) -> float:
    """Core-seconds expected of ``runs`` runs; the order of blocks relies on it, no result does."""
    fall = float(min(1.0, _ALPHA_OF_LONGEST_RUNS * N / M) ** 1.5)
    return runs * _EVALUATIONS_PER_RUN * fall * evaluation_seconds(N, M)


def block_bytes(N: int, M: int, starts: int, instances: int, itemsize: int = 4) -> float:
    """Estimated peak memory of the worker that computes a block of runs.

    Parameters
    ----------
    N, M
        Shape of a sensing matrix; a block holds it as drawn and, in its arithmetic, for two products.
    starts, instances
        Runs per instance, and instances.
    itemsize
        Bytes of a number of the arithmetic.
    """
    sensing = instances * M * N * (4 + 2 * itemsize)
    runs = instances * starts * _ARRAYS_PER_RUN * N * itemsize + starts * M * itemsize
    # records are measured in double precision, at most so many and one round of all runs at a time
    records = (_RECORDS_IN_FLIGHT + instances * starts) * (N * itemsize + _ARRAYS_PER_RECORD * M * 8)
    certificate = 8 * (6 * N**2 + 3 * M * N + 512 * M)  # of a run that may be trapped, in double precision
    return _WORKER_BASE + sensing + runs + records + certificate


def instances_per_block(
    N: int, measurements: Collection[int], starts: int, memory: float = float("inf"), itemsize: int = 4
) -> int:
    """Instances that make a Dask task last a few seconds and fit into the memory of a worker.

    It may exceed the instances of the sweep: a store that grows fills the chunk up.

    Parameters
    ----------
    N, measurements
        Shapes of the sensing matrices: dimension, and every number of measurements.
    starts
        Runs per instance.
    memory
        Limit of a worker in bytes; a block gets half of it. One instance is the least, whatever it takes.
    itemsize
        Bytes of a number of the arithmetic.
    """
    longest = max(block_seconds(N, M, starts) for M in measurements)
    chosen = max(1, min(int(_SECONDS_PER_BLOCK / longest), _RUNS_PER_BLOCK // starts))
    largest = max(measurements)
    while chosen > 1 and block_bytes(N, largest, starts, chosen, itemsize) > _SHARE_OF_MEMORY * memory:
        chosen -= 1
    return chosen
