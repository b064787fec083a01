"""Compiled loops of the engine: products of rows with a matrix, slopes, projections and weighted sums.

Every number is computed by one chain of operations that is written down here: an entry of a product is a
chain of fused multiply-adds along the depth, and a scalar product is 32 such chains, added in a fixed order.
Neither the tiles, nor the rows beside a row, nor the registers of the processor change a chain, so the bits
are the same with all of them.

A product holds a tile of its result in registers while it walks along the depth. Compilers do not find this
loop by themselves, therefore its instructions are generated here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from phasepipe.physics.compiled import compiled
from phasepipe.physics.losses import Array

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# A tile is as large as its sums fit into the registers. 32 registers of 64 bytes, or what all others can do
_WIDE = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]
_TALLEST = 8 if _WIDE else 6  # rows of the largest tile
_TILE_BYTES = 128 if _WIDE else 64  # of a row of a tile
_DEPTH = 512  # steps along the depth before the next panel: what they read stays in the first-level cache
ROWS = 64  # of a batch that go through predictions and slopes together: they stay in the second-level cache
_CHAINS = 32  # of a scalar product

_INDEX = ir.IntType(64)


def columns(dtype: np.dtype[Any]) -> int:
    """Columns of a panel: the width of a tile."""
    return _TILE_BYTES // dtype.itemsize


def pack(matrix: Array, panels: Array) -> None:
    """Copy ``matrix`` (depth, width) into ``panels`` (panels, depth, columns), which hold zeros."""
    width = panels.shape[2]
    for number, panel in enumerate(panels):
        part = matrix[:, number * width : (number + 1) * width]
        panel[:, : part.shape[1]] = part


class _Emitter:
    """Instructions on vectors of numbers of the type of an array argument."""

    def __init__(self, context: Any, builder: Any, kind: types.Array, lanes: int) -> None:
        self.context, self.builder = context, builder
        self.element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, lanes)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)
        self._any = ir.Constant(self.vector, ir.Undefined)
        self._first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

    def data(self, kind: types.Array, value: Any) -> Any:
        """Pointer to the first number of an array argument."""
        return self.context.make_array(kind)(self.context, self.builder, value=value).data

    def place(self, data: Any, *parts: Any) -> Any:
        """Pointer to the vector that begins at the sum of ``parts``."""
        index = parts[0]
        for part in parts[1:]:
            index = self.builder.add(index, part)
        return self.builder.bitcast(self.builder.gep(data, [index]), self.vector.as_pointer())

    def load(self, pointer: Any) -> Any:
        return self.builder.load(pointer, align=4)

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, pointer, align=4)

    def broadcast(self, data: Any, index: Any) -> Any:
        """One number in all places of a vector."""
        number = self.builder.load(self.builder.gep(data, [index]), align=4)
        alone = self.builder.insert_element(self._any, number, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(alone, self._any, self._first)

    def prefetch(self, pointer: Any) -> None:
        """Begin to load what will be needed soon, into all caches."""
        module, number, name = self.builder.module, ir.IntType(32), "llvm.prefetch"
        kind = ir.IntType(8).as_pointer()
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(ir.VoidType(), [kind, number, number, number]), name=name
        )
        read, everywhere, data = (ir.Constant(number, value) for value in (0, 3, 1))
        self.builder.call(function, [self.builder.bitcast(pointer, kind), read, everywhere, data])

    def fma(self, left: Any, right: Any, addend: Any) -> Any:
        """``left * right + addend``, rounded once."""
        bits = 64 if isinstance(self.element, ir.DoubleType) else 32
        name, module = f"llvm.fma.v{self.vector.count}f{bits}", self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(self.vector, [self.vector] * 3), name=name
        )
        return self.builder.call(function, [left, right, addend])


def _tile(rows: int) -> Any:
    """Function that adds ``depth`` steps to a tile of so many rows of a product.

    Its arguments are rows, where they begin and their stride; panel, and where the tile begins in it; result,
    where the tile begins in it and its stride; the depth; and whether to go on from what the result holds.
    Meanwhile the next panel is loaded into the caches, from ``ahead`` at so many numbers a step.
    """

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        _, left, left_at, left_stride, panel, panel_at, out, out_at, out_stride, depth, onto, ahead, pace
    ):
        numbers = types.intp
        signature = types.void(left, numbers, numbers, panel, numbers, out, *[numbers] * 6)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            left, left_at, left_stride, panel, panel_at, *rest = arguments
            out, out_at, out_stride, depth, onto, ahead, pace = rest
            kind = signature.args[0]
            width = _TILE_BYTES // (kind.dtype.bitwidth // 8)
            emit = _Emitter(context, builder, kind, width)
            left, panel, out = (
                emit.data(signature.args[place], value) for place, value in ((0, left), (3, panel), (5, out))
            )
            one = ir.Constant(_INDEX, 1)
            down = [ir.Constant(_INDEX, row) for row in range(rows)]
            places = [emit.place(out, out_at, builder.mul(row, out_stride)) for row in down]
            starts = [builder.add(left_at, builder.mul(row, left_stride)) for row in down]

            entry = builder.block
            going_on, ready, loop, done = (
                builder.append_basic_block(name) for name in ("on", "ready", "loop", "done")
            )
            builder.cbranch(builder.icmp_signed("!=", onto, ir.Constant(_INDEX, 0)), going_on, ready)
            builder.position_at_end(going_on)
            held = [emit.load(place) for place in places]
            builder.branch(ready)
            builder.position_at_end(ready)
            begin = []
            for value in held:
                begin.append(builder.phi(emit.vector))
                begin[-1].add_incoming(emit.zero, entry)
                begin[-1].add_incoming(value, going_on)
            builder.branch(loop)

            builder.position_at_end(loop)
            step = builder.phi(_INDEX)
            sums = [builder.phi(emit.vector) for _ in down]
            across = emit.load(emit.place(panel, panel_at, builder.mul(step, ir.Constant(_INDEX, width))))
            emit.prefetch(emit.place(panel, ahead, builder.mul(step, pace)))
            grown = [
                emit.fma(emit.broadcast(left, builder.add(start, step)), across, total)
                for start, total in zip(starts, sums, strict=True)
            ]
            following = builder.add(step, one)
            step.add_incoming(ir.Constant(_INDEX, 0), ready)
            step.add_incoming(following, loop)
            for total, first, later in zip(sums, begin, grown, strict=True):
                total.add_incoming(first, ready)
                total.add_incoming(later, loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
            builder.position_at_end(done)
            for value, place in zip(grown, places, strict=True):
                emit.store(value, place)
            return context.get_dummy_value()

        return signature, generate

    return tile


_tallest, _tile_4, _tile_2, _tile_1 = (_tile(rows) for rows in (_TALLEST, 4, 2, 1))


@intrinsic
def _chains(_, left, right, count):  # type: ignore[no-untyped-def]
    """Scalar product of two contiguous rows, of which ``count``, a multiple of _CHAINS, is positive."""
    signature = left.dtype(left, right, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder, signature.args[0], _CHAINS)
        one, other = (emit.data(signature.args[place], arguments[place]) for place in (0, 1))
        entry = builder.block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        step, sums = builder.phi(_INDEX), builder.phi(emit.vector)
        grown = emit.fma(emit.load(emit.place(one, step)), emit.load(emit.place(other, step)), sums)
        following = builder.add(step, ir.Constant(_INDEX, _CHAINS))
        step.add_incoming(ir.Constant(_INDEX, 0), entry)
        step.add_incoming(following, loop)
        sums.add_incoming(emit.zero, entry)
        sums.add_incoming(grown, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[2]), loop, done)
        builder.position_at_end(done)
        total, width = grown, _CHAINS
        while width > 1:  # fold the upper half onto the lower one
            width //= 2
            halves = [
                builder.shuffle_vector(
                    total,
                    total,
                    ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(start, start + width))),
                )
                for start in (0, width)
            ]
            total = builder.fadd(*halves)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return signature, generate


@compiled
def dot(left: Array, right: Array) -> Any:
    """Scalar product of two contiguous rows."""
    whole = len(left) - len(left) % _CHAINS
    total = left.dtype.type(0)
    if whole:
        total += _chains(left, right, whole)
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
                height = _TALLEST if height >= _TALLEST else 4 if height >= 4 else 2 if height >= 2 else 1
                ahead = panel_at + (panels.shape[1] + row * steps // count) * across
                pace = height * across // count
                a, b = (rows, left_at, left_stride, panels, panel_at), (result, out_at, stride, steps, onto)
                if height == _TALLEST:
                    _tallest(*a, *b, ahead, pace)
                elif height == 4:
                    _tile_4(*a, *b, ahead, pace)
                elif height == 2:
                    _tile_2(*a, *b, ahead, pace)
                else:
                    _tile_1(*a, *b, ahead, pace)
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
