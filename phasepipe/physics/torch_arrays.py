"""PyTorch implementation of the operations of :class:`phasepipe.physics.arrays.Arrays`.

On a GPU, launching kernels and waiting for results dominate the cost. Only ``fetch`` waits for the device;
data are sent asynchronously from pinned memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Tensor = Any  # torch.Tensor; type checking must not require PyTorch


class TorchArrays:
    """Operations on rows of tensors on one device."""

    empty_like = staticmethod(torch.empty_like)
    zeros_like = staticmethod(torch.zeros_like)
    copy = staticmethod(torch.clone)
    concatenate = staticmethod(torch.cat)

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def send(self, values: NDArray[Any]) -> Tensor:
        """A copy of a host array on the device."""
        if self._device.type != "cuda":
            return torch.tensor(values, device=self._device)
        return torch.from_numpy(values).pin_memory().to(self._device, non_blocking=True)

    def fetch(self, vectors: Tensor) -> Array:
        """A tensor as a host array."""
        values: Array = vectors.numpy(force=True)
        return values

    def index(self, rows: Int | NDArray[np.bool_]) -> Tensor:
        """Row numbers on the device; a mask is converted on the host, which avoids waiting for the device."""
        return self.send(np.flatnonzero(rows) if rows.dtype == bool else rows)

    def dtype(self, vectors: Tensor) -> np.dtype[Any]:
        """NumPy name of the data type."""
        return np.dtype(str(vectors.dtype).removeprefix("torch."))

    def column(self, weights: Float, like: Tensor) -> Tensor:
        """Weights of the rows, shape (rows, 1), with the data type of ``like``."""
        return self.send(weights.astype(self.dtype(like)))[:, None]

    def row_products(self, left: Tensor, right: Tensor) -> Tensor:
        """Scalar product of each row of ``left`` with the same row of ``right``; shape (rows,)."""
        return (left * right).sum(dim=1)

    def to_sphere(self, points: Tensor) -> Tensor:
        """Every row rescaled to ``|w|² = N``."""
        norms = self.row_products(points, points).sqrt()
        return points * (points.shape[1] ** 0.5 / norms)[:, None]

    def directions(self, vectors: Tensor, points: Tensor) -> Tensor:
        """Every row rescaled to norm 1, see :class:`phasepipe.physics.arrays.Arrays`."""
        norms = self.row_products(vectors, vectors).sqrt()[:, None]
        found = torch.isfinite(norms) & (norms > 0)
        return torch.where(found, vectors / norms, points.roll(1, 1) / points.shape[1] ** 0.5)

    def mixture(self, weights: Sequence[Float], vectors: Sequence[Tensor]) -> Tensor:
        """Weighted sum of ``vectors`` in float64, rounded to their type."""
        columns = self.send(np.stack(weights))[:, :, None]
        total = sum(column * part for column, part in zip(columns, vectors, strict=True))
        return total.to(vectors[0].dtype)

    def scratch(self, like: Tensor) -> None:
        """No scratch memory is needed."""

    def accumulate(
        self, out: Tensor, own: Float, terms: Iterable[tuple[Float, Tensor]], scratch: None
    ) -> None:
        """Replace ``out`` by the weighted sum."""
        del scratch
        weights, vectors = zip(*terms, strict=True)
        columns = self.send(np.stack([own, *weights]).astype(self.dtype(out)))[:, :, None]
        out *= columns[0]
        for column, part in zip(columns[1:], vectors, strict=True):
            out.addcmul_(column, part)

    def instances(
        self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike, most: int
    ) -> TorchInstances:
        """The instances with their loss."""
        del most  # the allocator of the device reuses memory
        return TorchInstances(self, problems, loss, np.dtype(dtype))


@contextmanager
def _full_precision() -> Iterator[None]:
    """Disable TF32 in float32 products, independently of the settings of this process."""
    settings = torch.backends.cuda.matmul
    # PyTorch renamed the setting, and raises an error if it is set by one name and read by the other
    name, value = ("fp32_precision", "ieee") if hasattr(settings, "fp32_precision") else ("allow_tf32", False)
    before = getattr(settings, name)
    setattr(settings, name, value)
    try:
        yield
    finally:
        setattr(settings, name, before)


class TorchInstances:
    """Sensing matrices and labels on the device.

    Raises
    ------
    TypeError
        If the loss cannot be evaluated on tensors.
    """

    def __init__(
        self, arrays: TorchArrays, problems: Sequence[Problem], loss: Loss, dtype: np.dtype[Any]
    ) -> None:
        self._arrays = arrays
        self._loss: Any = loss  # the methods of a loss are annotated for arrays only
        self._root_N = float(np.sqrt(problems[0].N))
        self._sensing = [arrays.send(np.asarray(problem.sensing, dtype)) for problem in problems]
        self._labels = [arrays.send(np.asarray(problem.labels, dtype)) for problem in problems]
        _require_tensor_loss(loss, self._labels[0][:2])

    def gradient(self, instance: int, points: Tensor, out: Tensor) -> None:
        """Write ``sqrt(N)`` times the gradient at ``points`` into ``out``, both (rows, N)."""
        self._finish(instance, self._predict(instance, points), out)

    def measure(self, instance: int, points: Tensor, out: Tensor, predictions: Array) -> Float:
        """As :meth:`gradient`; writes ``predictions`` (rows, M) on the host, returns losses (rows,)."""
        found = self._predict(instance, points)
        self._finish(instance, found, out)
        losses = self._loss.value(found, self._labels[instance]).sum(dim=1, dtype=torch.float64)
        predictions[...] = self._arrays.fetch(found)
        return self._arrays.fetch(losses).astype(np.float64)

    @_full_precision()
    def _predict(self, instance: int, points: Tensor) -> Tensor:
        return (points / self._root_N) @ self._sensing[instance].T

    @_full_precision()
    def _finish(self, instance: int, predictions: Tensor, out: Tensor) -> None:
        slopes = self._loss.slope(predictions, self._labels[instance])
        torch.mm(slopes, self._sensing[instance], out=out)


def _require_tensor_loss(loss: Any, labels: Tensor) -> None:
    """Evaluate a loss once on tensors with gradients, so that a conversion to NumPy raises an error."""
    yhat, y = torch.ones_like(labels).requires_grad_(), labels.clone().requires_grad_()
    try:
        found = [method(yhat, y) for method in (loss.value, loss.slope)]
        fits = all(part.shape == yhat.shape and part.dtype == yhat.dtype for part in found)
        reason = "value and slope must keep shape and type of yhat"
    except Exception as error:  # code of the user can raise anything
        fits, reason = False, f"{type(error).__name__}: {' '.join(str(error).split())}"
    if not fits:
        raise TypeError(
            f"loss {loss!r} cannot be evaluated on a GPU ({reason}); write value and slope with arithmetic "
            "operators alone, without functions of NumPy, or take device = 'cpu'"
        )
