"""Compiled loops of the engine: products of rows with a matrix, slopes, projections and weighted sums.

Every number is computed by one chain of operations that is written down here: an entry of a product is a
chain of fused multiply-adds along the depth, and a scalar product is 32 such chains, added in a fixed order.
Neither the tiles, nor the rows beside a row, nor the registers of the processor change a chain, so the bits
are the same with all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.compiled import compiled
from phasepipe.physics.losses import Array
from phasepipe.physics.tiles import CHAINS, TALLEST, TILE_BYTES, chains, tallest, tile_1, tile_2, tile_4

Float = NDArray[np.float64]
Int = NDArray[np.intp]

_DEPTH = 512  # steps along the depth before the next panel: what they read stays in the first-level cache
ROWS = 64  # of a batch that go through predictions and slopes together: they stay in the second-level cache


def columns(dtype: np.dtype[Any]) -> int:
    """Columns of a panel: the width of a tile."""
    return TILE_BYTES // dtype.itemsize


def pack(matrix: Array, panels: Array) -> None:
    """Copy ``matrix`` (depth, width) into ``panels`` (panels, depth, columns), which hold zeros."""
    width = panels.shape[2]
    for number, panel in enumerate(panels):
        part = matrix[:, number * width : (number + 1) * width]
        panel[:, : part.shape[1]] = part


@compiled
def dot(left: Array, right: Array) -> Any:
    """Scalar product of two contiguous rows."""
    whole = len(left) - len(left) % CHAINS
    total = left.dtype.type(0)
    if whole:
        total += chains(left, right, whole)
    for place in range(whole, len(left)):
        total += left[place] * right[place]
    return total


@compiled
def multiply(rows: Array, depth: int, panels: Array, out: Array, tail: Array) -> None:
    """Write ``rows[:, :depth] @ matrix`` into ``out``.

    Rows and ``out`` have contiguous rows, and ``panels`` come from :func:`pack`. ``tail`` is scratch, (rows,
    columns), for a last panel that is wider than what is left of ``out``.
    """
    count, width, across = len(rows), out.shape[1], panels.shape[2]
    left_stride, out_stride = rows.strides[0] // rows.itemsize, out.strides[0] // out.itemsize
    for first in range(0, depth, _DEPTH):
        steps = min(_DEPTH, depth - first)
        onto = 1 if first else 0
        for number in range(len(panels)):
            column = number * across
            panel_at = (number * panels.shape[1] + first) * across
            result, result_at, stride = out, column, out_stride
            rest = width - column
            if rest < across:
                result, result_at, stride = tail, 0, across
                if onto:
                    tail[:count, :rest] = out[:, column:]
            row = 0
            while row < count:
                left_at, out_at = row * left_stride + first, result_at + row * stride
                height = count - row
                height = TALLEST if height >= TALLEST else 4 if height >= 4 else 2 if height >= 2 else 1
                ahead = panel_at + (panels.shape[1] + row * steps // count) * across
                pace = height * across // count
                a, b = (rows, left_at, left_stride, panels, panel_at), (result, out_at, stride, steps, onto)
                if height == TALLEST:
                    tallest(*a, *b, ahead, pace)
                elif height == 4:
                    tile_4(*a, *b, ahead, pace)
                elif height == 2:
                    tile_2(*a, *b, ahead, pace)
                else:
                    tile_1(*a, *b, ahead, pace)
                row += height
            if rest < across:
                out[:, column:] = tail[:count, :rest]


@compiled
def gradients(
    points: Array,
    instances: Int,
    first: Int,
    last: Int,
    transposed: Array,
    sensing: Array,
    squares: Array,
    weights: Array,
    predictions: Array,
    tail: Array,
    out: Array,
) -> None:
    """Write ``sqrt(N)`` times the gradient of a quartic loss at ``points`` into ``out``, both (rows, N).

    Segment s of the rows, from ``first[s]`` to before ``last[s]``, belongs to instance ``instances[s]``. The
    slope is ``weight yhat (yhat² - square)`` with the constants of the labels, both (instances, M).
    """
    M = squares.shape[1]
    for segment in range(len(instances)):
        instance = instances[segment]
        for start in range(first[segment], last[segment], ROWS):
            stop = min(start + ROWS, last[segment])
            found = predictions[: stop - start]
            multiply(points[start:stop], points.shape[1], transposed[instance], found, tail)
            for row in range(stop - start):
                for sample in range(M):
                    yhat = found[row, sample]
                    excess = yhat * yhat - squares[instance, sample]
                    found[row, sample] = yhat * (excess * weights[instance, sample])
            multiply(found, M, sensing[instance], out[start:stop], tail)


@compiled
def to_velocity(points: Array, gradient: Array, scale: Any) -> None:
    """Replace ``gradient`` by its part orthogonal to ``points``, times ``scale``, row by row."""
    for row in range(len(points)):
        point, vector = points[row], gradient[row]
        # mu with |w|^2 in place of N keeps the norm constant also at the integrator's inner stages
        mu = dot(point, vector) / dot(point, point)
        for place in range(len(point)):
            vector[place] = (vector[place] - mu * point[place]) * scale


@compiled
def projections(points: Array, vectors: Array, places: Int) -> Array:
    """Scalar product of each row of ``points`` with row ``places`` of ``vectors``, shape (rows,)."""
    products = np.empty(len(points), points.dtype)
    for row in range(len(points)):
        products[row] = dot(points[row], vectors[places[row]])
    return products


@compiled
def mixture(
    rows: Int, weights: Float, point: Array, velocity: Array, next_point: Array, next_velocity: Array
) -> Array:
    """Sums of these rows of four arrays with ``weights`` (4, len(rows)); in float64, then rounded."""
    total = np.empty((len(rows), point.shape[1]), point.dtype)
    for number in range(len(rows)):
        row = rows[number]
        a, b, c, d = weights[0, number], weights[1, number], weights[2, number], weights[3, number]
        for place in range(point.shape[1]):
            before = a * point[row, place] + b * velocity[row, place]
            total[number, place] = before + (c * next_point[row, place] + d * next_velocity[row, place])
    return total


@compiled
def recur(
    rows: Int, out: Array, weights: Float, point: Array, iterate: Array, found: Array, velocity: Array
) -> None:
    """Replace these rows of ``out`` by a sum with four others, all (rows, N), with weights (5, rows)."""
    kind = out.dtype.type
    for row in rows:
        own, a, b = kind(weights[0, row]), kind(weights[1, row]), kind(weights[2, row])
        c, d = kind(weights[3, row]), kind(weights[4, row])
        for place in range(out.shape[1]):
            total = own * out[row, place] + a * point[row, place] + b * iterate[row, place]
            out[row, place] = total + c * found[row, place] + d * velocity[row, place]


@compiled
def step_errors(step: Array, point: Array, velocity: Array, next_point: Array, next_velocity: Array) -> Float:
    """Norms of the estimated errors of steps, (steps,), from arrays (steps, N) (Sommeijer et al. 1998)."""
    kind = point.dtype.type
    norms, estimate = np.empty(len(step)), np.empty(point.shape[1], point.dtype)
    for row in range(len(step)):
        weight = kind(0.4) * step[row]
        for place in range(len(estimate)):
            change = kind(0.8) * (point[row, place] - next_point[row, place])
            estimate[place] = change + weight * (velocity[row, place] + next_velocity[row, place])
        norms[row] = np.sqrt(np.float64(dot(estimate, estimate)))
    return norms


@compiled
def changes(rows: Int, found: Array, velocity: Array, out: Array) -> Float:
    """Write ``found - velocity`` into these rows of ``out``; return their norms, one each."""
    norms = np.empty(len(rows))
    for number in range(len(rows)):
        row = rows[number]
        change = out[row]
        for place in range(len(change)):
            change[place] = found[row, place] - velocity[row, place]
        norms[number] = np.sqrt(np.float64(dot(change, change)))
    return norms


@compiled
def displace(rows: Int, points: Array, directions: Array, size: Any, out: Array) -> None:
    """Write these rows of ``points``, displaced by ``size`` along ``directions``, into ``out``."""
    for row in rows:
        direction = directions[row]
        norm = np.sqrt(dot(direction, direction))
        if not (np.isfinite(norm) and norm > 0):  # at a critical point any direction will do
            direction[1:] = points[row, :-1]
            direction[0] = points[row, -1]
            norm = np.sqrt(dot(direction, direction))
        for place in range(len(direction)):
            direction[place] /= norm
            out[row, place] = points[row, place] + size * direction[place]


@compiled
def move(rows: Int, weights: Array, points: Array, velocity: Array, out: Array) -> None:
    """Write these rows of ``points`` plus ``weights``, one each, times ``velocity`` into ``out``."""
    for number in range(len(rows)):
        row, weight = rows[number], weights[number]
        for place in range(out.shape[1]):
            out[row, place] = points[row, place] + weight * velocity[row, place]


@compiled
def to_sphere(points: Array, rows: Int) -> None:
    """Rescale these rows of ``points``, (rows, N), to ``|w|² = N`` in place."""
    root = np.sqrt(points.dtype.type(points.shape[1]))
    for row in rows:
        point = points[row]
        scale = root / np.sqrt(dot(point, point))
        for place in range(len(point)):
            point[place] *= scale
