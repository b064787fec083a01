"""Vectors of the runs, either as NumPy arrays with compiled loops, or as PyTorch tensors on a device.

There is one integrator for both. All control quantities (times, steps, stages, error norms) are NumPy arrays
on the host; only vectors, shape (rows, N), may be of either kind. Both kinds support slices,
``vectors[index]`` and operators, which the integrator uses directly; operations in which they differ are
declared in :class:`Arrays`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.errors import shown
from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem

logger = logging.getLogger("phasepipe")

Float = NDArray[np.float64]
Int = NDArray[np.intp]

Vectors: TypeAlias = Any
"""Rows of numbers, shape (rows, N): a NumPy array or a tensor; the types of PyTorch come only with it."""

_TORCH = "torch:"


@dataclass(frozen=True)
class Segments:
    """Consecutive rows of a batch that belong to one instance each; all arrays are (segments,).

    The rows of segment s, from ``first[s]`` to before ``last[s]``, belong to instance ``instance[s]``.
    """

    instance: Int
    first: Int
    last: Int

    @classmethod
    def of(cls, owners: Int) -> Segments:
        """The segments of rows that belong to the instances ``owners``, (rows,), in ascending order."""
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        return cls(owners[first], first, np.append(first[1:], len(owners)))

    def __iter__(self) -> Iterator[tuple[int, slice]]:
        """Instances, each with its rows."""
        spans = map(slice, self.first.tolist(), self.last.tolist())
        return zip(self.instance.tolist(), spans, strict=True)


class Instances(Protocol):
    """Sensing matrices, labels and loss of several instances, on the same device as the vectors."""

    def gradient(self, segments: Segments, points: Vectors, out: Vectors) -> None:
        """Write ``sqrt(N)`` times the gradient G at ``points`` into ``out``, both (rows, N)."""
        ...

    def measure(self, instance: int, points: Vectors, out: Vectors, predictions: Array) -> Float:
        """As :meth:`gradient` for rows of one instance, with their losses, (rows,), as the result.

        Writes ``predictions``, (rows, M), on the host.
        """
        ...


class Arrays(Protocol):
    """Operations that differ between NumPy and PyTorch."""

    def send(self, values: Array) -> Vectors:
        """Convert a host array to vectors."""
        ...

    def fetch(self, vectors: Vectors) -> Array:
        """Convert vectors or products of rows to a host array; the only operation that waits for a device."""
        ...

    def index(self, rows: Int | NDArray[np.bool_]) -> Any:
        """Convert row numbers, or a mask of rows, to an index for vectors."""
        ...

    def dtype(self, vectors: Vectors) -> np.dtype[Any]:
        """NumPy name of the data type."""
        ...

    def empty_like(self, vectors: Vectors, /) -> Vectors:
        """Uninitialised vectors of the same shape."""
        ...

    def zeros_like(self, vectors: Vectors, /) -> Vectors:
        """Zeros of the same shape."""
        ...

    def copy(self, vectors: Vectors, /) -> Vectors:
        """A copy."""
        ...

    def concatenate(self, parts: Sequence[Vectors], /) -> Vectors:
        """Concatenated rows of all ``parts``."""
        ...

    def row_products(self, left: Vectors, right: Vectors) -> Vectors:
        """Scalar products of each row of ``left`` with the same row of ``right``, shape (rows,)."""
        ...

    def projections(self, points: Vectors, vectors: Vectors, places: Int) -> Vectors:
        """Scalar products of each row of ``points`` with row ``places``, (rows,), of ``vectors``; (rows,)."""
        ...

    def to_sphere(self, points: Vectors, rows: Int) -> None:
        """Rescale these rows of ``points`` to ``|w|² = N`` in place."""
        ...

    def to_velocity(self, points: Vectors, gradient: Vectors, scale: float) -> None:
        """Replace each row of ``gradient`` by its part orthogonal to that of ``points``, times ``scale``."""
        ...

    def displace(self, rows: Int, points: Vectors, directions: Vectors, size: float, out: Vectors) -> None:
        """Write these rows of ``points``, displaced by ``size`` along ``directions``, into ``out``.

        The rows of ``directions`` are rescaled to norm 1. One without a direction (zero or not finite) gets
        an arbitrary one: the same row of ``points`` with its components shifted by one.
        """
        ...

    def move(self, rows: Int, weights: Float, points: Vectors, velocity: Vectors, out: Vectors) -> None:
        """Write these rows of ``points`` plus ``weights``, one each, times ``velocity`` into ``out``."""
        ...

    def changes(self, rows: Int, found: Vectors, velocity: Vectors, out: Vectors) -> Float:
        """Write ``found - velocity`` into these rows of ``out``; return their norms, one each."""
        ...

    def step_errors(
        self, step: Float, point: Vectors, velocity: Vectors, next_point: Vectors, next_velocity: Vectors
    ) -> Float:
        """Norms of the estimated errors of steps, all (steps,) or (steps, N) (Sommeijer et al. 1998)."""
        ...

    def mixture(self, rows: Int, weights: Float, vectors: Sequence[Vectors]) -> Vectors:
        """Sums of these rows of four ``vectors``, in float64, then rounded; weights (4, len(rows))."""
        ...

    def recur(self, rows: Int, out: Vectors, weights: Float, others: Sequence[Vectors]) -> None:
        """Replace these rows of ``out`` by a sum with those of four ``others``.

        The weights, (5, rows), are those of ``out`` and the others, for all rows.
        """
        ...

    def instances(self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike) -> Instances:
        """The instances with their loss."""
        ...


def arrays_of(vectors: Vectors) -> Arrays:
    """The operations for ``vectors``."""
    return _numpy() if isinstance(vectors, np.ndarray) else _torch(str(vectors.device))


def arrays_on(device: str) -> Arrays:
    """The operations on a device, see :func:`require_device`; those of NumPy if there is no GPU."""
    if device == "gpu":
        return _torch("cuda") if gpu_is_there() else _numpy()
    return _torch(device.removeprefix(_TORCH)) if device.startswith(_TORCH) else _numpy()


def require_device(device: str) -> None:
    """Reject unknown device names.

    Valid names are "cpu" (NumPy), "gpu" (PyTorch on CUDA or ROCm, if available) and, for tests, "torch:"
    followed by the PyTorch name of a device.

    Raises
    ------
    ValueError
        If ``device`` is not one of these.
    """
    if device not in ("cpu", "gpu") and not (isinstance(device, str) and device.startswith(_TORCH)):
        raise ValueError(f"device = {shown(device)} will not do; take 'cpu' or 'gpu'")


@cache
def gpu_is_there() -> bool:
    """Whether PyTorch finds a GPU; if not, the logger "phasepipe" warns once per process."""
    try:
        import torch
    except ImportError:
        missing = "PyTorch is not installed (pip install 'phasepipe[gpu]')"
    else:
        if torch.cuda.is_available():  # also True in ROCm builds
            return True
        missing = "PyTorch sees no GPU"
    logger.warning("device = 'gpu' was asked for, but %s: the runs are computed on the CPU", missing)
    return False


# both modules are imported only when needed: PyTorch is optional and takes seconds to import
@cache
def _numpy() -> Arrays:
    from phasepipe.physics.numpy_arrays import NumpyArrays

    return NumpyArrays()


@cache
def _torch(name: str) -> Arrays:
    from phasepipe.physics.torch_arrays import TorchArrays

    return TorchArrays(name)
