"""Random graphs for channel pruning: each block joins, splits or moves channels in its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from support.models import NONE, RELU, SAME, Builder
from tightfit.graph.ir import Model, Op, Tensor

Block = Callable[[Builder, Tensor], Tensor]
_PLAIN = {"fusedActivationFunction": NONE}


def conv(b: Builder, x: Tensor) -> Tensor:
    return b.conv(x, 12)


def pointwise(b: Builder, x: Tensor) -> Tensor:
    return b.conv(x, 8, kernel=1, activation=NONE)


def depthwise(b: Builder, x: Tensor) -> Tensor:
    return b.depthwise(x)


def multiplied_depthwise(b: Builder, x: Tensor) -> Tensor:
    """Two outputs a channel, then back to few channels."""
    n = 2 * x.shape[3]
    y = b.op(
        "DEPTHWISE_CONV_2D", [x, b.weights("wide/filter", 1, 3, 3, n), b.weights("wide/bias", n)],
        [*x.shape[:3], n], table="DepthwiseConv2DOptions",
        options={"padding": SAME, "strideW": 1, "strideH": 1, "depthMultiplier": 2, "dilationWFactor": 1,
                 "dilationHFactor": 1, "fusedActivationFunction": RELU},
    )  # fmt: skip
    return b.conv(y, 8, kernel=1)


def residual(b: Builder, x: Tensor) -> Tensor:
    y = b.conv(x, 12)
    return b.add(x, b.conv(y, x.shape[3], kernel=1, activation=NONE), RELU)


def concatenation(b: Builder, x: Tensor) -> Tensor:
    return _join(b, [b.conv(x, 4), x, b.conv(x, 8, kernel=1)])


def split(b: Builder, x: Tensor) -> Tensor:
    """Two equal halves; each goes its own way."""
    half = [*x.shape[:3], x.shape[3] // 2]
    return _join(b, [b.conv(_halves(b, x, half)[0], 4), _halves(b, x, half)[1]])


def uneven_split(b: Builder, x: Tensor) -> Tensor:
    parts = [
        Tensor(f"part_{len(b.graph.ops)}_{i}", [*x.shape[:3], n]) for i, n in enumerate((3, x.shape[3] - 3))
    ]
    sizes, axis = b.constant("sizes", [3, x.shape[3] - 3], "int32"), b.constant("axis", 3, "int32")
    b.graph.append(Op("SPLIT_V", [x, sizes, axis], parts, {"numSplits": 2}, "SplitVOptions"))
    return _join(b, [parts[1], b.conv(parts[0], 4, kernel=1)])


def excitation(b: Builder, x: Tensor) -> Tensor:
    """Squeeze and excite: one factor a channel, spread over the image."""
    axes = b.constant("spatial axes", [1, 2], "int32")
    mean = b.op("MEAN", [x, axes], [1, 1, 1, x.shape[3]], table="ReducerOptions", options={"keepDims": True})
    gates = b.conv(b.conv(mean, 4, kernel=1), x.shape[3], kernel=1, activation=NONE)
    return b.op(
        "MUL", [x, b.op("LOGISTIC", [gates], gates.shape)], x.shape, table="MulOptions", options=_PLAIN
    )


def slopes(b: Builder, x: Tensor) -> Tensor:
    return b.op("PRELU", [x, b.weights("slopes", 1, 1, x.shape[3])], x.shape)


def offsets(b: Builder, x: Tensor) -> Tensor:
    """A constant a channel and one for all."""
    y = b.add(x, b.weights("offsets", x.shape[3]))
    return b.op("MAXIMUM", [y, b.constant("floor", -0.5, "float32")], x.shape, table="MaximumMinimumOptions")


def wider_by_padding(b: Builder, x: Tensor) -> Tensor:
    """Channels of zeros behind the others, added to real ones."""
    shape = [*x.shape[:3], x.shape[3] + 4]
    widths = b.constant("widths", [[0, 0], [0, 0], [0, 0], [0, 4]], "int32")
    padded = b.op("PAD", [x, widths], shape, table="PadOptions")
    return b.add(padded, b.conv(x, shape[3]))


def shuffle(b: Builder, x: Tensor) -> Tensor:
    """Channels of two groups in turn, as ShuffleNet does."""
    _, h, w, c = x.shape
    y = _reshape(b, x, [1, h, w, 2, c // 2])
    order = b.constant("order", [0, 1, 2, 4, 3], "int32")
    y = b.op("TRANSPOSE", [y, order], [1, h, w, c // 2, 2], table="TransposeOptions")
    return _reshape(b, y, [1, h, w, c])


def grouped(b: Builder, x: Tensor) -> Tensor:
    """Two groups of filters, each for half of the channels."""
    c = x.shape[3]
    return b.op(
        "CONV_2D", [x, b.weights("grouped/filter", 8, 3, 3, c // 2), b.weights("grouped/bias", 8)],
        [*x.shape[:3], 8], table="Conv2DOptions",
        options={"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1,
                 "fusedActivationFunction": RELU},
    )  # fmt: skip


def shared(b: Builder, x: Tensor) -> Tensor:
    """The same weights twice: their input and output channels are the same set."""
    y = b.conv(b.conv(x, 8), 8)
    return _again(b, y, b.graph.ops[-1].inputs[1:])


def transposed(b: Builder, x: Tensor) -> Tensor:
    """To channels first and back."""
    n, h, w, c = x.shape
    first = b.constant("to channels first", [0, 3, 1, 2], "int32")
    y = b.op("TRANSPOSE", [x, first], [n, c, h, w], table="TransposeOptions")
    y = b.op("ABS", [y], y.shape, table="AbsOptions")
    back = b.constant("to channels last", [0, 2, 3, 1], "int32")
    return b.op("TRANSPOSE", [y, back], [n, h, w, c], table="TransposeOptions")


def sliced(b: Builder, x: Tensor) -> Tensor:
    shape = [*x.shape[:3], x.shape[3] - 2]
    begin, size = b.constant("begin", [0, 0, 0, 1], "int32"), b.constant("size", shape, "int32")
    return b.conv(b.op("SLICE", [x, begin, size], shape, table="SliceOptions"), 8)


def _again(b: Builder, x: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
    return b.op(
        "CONV_2D", [x, *weights], x.shape, table="Conv2DOptions",
        options={"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1,
                 "fusedActivationFunction": NONE},
    )  # fmt: skip


def _halves(b: Builder, x: Tensor, shape: list[int]) -> list[Tensor]:
    done = [op for op in b.graph.ops if op.kind == "SPLIT" and op.inputs[1] is x]
    if not done:
        parts = [Tensor(f"half_{len(b.graph.ops)}_{i}", shape) for i in range(2)]
        axis = b.constant("axis", 3, "int32")
        done = [b.graph.append(Op("SPLIT", [axis, x], parts, {"numSplits": 2}, "SplitOptions"))]
    return done[0].outputs


def _join(b: Builder, parts: list[Tensor]) -> Tensor:
    shape = [*parts[0].shape[:3], sum(p.shape[3] for p in parts)]
    options = {"axis": 3, "fusedActivationFunction": NONE}
    return b.op("CONCATENATION", parts, shape, table="ConcatenationOptions", options=options)


def _reshape(b: Builder, x: Tensor, shape: list[int]) -> Tensor:
    return b.op(
        "RESHAPE", [x, b.constant("shape", shape, "int32")], shape,
        table="ReshapeOptions", options={"newShape": shape},
    )  # fmt: skip


BLOCKS: dict[str, Block] = {
    f.__name__: f
    for f in (
        conv, pointwise, depthwise, multiplied_depthwise, residual, concatenation, split, uneven_split,
        excitation, slopes, offsets, wider_by_padding, shuffle, grouped, shared, transposed, sliced,
    )
}  # fmt: skip


def build(blocks: Sequence[str], *, flatten: bool, seed: int = 0) -> Model:
    """A 6×6 image through the blocks, then flattened (or averaged), dense, dense."""
    b = Builder(seed=seed)
    x = b.conv(b.input("image", [1, 6, 6, 3]), 8)
    for block in blocks:
        if x.shape[3] % 2:
            x = b.conv(x, 8, kernel=1)
        x = BLOCKS[block](b, x)
    x = _reshape(b, x, [1, x.size]) if flatten else b.mean(x)
    return b.model(b.dense(b.dense(x, 12, RELU), 3))
