"""PyTorch implementation of the operations of :class:`phasepipe.physics.arrays.Arrays`.

On a GPU, launching kernels and waiting for results dominate the cost. Only ``fetch`` waits for the device;
data are sent asynchronously from pinned memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics.arrays import Segments
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

    def row_products(self, left: Tensor, right: Tensor) -> Tensor:
        """Scalar product of each row of ``left`` with the same row of ``right``; shape (rows,)."""
        return (left * right).sum(dim=1)

    def projections(self, points: Tensor, vectors: Tensor, places: Int) -> Tensor:
        """Scalar products of each row of ``points`` with row ``places`` of ``vectors``; shape (rows,)."""
        return self.row_products(points, vectors[self.index(places)])

    def to_sphere(self, points: Tensor, rows: Int) -> None:
        """Rescale these rows of ``points`` to ``|w|² = N`` in place."""
        if len(rows) == 0:
            return
        here = self.index(rows)
        chosen = points[here]
        points[here] = chosen * (points.shape[1] ** 0.5 / self.row_products(chosen, chosen).sqrt())[:, None]

    def to_velocity(self, points: Tensor, gradient: Tensor, scale: float) -> None:
        """Replace each row of ``gradient`` by its part orthogonal to that of ``points``, times ``scale``."""
        # mu with |w|^2 in place of N keeps the norm constant also at the integrator's inner stages
        mu = self.row_products(points, gradient) / self.row_products(points, points)
        gradient -= mu[:, None] * points
        gradient *= scale

    def displace(self, rows: Int, points: Tensor, directions: Tensor, size: float, out: Tensor) -> None:
        """Displaced ``points``, see :class:`phasepipe.physics.arrays.Arrays`."""
        if len(rows) == 0:
            return
        here = self.index(rows)
        vectors, chosen = directions[here], points[here]
        norms = self.row_products(vectors, vectors).sqrt()[:, None]
        known = torch.isfinite(norms) & (norms > 0)
        unit = torch.where(known, vectors / norms, chosen.roll(1, 1) / points.shape[1] ** 0.5)
        directions[here], out[here] = unit, chosen + size * unit

    def move(self, rows: Int, weights: Float, points: Tensor, velocity: Tensor, out: Tensor) -> None:
        """Write these rows of ``points`` plus ``weights`` times ``velocity`` into ``out``."""
        if len(rows):
            here = self.index(rows)
            out[here] = points[here] + self._column(weights, points) * velocity[here]

    def changes(self, rows: Int, found: Tensor, velocity: Tensor, out: Tensor) -> Float:
        """Write ``found - velocity`` into these rows of ``out``; return their norms."""
        if len(rows) == 0:
            return np.empty(0)
        here = self.index(rows)
        change = found[here] - velocity[here]
        out[here] = change
        return self._norms(change)

    def step_errors(
        self, step: Float, point: Tensor, velocity: Tensor, next_point: Tensor, next_velocity: Tensor
    ) -> Float:
        """Norms of the estimated errors of steps."""
        if len(step) == 0:
            return np.empty(0)
        weight = self._column(0.4 * step, point)
        return self._norms(0.8 * (point - next_point) + weight * (velocity + next_velocity))

    def _column(self, weights: Float, like: Tensor) -> Tensor:
        return self.send(weights.astype(self.dtype(like)))[:, None]

    def _norms(self, vectors: Tensor) -> Float:
        norms: Float = np.sqrt(self.fetch(self.row_products(vectors, vectors)).astype(np.float64))
        return norms

    def mixture(self, rows: Int, weights: Float, vectors: Sequence[Tensor]) -> Tensor:
        """Sums of these rows of ``vectors`` with ``weights``; in float64, then rounded."""
        columns, here = self.send(weights)[:, :, None], self.index(rows)
        total = sum(column * part[here] for column, part in zip(columns, vectors, strict=True))
        return total.to(vectors[0].dtype)

    def recur(self, rows: Int, out: Tensor, weights: Float, others: Sequence[Tensor]) -> None:
        """Replace these rows of ``out`` by a sum with ``others``, with weights (5, rows)."""
        if len(rows) == 0:
            return
        here = self.index(rows)
        own, *columns = self.send(weights[:, rows].astype(self.dtype(out)))[:, :, None]
        total = own * out[here]
        for column, part in zip(columns, others, strict=True):
            total.addcmul_(column, part[here])
        out[here] = total

    def instances(self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike) -> TorchInstances:
        """The instances with their loss."""
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

    def gradient(self, segments: Segments, points: Tensor, out: Tensor) -> None:
        """Write ``sqrt(N)`` times the gradient at ``points`` into ``out``, both (rows, N)."""
        for instance, rows in segments:
            self._finish(instance, self._predict(instance, points[rows]), out[rows])

    def measure(self, instance: int, points: Tensor, out: Tensor, predictions: Array) -> Float:
        """As :meth:`gradient` for one instance; writes ``predictions`` on the host, returns losses."""
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
