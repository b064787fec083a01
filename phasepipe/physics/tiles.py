"""Generated instructions of products: a tile of a result, and the chains of a scalar product, in registers.

A product holds a tile of its result in registers while it walks along the depth. Compilers do not find this
loop by themselves, therefore its instructions are generated here, for the loops of
:mod:`phasepipe.physics.kernels`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

# A tile is as large as its sums fit into the registers. 32 registers of 64 bytes, or what all others can do
_WIDE = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]
TALLEST = 8 if _WIDE else 6  # rows of the largest tile
TILE_BYTES = 128 if _WIDE else 64  # of a row of a tile
CHAINS = 32  # of a scalar product

_INDEX = ir.IntType(64)


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
            width = TILE_BYTES // (kind.dtype.bitwidth // 8)
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


tallest, tile_4, tile_2, tile_1 = (_tile(rows) for rows in (TALLEST, 4, 2, 1))


@intrinsic
def chains(_, left, right, count):  # type: ignore[no-untyped-def]
    """Scalar product of two contiguous rows, of which ``count``, a multiple of CHAINS, is positive."""
    signature = left.dtype(left, right, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder, signature.args[0], CHAINS)
        one, other = (emit.data(signature.args[place], arguments[place]) for place in (0, 1))
        entry = builder.block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        step, sums = builder.phi(_INDEX), builder.phi(emit.vector)
        grown = emit.fma(emit.load(emit.place(one, step)), emit.load(emit.place(other, step)), sums)
        following = builder.add(step, ir.Constant(_INDEX, CHAINS))
        step.add_incoming(ir.Constant(_INDEX, 0), entry)
        step.add_incoming(following, loop)
        sums.add_incoming(emit.zero, entry)
        sums.add_incoming(grown, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[2]), loop, done)
        builder.position_at_end(done)
        total, width = grown, CHAINS
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
