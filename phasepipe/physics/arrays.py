"""Vectors of the runs, either as NumPy arrays in memory or as PyTorch tensors on a device.

There is one integrator for both. All control quantities (times, steps, stages, error norms) are NumPy arrays
on the host; only vectors, shape (rows, N), may be of either kind. Both kinds support slices,
``vectors[index]`` and operators, which the integrator uses directly; operations in which they differ are
declared in :class:`Arrays`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem

logger = logging.getLogger("phasepipe")

Float = NDArray[np.float64]
Int = NDArray[np.intp]

Vectors: TypeAlias = Any
"""Rows of numbers, shape (rows, N): a NumPy array or a tensor; the types of PyTorch come only with it."""

_TORCH = "torch:"


class Instances(Protocol):
    """Sensing matrices, labels and loss of several instances, on the same device as the vectors."""

    def gradient(self, instance: int, points: Vectors, out: Vectors) -> None:
        """Write ``sqrt(N)`` times the gradient G at ``points`` into ``out``, both (rows, N)."""
        ...

    def measure(self, instance: int, points: Vectors, out: Vectors, predictions: Array) -> Float:
        """As :meth:`gradient`; writes ``predictions``, (rows, M), on the host; returns losses, (rows,)."""
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

    def column(self, weights: Float, like: Vectors) -> Vectors:
        """Weights of the rows, shape (rows, 1), with the data type of ``like``."""
        ...

    def row_products(self, left: Vectors, right: Vectors) -> Vectors:
        """Scalar products of each row of ``left`` with the same row of ``right``, shape (rows,)."""
        ...

    def to_sphere(self, points: Vectors) -> Vectors:
        """Every row rescaled to ``|w|² = N``."""
        ...

    def directions(self, vectors: Vectors, points: Vectors) -> Vectors:
        """Every row of ``vectors``, which may be overwritten, rescaled to norm 1.

        A row without a direction (zero or not finite) gets an arbitrary one: the same row of ``points`` with
        its components shifted by one.
        """
        ...

    def mixture(self, weights: Sequence[Float], vectors: Sequence[Vectors]) -> Vectors:
        """Sum of ``vectors`` with weights per row, shape (rows,); summed in float64, then rounded."""
        ...

    def scratch(self, like: Vectors) -> Vectors:
        """Scratch memory that :meth:`accumulate` needs for vectors of this shape."""
        ...

    def accumulate(
        self, out: Vectors, own: Float, terms: Iterable[tuple[Float, Vectors]], scratch: Vectors
    ) -> None:
        """Replace ``out`` by ``own * out`` plus ``terms`` (weights, vectors); weights are (rows,)."""
        ...

    def instances(self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike, most: int) -> Instances:
        """The instances with their loss; at most ``most`` rows of one instance are evaluated together."""
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
    if device not in ("cpu", "gpu") and not device.startswith(_TORCH):
        raise ValueError(f"device = {device!r} will not do; take 'cpu' or 'gpu'")


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
