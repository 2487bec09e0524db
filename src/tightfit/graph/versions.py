"""The least version of an op that its use needs, and the least runtime that a model needs.

An op's version says which dtypes, ranks and options a runtime must know; a file whose versions are too
high is refused by old runtimes, one whose versions are too low is accepted and then miscomputed or
rejected late. Nothing here knows about kernels: see ``quantization.op_rules`` for what they do.

Source: ``tflite/converter/tools/versioning/op_version.cc`` and ``op_signature.cc``, with departures where
the source falls through to a version whose kernel never took the types (marked "departure" below).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.runtime_versions import RUNTIME_VERSIONS

Condition = Callable[[Op], bool]
Rules = tuple[tuple[int, Condition], ...]

_FLOAT8 = ("float8_e4m3fn", "float8_e5m2")


def op_version(op: Op) -> int:
    """Gives the greatest version that any property of the op's use asks for.

    Example:
        >>> x, y = Tensor("x", (1, 4), "int8"), Tensor("y", (1, 4), "int8")
        >>> op_version(Op("RELU", [x], [y]))
        2
    """
    least = 2 if op.kind == "BROADCAST_TO" else 1  # its first version was withdrawn
    return max([least, *(version for version, needs in _RULES.get(op.kind, ()) if needs(op))])


def min_runtime_version(model: Model) -> str:
    """Gives the oldest TensorFlow Lite runtime that knows every builtin op in its version, "" without ops.

    Ops that the table does not list (custom ones too) do not count, as in the source.

    Source: ``tflite/converter/tools/versioning/runtime_version.cc``.
    """
    known = (
        runtime_version(op.kind, op.version or op_version(op)) for graph in model.graphs for op in graph.ops
    )
    return max(filter(None, known), key=_numbers, default="")


def runtime_version(kind: str, version: int) -> str | None:
    """Gives the first runtime with that version of the op, None when the table lacks it.

    Example:
        >>> runtime_version("CONV_2D", 3)
        '1.14.0'
    """
    releases = RUNTIME_VERSIONS.get(kind, "").split()
    if not 1 <= version <= len(releases) or releases[version - 1] == "-":
        return None
    return releases[version - 1]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


# -- conditions ------------------------------------------------------------------------------------


def _dtype(tensors: list[Tensor] | list[Tensor | None], position: int) -> str | None:
    tensor = tensors[position] if position < len(tensors) else None
    return None if tensor is None else tensor.dtype


def _in(position: int, *dtypes: str) -> Condition:
    return lambda op: _dtype(op.inputs, position) in dtypes


def _out(position: int, *dtypes: str) -> Condition:
    return lambda op: _dtype(op.outputs, position) in dtypes


def _either(*dtypes: str) -> Condition:
    return lambda op: _dtype(op.inputs, 0) in dtypes or _dtype(op.outputs, 0) in dtypes


def _both(*dtypes: str) -> Condition:
    return lambda op: _dtype(op.inputs, 0) in dtypes and _dtype(op.outputs, 0) in dtypes


def _option(*names: str) -> Condition:
    return lambda op: any(op.options.get(name) for name in names)


def _all(*conditions: Condition) -> Condition:
    return lambda op: all(condition(op) for condition in conditions)


def _not(condition: Condition) -> Condition:
    return lambda op: not condition(op)


def _quantized(position: int = 0) -> Condition:
    def condition(op: Op) -> bool:
        tensor = op.input(position)
        return tensor is not None and tensor.quantization is not None

    return condition


def _rank(above: int) -> Condition:
    return lambda op: max((len(t.shape) for t in op.inputs if t is not None), default=0) > above


def _broadcast(op: Op) -> bool:
    first, second = op.input(0), op.input(1)
    return first is not None and second is not None and first.shape != second.shape


def _per_channel(position: int, axis: int) -> Condition:
    """As many scales as the weights have channels (one scale for one channel counts, as in the source)."""

    def condition(op: Op) -> bool:
        tensor = op.input(position)
        if tensor is None or tensor.quantization is None or len(tensor.shape) <= axis:
            return False
        return tensor.quantization.scale.size == tensor.shape[axis]

    return condition


def _several_scales(op: Op) -> bool:
    tensors = [op.input(0)] if op.kind == "DEQUANTIZE" else list(op.outputs)
    return any(t is not None and t.quantization is not None and t.quantization.scale.size > 1 for t in tensors)


def _grouped(op: Op) -> bool:
    data, weights = op.input(0), op.input(1)
    if data is None or weights is None or not data.shape:
        return False
    return data.shape[-1] != weights.shape[-1]


def _rescales_up(op: Op) -> bool:
    """The product of the input scales reaches the output scale: the multiplier is not below one."""
    scales = [
        None if t is None or t.quantization is None or not t.is_quantized else float(t.quantization.scale[0])
        for t in (op.input(0), op.input(1), *op.outputs)
    ]
    if len(scales) < 3 or scales[0] is None or scales[1] is None or not scales[2]:
        return False
    return scales[0] * scales[1] / scales[2] >= 1.0


def _dilated(op: Op) -> bool:
    return any(op.options.get(name, 1) != 1 for name in ("dilationWFactor", "dilationHFactor"))


def _ellipsis(op: Op) -> bool:
    return any(op.options.get(name, 0) != 0 for name in ("ellipsisMask", "newAxisMask"))


def _kernel_type(value: int) -> Condition:
    return lambda op: op.options.get("kernelType", 0) == value


def _no_bias(op: Op) -> bool:
    return len(op.inputs) == 2


def _int4_result(op: Op) -> bool:
    return _dtype(op.inputs, 0) == "int4" and _dtype(op.outputs, 0) == "float32"


def _rank_not_4(op: Op) -> bool:
    data = op.input(0)
    return data is not None and len(data.shape) != 4


# -- the table -------------------------------------------------------------------------------------


def _hybrid(weight: int, *dtypes: str) -> Condition:
    return _all(_in(0, "float32"), _in(weight, *(dtypes or ("int8",))), _out(0, "float32"))


_INT8, _INT16, _FLOAT16 = _in(0, "int8"), _in(0, "int16"), _in(0, "float16")
_EIGHT = _in(0, "int8", "uint8")
_BROADCAST_5D: Condition = _all(_broadcast, _rank(4))
_ASYMMETRIC = _option("asymmetricQuantizeInputs")
_INT8_THEN_INT16: Rules = ((2, _INT8), (3, _INT16))
_INT8_ONLY: Rules = ((2, _INT8),)
_QUANTIZED_BIAS: Condition = _all(_INT16, _in(1, "int8"), _option("quantizedBiasType"))
_BATCH_SPACE: Rules = ((4, _INT16), (3, _rank_not_4), (2, _INT8))
_MIN_MAX: Rules = ((4, _both("int16")), (3, _BROADCAST_5D), (2, _INT8))
_PAD: Rules = ((6, _in(0, *_FLOAT8)), (5, _in(0, "bool")), (4, _rank(4)), (3, _INT16), (2, _INT8))
_POOL: Rules = ((3, _both("int16")), (2, _INT8))
_RESIZE: Rules = ((4, _INT16), (3, _option("halfPixelCenters")), (2, _INT8))
_LOOKUP_8_16: Rules = ((2, _in(0, "int8", "int16")),)
_RECURRENT: Rules = (
    (2, _all(_in(1, "int8"), _out(0, "float32"))),
    (3, _all(_in(1, "int8"), _out(0, "float32"), _ASYMMETRIC)),
)

_RULES: Final[dict[str, Rules]] = {
    "CONV_2D": (
        (8, _QUANTIZED_BIAS), (6, _grouped), (3, _both("int8")), (7, _all(_INT8, _in(1, "int4"))),
        (5, _all(_hybrid(1), _per_channel(1, 0))), (2, _hybrid(1)),
        (4, _INT16),  # departure: the source asks for int16 weights too, which no kernel has
        (8, _all(_in(0, "float32", "int16"), _in(1, "int4", "int2"))),  # departure: falls through to 1
    ),
    "DEPTHWISE_CONV_2D": (
        (6, _all(_hybrid(1), _per_channel(1, 3))), (4, _hybrid(1)), (3, _both("int8")),
        (7, _in(1, "int4")), (2, _dilated),
        (5, _INT16),  # departure: as for CONV_2D
    ),
    "EMBEDDING_LOOKUP": (
        (4, _in(1, "int4")), (5, _in(1, "int2")),
        (4, _all(_per_channel(1, 0), _not(_in(1, "float32")))),
        (3, _all(_in(1, "int8"), _out(0, "float32"))),  # departure: falls through to 1
    ),
    "FAKE_QUANT": ((2, _option("narrowRange")),),
    "FULLY_CONNECTED": (
        (14, _in(1, "int2")), (13, _all(_INT16, _in(1, "int4"))), (12, _all(_hybrid(1), _per_channel(1, 0))),
        (11, _QUANTIZED_BIAS), (6, _no_bias), (5, _option("keepNumDims")), (4, _both("int8")),
        (10, _all(_INT8, _in(1, "int4"))), (9, _all(_hybrid(1), _ASYMMETRIC)), (3, _hybrid(1)),
        (8, lambda op: op.inputs[1] is not None and op.inputs[1].sparsity is not None),
        (2, _option("weightsFormat")),
        (7, _INT16),  # departure: the source asks for int16 weights too
        (12, _hybrid(1, "int4")),  # departure: falls through to 1
    ),
    "GATHER": (
        (8, _in(0, *_FLOAT8)), (7, _in(0, "int4")), (6, _in(1, "int16")), (5, _option("batchDims")),
        (4, _INT16), (3, _in(0, "bool")), (2, _INT8),
    ),
    "SVDF": ((3, _INT8), (4, _all(_hybrid(1), _ASYMMETRIC)), (2, _hybrid(1))),
    "SIGN": ((2, _in(0, "int32")),),
    "SIN": ((2, _FLOAT16),),
    "COS": ((2, _FLOAT16),),
    "MUL": (
        (8, _FLOAT16), (7, _all(_INT16, _not(_quantized(0)), _not(_quantized(1)))), (7, _in(0, "uint32")),
        (6, _in(0, "complex64")), (5, _in(0, "int64")), (4, _INT16), (3, _rescales_up), (2, _INT8),
    ),
    "MAX_POOL_2D": _POOL,
    "AVERAGE_POOL_2D": _POOL,
    "TRANSPOSE": (
        (9, _FLOAT16), (8, _in(0, "bfloat16")), (8, _rank(6)), (7, _in(0, "int4")), (6, _rank(5)),
        (5, _INT16), (4, _rank(4)), (3, _in(0, "bool")), (2, _INT8),
    ),
    "TRANSPOSE_CONV": (
        (5, _all(_in(2, "int16"), _option("quantizedBiasType"))),
        (4, _option("fusedActivationFunction")), (3, lambda op: op.input(3) is not None),
        (2, _in(1, "int8")),
        (3, _in(2, "int16")),  # departure: the source looks at the shape's dtype
    ),
    "LSTM": (
        (4, _all(_kernel_type(0), _hybrid(2), _ASYMMETRIC)), (3, _all(_kernel_type(0), _hybrid(2))),
        (2, _kernel_type(1)),
    ),
    "SPLIT": ((5, _in(1, *_FLOAT8)), (4, _in(1, "int16")), (3, _in(1, "int32")), (2, _in(1, "int8"))),
    "SPARSE_TO_DENSE": ((3, _in(2, "int8", "uint8")), (2, _in(2, "int64"))),
    "SLICE": (
        (8, _FLOAT16), (7, _in(0, "int4")), (6, _in(0, "uint32")), (5, _rank(4)), (4, _INT16),
        (3, _in(0, "string")), (2, _INT8),
    ),
    "UNPACK": (
        (6, _in(0, *_FLOAT8)), (5, _in(0, "float16", "bfloat16")), (4, _both("int16")), (3, _in(0, "bool")),
        (2, _EIGHT),
    ),
    "DEQUANTIZE": (
        (9, _in(0, *_FLOAT8)), (8, _in(0, "uint4")), (7, _in(0, "int2")), (6, _in(0, "int4")),
        (3, _in(0, "int16", "float16")), (5, _all(_INT8, _several_scales)), (2, _INT8),
    ),
    "QUANTIZE": ((5, _either("uint4")), (4, _either("int4")), (3, _several_scales), (2, _out(0, "int16"))),
    "FLOOR_DIV": ((3, _in(0, "int16", "int8")), (2, _in(0, "float32"))),
    "FLOOR_MOD": _LOOKUP_8_16,
    "L2_NORMALIZATION": ((2, _out(0, "int8")),),
    "ABS": ((5, _in(0, "int32")), (3, _all(_INT16, _quantized())), (4, _all(_INT16, _not(_quantized()))), (2, _EIGHT)),
    "RELU": ((3, _INT16), (2, _EIGHT)),
    "STRIDED_SLICE": (
        (8, _option("offset")), (7, _in(0, "uint32")), (6, _ellipsis), (5, _in(0, "string")), (4, _rank(4)),
        (3, _in(0, "bool")), (2, _INT8),
    ),
    "REVERSE_V2": ((4, _in(0, *_FLOAT8)), (3, _INT8), (2, _in(0, "bool"))),
    "RESIZE_BILINEAR": _RESIZE,
    "RESIZE_NEAREST_NEIGHBOR": (*_RESIZE, (3, _option("alignCorners"))),
    "MAXIMUM": _MIN_MAX,
    "MINIMUM": _MIN_MAX,
    "PACK": ((5, _in(0, *_FLOAT8)), (4, _in(0, "uint32")), (3, _both("int16")), (2, _INT8)),
    "TILE": ((3, _INT8), (2, _in(0, "string"))),
    "SQUEEZE": ((2, _in(0, "string")),),
    "SPACE_TO_BATCH_ND": _BATCH_SPACE,
    "BATCH_TO_SPACE_ND": _BATCH_SPACE,
    "ADD": (
        (6, _FLOAT16), (5, _all(_INT16, _not(_quantized()))), (4, _in(0, "int64")),
        (3, _all(_both("int16"), _not(_option("potScaleInt16")))), (2, _INT8),
    ),
    "SUB": (
        (5, _all(_both("int16"), _not(_option("potScaleInt16")))), (4, _in(0, "int64")), (3, _BROADCAST_5D),
        (2, _INT8),
    ),
    "GATHER_ND": (
        (6, _in(0, *_FLOAT8)), (5, _in(0, "bool")), (4, _in(1, "int16")), (3, _INT16), (2, _in(0, "string")),
    ),
    "DIV": ((2, _BROADCAST_5D),),
    "TANH": ((3, _both("int16")), (2, _INT8)),
    "LOGISTIC": ((3, _both("int16")), (2, _INT8)),
    "FILL": (
        (5, _in(1, *_FLOAT8)), (4, _in(1, "float16")), (3, _in(1, "int8", "int16")),
        (2, _in(1, "bool", "string")),
    ),
    "EQUAL": ((5, _INT16), (3, _in(0, "string")), (2, _INT8)),
    "NOT_EQUAL": ((4, _INT16), (3, _in(0, "string")), (2, _INT8)),
    "LEAKY_RELU": ((2, _INT16),),
    "RANGE": ((2, _in(0, "int64")),),
    "BATCH_MATMUL": ((3, _INT16), (2, _INT8), (4, _all(_hybrid(1), _ASYMMETRIC))),
    "PAD": _PAD,
    "PADV2": _PAD,
    "CONCATENATION": (
        (7, _in(0, *_FLOAT8)), (6, _FLOAT16), (5, _in(0, "int4")), (4, _in(0, "uint32")), *_INT8_THEN_INT16,
    ),
    "SOFTMAX": ((4, _FLOAT16), *_INT8_THEN_INT16),
    "MEAN": _INT8_THEN_INT16,
    "MIRROR_PAD": _INT8_THEN_INT16,
    "REDUCE_MAX": _INT8_THEN_INT16,
    "REDUCE_MIN": _INT8_THEN_INT16,
    "RELU6": _INT8_THEN_INT16,
    "RSQRT": _INT8_THEN_INT16,
    "RNN": _RECURRENT,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _RECURRENT,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        (4, _option("diagonalRecurrentTensors")), (3, _all(_hybrid(2), _ASYMMETRIC)), (2, _hybrid(2)),
    ),
    "ARG_MAX": ((3, _in(0, "bool")), (2, _INT8)),
    "ARG_MIN": ((3, _in(0, "bool")), (2, _INT8)),
    "SELECT": (
        (4, _in(1, "uint32")), (3, _rank(4)),
        (2, _in(1, "int8")),  # departure: the source looks at the condition's dtype
    ),
    "LESS": _INT8_THEN_INT16,
    "GREATER_EQUAL": _INT8_THEN_INT16,
    "SELECT_V2": ((2, _in(1, "uint32")),),
    "SPLIT_V": ((3, _in(0, *_FLOAT8)), (2, _INT8)),
    "SPACE_TO_DEPTH": _INT8_ONLY,
    "SUM": _INT8_ONLY,
    "LOG_SOFTMAX": _INT8_ONLY,
    "GREATER": _INT8_ONLY,
    "LESS_EQUAL": _INT8_ONLY,
    "SQUARED_DIFFERENCE": _INT8_ONLY,
    "DEPTH_TO_SPACE": _INT8_ONLY,
    "TOPK_V2": ((3, _INT16), (3, _in(1, "int16")), (3, _out(1, "int16")), (2, _INT8)),
    "EXP": _LOOKUP_8_16,
    "LOG": _LOOKUP_8_16,
    "REDUCE_PROD": _LOOKUP_8_16,
    "SQRT": _LOOKUP_8_16,
    "DYNAMIC_UPDATE_SLICE": (
        (6, _in(0, "bfloat16")), (5, _in(0, "int4")), (4, _INT16), (3, _FLOAT16), (2, _in(2, "int64")),
    ),
    "BROADCAST_TO": ((4, _in(0, *_FLOAT8)), (3, _in(0, "int8", "int16"))),
    "CAST": (
        (9, _either(*_FLOAT8)), (8, _either("int2", "uint4")), (7, _either("bfloat16")), (6, _int4_result),
        (5, _either("float64", "float16")), (4, _either("uint16")), (3, _either("int8")),
        (2, _either("uint32")),
    ),
    "WHERE": ((2, _not(_in(0, "bool"))),),
    "GELU": (
        (3, _FLOAT16), (2, _EIGHT),
        (3, _INT16),  # departure: falls through to 1, whose kernels are float and 8-bit
    ),
}  # fmt: skip
