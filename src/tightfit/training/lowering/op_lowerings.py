"""``OP_LOWERINGS``: one row for each builtin op that can be trained, with the form of its inputs.

``weights`` have no batch axis, ``static`` inputs are NumPy arrays that must be known before the model runs;
every other input has the batch as first axis (``batching``). ``trained`` lists the inputs whose float
constants become variables; of elementwise operands only those with one value for each channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.training.fake_quant.fake_quantize import quantize_as_output
from tightfit.training.lowering import lower_elementwise as elementwise
from tightfit.training.lowering import lower_images as images
from tightfit.training.lowering import lower_lookups as lookups
from tightfit.training.lowering import lower_movements as movements
from tightfit.training.lowering import lower_products as products
from tightfit.training.lowering import lower_reductions as reductions
from tightfit.training.lowering.lower_recurrent import sequence_lstm


@dataclass(frozen=True)
class Lowering:
    """The lowering of one builtin op to ``keras.ops``.

    Args:
        function: called with (op, inputs); returns the output or a list of outputs. A NumPy result is equal
            for all samples.
        weights: positions of inputs without a batch axis, as in the file.
        static: positions of inputs as NumPy arrays: shapes, axes, indices.
        indices: positions of inputs as NumPy arrays where they are known, else with a batch.
        trained: positions of inputs whose float constants are trained.
        channels: train only constants with one value for each channel.
    """

    function: Callable[[Op, list[Any]], Any]
    weights: tuple[int, ...] = ()
    static: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()
    trained: tuple[int, ...] = ()
    channels: bool = False


_LSTM_WEIGHTS: Final = (*range(1, 18), *range(20, 24))
_TRAINED_OPERANDS: Final = frozenset({"ADD", "SUB", "MUL", "DIV"})


def _same(_: Op, values: list[Any]) -> Any:
    return values[0]


def _weighted(
    function: Callable[[Op, list[Any]], Any], *positions: int, static: tuple[int, ...] = ()
) -> Lowering:
    return Lowering(function, weights=positions, static=static, trained=positions)


_PRODUCTS: Final[dict[str, Lowering]] = {
    "CONV_2D": _weighted(products.conv_2d, 1, 2),
    "DEPTHWISE_CONV_2D": _weighted(products.depthwise_conv_2d, 1, 2),
    "CONV_3D": _weighted(products.conv_3d, 1, 2),
    "TRANSPOSE_CONV": _weighted(products.transpose_conv, 1, 3, static=(0,)),
    "FULLY_CONNECTED": _weighted(products.fully_connected, 1, 2),
    "BATCH_MATMUL": Lowering(products.batch_matmul, trained=(0, 1)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _weighted(sequence_lstm, *_LSTM_WEIGHTS),
}

_ELEMENTWISE: Final[dict[str, Lowering]] = {
    **{
        kind: Lowering(
            elementwise.binary(function), trained=(0, 1) if kind in _TRAINED_OPERANDS else (), channels=True
        )
        for kind, function in elementwise.BINARY.items()
    },
    **{kind: Lowering(elementwise.unary(function)) for kind, function in elementwise.UNARY.items()},
    "LEAKY_RELU": Lowering(elementwise.leaky_relu),
    "PRELU": _weighted(elementwise.prelu, 1),
    "GELU": Lowering(elementwise.gelu),
    "SOFTMAX": Lowering(elementwise.softmax),
    "SELECT": Lowering(elementwise.select),
    "SELECT_V2": Lowering(elementwise.select_v2),
    "CAST": Lowering(elementwise.cast),
    # Quantized values of the file are reals here, so there is nothing to convert.
    "DEQUANTIZE": Lowering(_same),
    "DENSIFY": Lowering(_same),
    "QUANTIZE": Lowering(quantize_as_output),
}

_REDUCTIONS: Final[dict[str, Lowering]] = {
    **{
        kind: Lowering(reductions.reduction(function), static=(1,))
        for kind, function in reductions.REDUCTIONS.items()
    },
    "ARG_MAX": Lowering(reductions.arg(ops.argmax), static=(1,)),
    "ARG_MIN": Lowering(reductions.arg(ops.argmin), static=(1,)),
    "TOPK_V2": Lowering(reductions.top_k, static=(1,)),
    "MAX_POOL_2D": Lowering(reductions.max_pool),
    "AVERAGE_POOL_2D": Lowering(reductions.average_pool),
    "CUMSUM": Lowering(reductions.cumsum, static=(1,)),
}

_MOVEMENTS: Final[dict[str, Lowering]] = {
    "RESHAPE": Lowering(movements.reshape, static=(1,)),
    "TRANSPOSE": Lowering(movements.transpose, static=(1,)),
    "SQUEEZE": Lowering(movements.squeeze),
    "EXPAND_DIMS": Lowering(movements.expand_dims, static=(1,)),
    "SHAPE": Lowering(movements.shape),
    "RANK": Lowering(movements.rank),
    "PACK": Lowering(movements.pack),
    "UNPACK": Lowering(movements.unpack),
    "CONCATENATION": Lowering(movements.concatenation),
    "SPLIT": Lowering(movements.split_evenly, static=(0,)),
    "SPLIT_V": Lowering(movements.split_v, static=(1, 2)),
    "SLICE": Lowering(movements.slice_, static=(1, 2)),
    "STRIDED_SLICE": Lowering(movements.strided_slice, static=(1, 2, 3)),
    "PAD": Lowering(movements.pad, static=(1,)),
    "PADV2": Lowering(movements.pad, static=(1, 2)),
    "MIRROR_PAD": Lowering(movements.mirror_pad, static=(1,)),
    "TILE": Lowering(movements.tile, static=(1,)),
    "BROADCAST_TO": Lowering(movements.broadcast_to, static=(1,)),
    "REVERSE_V2": Lowering(movements.reverse, static=(1,)),
    "RESIZE_BILINEAR": Lowering(images.resize_bilinear, static=(1,)),
    "RESIZE_NEAREST_NEIGHBOR": Lowering(images.resize_nearest, static=(1,)),
    "SPACE_TO_DEPTH": Lowering(images.space_to_depth),
    "DEPTH_TO_SPACE": Lowering(images.depth_to_space),
    "SPACE_TO_BATCH_ND": Lowering(images.space_to_batch, static=(1, 2)),
    "BATCH_TO_SPACE_ND": Lowering(images.batch_to_space, static=(1, 2)),
    "GATHER": Lowering(lookups.gather, indices=(1,), trained=(0,)),
    "GATHER_ND": Lowering(lookups.gather_nd, indices=(1,)),
    "EMBEDDING_LOOKUP": Lowering(lookups.embedding_lookup, weights=(1,), indices=(0,), trained=(1,)),
    "ONE_HOT": Lowering(lookups.one_hot, static=(1, 2, 3)),
}

OP_LOWERINGS: Final[dict[str, Lowering]] = {**_PRODUCTS, **_ELEMENTWISE, **_REDUCTIONS, **_MOVEMENTS}
"""Op kind → its lowering."""


def trained_positions(op: Op) -> list[int]:
    """Return the input positions of an op whose float constants are trained.

    Example:
        >>> trained_positions(Op("RELU", [], []))
        []
    """
    row = OP_LOWERINGS.get(op.kind)
    return [] if row is None else [i for i in row.trained if _is_trained(op, i, channels=row.channels)]


def _is_trained(op: Op, position: int, *, channels: bool) -> bool:
    tensor = op.input(position)
    if tensor is None or not tensor.is_constant or tensor.is_variable:
        return False
    if tensor.dtype != "float32" or tensor.sparsity is not None or tensor.size == 0:
        return False
    return not channels or (tensor.size > 1 and int(np.max(tensor.shape)) == tensor.size)
