"""Where the vectors of a run live: in memory, computed by NumPy, or on a device, computed by PyTorch.

The engine is written once. What decides (times, steps, stages, norms of errors) are NumPy arrays on the host;
vectors, shape (rows, N), are of either kind. Both kinds know slices, ``vectors[index]`` and operators, so the
engine uses these as they are; the rest, where the two differ, is :class:`Arrays`.
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
    """Sensing matrices and labels of several instances, with the loss, where the vectors live."""

    def gradient(self, instance: int, points: Vectors, out: Vectors) -> None:
        """Write ``sqrt(N)`` times the gradient G at ``points`` into ``out``, both (rows, N)."""
        ...

    def measure(self, instance: int, points: Vectors, out: Vectors, predictions: Array) -> Float:
        """As :meth:`gradient`; writes ``predictions``, (rows, M), on the host; returns losses, (rows,)."""
        ...


class Arrays(Protocol):
    """What NumPy and PyTorch do each in its own way."""

    def send(self, values: Array) -> Vectors:
        """A host array as vectors."""
        ...

    def fetch(self, vectors: Vectors) -> Array:
        """Vectors, or products of rows, as a host array; the only operation that waits for a device."""
        ...

    def index(self, rows: Int | NDArray[np.bool_]) -> Any:
        """Row numbers, or a mask of rows, as what vectors are indexed with."""
        ...

    def dtype(self, vectors: Vectors) -> np.dtype[Any]:
        """NumPy's name of the type of the numbers."""
        ...

    def empty_like(self, vectors: Vectors, /) -> Vectors:
        """Room of the same shape."""
        ...

    def zeros_like(self, vectors: Vectors, /) -> Vectors:
        """Zeros of the same shape."""
        ...

    def copy(self, vectors: Vectors, /) -> Vectors:
        """The same numbers elsewhere."""
        ...

    def concatenate(self, parts: Sequence[Vectors], /) -> Vectors:
        """Rows of all ``parts``."""
        ...

    def column(self, weights: Float, like: Vectors) -> Vectors:
        """A weight for each row, shape (rows, 1), of the type of ``like``."""
        ...

    def row_products(self, left: Vectors, right: Vectors) -> Vectors:
        """Scalar products of each row of ``left`` with the same row of ``right``, shape (rows,)."""
        ...

    def to_sphere(self, points: Vectors) -> Vectors:
        """Every row rescaled to ``|w|² = N``."""
        ...

    def directions(self, vectors: Vectors, points: Vectors) -> Vectors:
        """Every row of ``vectors``, which may be overwritten, rescaled to norm 1.

        A row that has no direction, because it is zero or not finite, gets an arbitrary one: its row of
        ``points`` with the components moved on by one.
        """
        ...

    def mixture(self, weights: Sequence[Float], vectors: Sequence[Vectors]) -> Vectors:
        """Sum of ``vectors``, each with a weight per row, shape (rows,); added in float64, then rounded."""
        ...

    def scratch(self, like: Vectors) -> Vectors:
        """Room that :meth:`accumulate` needs for vectors like these."""
        ...

    def accumulate(
        self, out: Vectors, own: Float, terms: Iterable[tuple[Float, Vectors]], scratch: Vectors
    ) -> None:
        """Replace ``out`` by ``own * out`` plus ``terms`` (weights, vectors); weights are (rows,)."""
        ...

    def instances(self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike, most: int) -> Instances:
        """The instances with their loss; no more than ``most`` rows of one are moved together."""
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
    """Refuse what is no device.

    Known are "cpu" (NumPy), "gpu" (PyTorch on CUDA or ROCm, if there is one), and for tests "torch:" before
    PyTorch's own name of a device.

    Raises
    ------
    ValueError
        If ``device`` is none of these.
    """
    if device not in ("cpu", "gpu") and not device.startswith(_TORCH):
        raise ValueError(f"device = {device!r} will not do; take 'cpu' or 'gpu'")


@cache
def gpu_is_there() -> bool:
    """Whether PyTorch sees a GPU; if not, the logger "phasepipe" says so, once in a process."""
    try:
        import torch
    except ImportError:
        missing = "PyTorch is not installed (pip install 'phasepipe[gpu]')"
    else:
        if torch.cuda.is_available():  # also the answer of builds for ROCm
            return True
        missing = "PyTorch sees no GPU"
    logger.warning("device = 'gpu' was asked for, but %s: the runs are computed on the CPU", missing)
    return False


# the two are imported by name when needed: PyTorch is optional, and takes seconds to import
@cache
def _numpy() -> Arrays:
    from phasepipe.physics.numpy_arrays import NumpyArrays

    return NumpyArrays()


@cache
def _torch(name: str) -> Arrays:
    from phasepipe.physics.torch_arrays import TorchArrays

    return TorchArrays(name)
