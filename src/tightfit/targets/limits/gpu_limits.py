"""Limits of LiteRT's GPU accelerator on what it takes: versions, types, ranks, which operands are computed.

Source of all: ``ml_drift_delegate/tflite/model_builder.cc``, ``operation_parser.cc`` and
``tflite/tools/versioning/gpu_compatibility.cc`` of LiteRT, held against the accelerator of LiteRT 2.3 by
``bench/accelerators.py``. A constant is a tensor of the file, or one that is unpacked from float16.
"""

from __future__ import annotations

from collections.abc import Sequence

from tightfit.graph.ir import Op, Tensor
from tightfit.graph.versions.op_version import op_version
from tightfit.targets.limits.operand_roles import option, shape4
from tightfit.targets.limits.tensor_limits import listed
from tightfit.targets.partition import is_unpacking


def is_fixed(tensor: Tensor | None) -> bool:
    """Return True for a constant of the file and for one that is unpacked from float16."""
    if tensor is None:
        return False
    return tensor.is_constant or (tensor.producer is not None and is_unpacking(tensor.producer))


def computed(op: Op) -> list[Tensor]:
    """Return the inputs that are computed at run time."""
    return [t for t in op.inputs if t is not None and not is_fixed(t)]


def version_at_most(op: Op, *, most: int) -> str | None:
    """The version of the op is at most {most}.

    Fix: a later version means types or options that the accelerator does not know; use another scheme.
    """
    version = op.version or op_version(op)
    return None if version <= most else f"it is version {version}"


def every_rank(op: Op, *, most: int) -> str | None:
    """Tensors, constants included, have at most {most} dimensions.

    Fix: reshape before and after the op.
    """
    return listed(t for t in (*op.inputs, *op.outputs) if t is not None and len(t.shape) > most)


def input_types(op: Op, *, types: Sequence[str]) -> str | None:
    """Computed inputs are {types}.

    Fix: quantize with another scheme, or cast before the op.
    """
    return listed(t for t in computed(op) if t.dtype not in types)


def output_types(op: Op, *, types: Sequence[str]) -> str | None:
    """Outputs are {types}.

    Fix: quantize with another scheme, or give the output another type.
    """
    return listed(t for t in op.outputs if t.dtype not in types)


def computed_inputs(op: Op, *, least: int, most: int) -> str | None:
    """From {least} to {most} inputs are computed at run time.

    Fix: make the others constants of the file.
    """
    count = len(computed(op))
    return None if least <= count <= most else f"{count} are"


def computed_input(op: Op, *, position: int) -> str | None:
    """Input {position} is computed at run time.

    Fix: fold the op to a constant; 'tightfit convert' does.
    """
    tensor = op.input(position)
    return f"'{tensor.name}' is a constant" if tensor is not None and is_fixed(tensor) else None


def no_computed_scalar(op: Op) -> str | None:
    """A computed scalar meets no tensor of another rank.

    Fix: give the scalar the shape [1].
    """
    if len(computed(op)) < 2:
        return None
    ranks = {len(t.shape) for t in computed(op)}
    return "one input has no dimensions" if 0 in ranks and len(ranks) > 1 else None


def different_inputs(op: Op) -> str | None:
    """The two inputs are different tensors.

    Fix: use another op, for example SQUARE instead of a product.
    """
    return "they are the same" if len(op.inputs) == 2 and op.inputs[0] is op.inputs[1] else None


def slope_shape(op: Op) -> str | None:
    """The slope is a constant with one value a channel, or one for each value of an image of batch 1.

    Fix: repeat the slope for every channel.
    """
    slope, source = op.input(1), op.input(0)
    if slope is None or source is None or not is_fixed(slope):
        return "it is computed"
    _, h, w, c = bhwc(source)
    *leading, last = slope.shape or (0,)
    if all(d == 1 for d in leading):
        return None if last == c else f"it has {last} values for {c} channels"
    whole = slope.shape[-3:] if len(slope.shape) == 4 and slope.shape[0] == 1 else slope.shape
    return None if tuple(whole) == (h, w, c) else f"its shape is {list(slope.shape)}"


def bhwc(tensor: Tensor) -> tuple[int, int, int, int]:
    """Return a shape as the accelerator reads it: batch first, channels last, a width in between.

    Example:
        >>> bhwc(Tensor("x", (4, 6))), bhwc(Tensor("x", (5,)))
        ((4, 1, 1, 6), (5, 1, 1, 1))
    """
    shape = tensor.shape
    if len(shape) <= 1:
        return (shape[0] if shape else 1, 1, 1, 1)
    if len(shape) == 2:
        return (shape[0], 1, 1, shape[1])
    if len(shape) == 3:
        return (shape[0], 1, shape[1], shape[2])
    return shape4(tensor)


def reflecting(op: Op) -> str | None:
    """The padding reflects without repeating the border.

    Fix: pad with REFLECT instead of SYMMETRIC, or with a constant.
    """
    return "it is symmetric" if option(op, "mode") else None


def forward_steps(op: Op) -> str | None:
    """Steps are positive.

    Fix: reverse with REVERSE_V2 and slice forward.
    """
    steps = op.input(3)
    if steps is None or steps.data is None:
        return None
    found = [int(v) for v in steps.data.reshape(-1)]
    return f"they are {found}" if any(v <= 0 for v in found) else None


def gathered_list(op: Op) -> str | None:
    """Indices are a list (one dimension) of int32, and not both table and indices are constants.

    Fix: reshape the indices; --fix writes a GATHER with constant indices as slices.
    """
    table, indices = op.input(0), op.input(1)
    if table is None or indices is None:
        return None
    if len(indices.shape) != 1 or indices.dtype != "int32":
        return listed([indices])
    return "both are constants" if is_fixed(table) and is_fixed(indices) else None


def chosen_values(op: Op) -> str | None:
    """Both values have the output's shape or are one value.

    Fix: broadcast them before.
    """
    output = op.outputs[0]
    for tensor in (op.input(1), op.input(2)):
        if tensor is None:
            continue
        one = len(tensor.shape) <= 1 and tensor.size <= 1
        if tensor.shape != output.shape and not one:
            return listed([tensor])
    return None


def one_dequantization_scale(op: Op) -> str | None:
    """The input has one scale.

    Fix: use the scheme float16, dynamic or int8 for the GPU.
    """
    source = op.input(0)
    if source is None or source.quantization is None:
        return None
    count = source.quantization.scale.size
    return f"it has {count}" if count > 1 else None


def unpacked_matrix(op: Op) -> str | None:
    """The operand of a matrix product that is unpacked from integers is no stack of matrices.

    Fix: use the scheme float16 or int8 for the GPU.
    """
    for tensor in op.inputs:
        source = None if tensor is None else tensor.producer
        if tensor is None or source is None or source.kind != "DEQUANTIZE" or is_unpacking(source):
            continue
        packed = source.input(0)
        if packed is not None and packed.is_constant and len(tensor.shape) == 3 and tensor.shape[0] > 1:
            return listed([tensor])
    return None


def int16_constant(op: Op, *, most: int) -> str | None:
    """A quantized int16 constant has at most {most} values.

    Fix: quantize with int8.
    """
    fixed = (t for t in op.inputs if is_fixed(t) and t is not None)
    return listed(t for t in fixed if t.dtype == "int16" and t.is_quantized and t.size > most)


def top_count(op: Op, *, least: int) -> str | None:
    """The largest values are looked for among at least {least}.

    Fix: --fix pads the values with low ones.
    """
    source = op.input(0)
    if source is None or not source.shape:
        return None
    return listed([source]) if source.shape[-1] < least else None


def kept_rank(op: Op) -> str | None:
    """A dense layer that keeps its dimensions has as many in as out.

    Fix: reshape before and after the layer.
    """
    source, target = op.input(0), op.outputs[0]
    if source is None or not option(op, "keepNumDims"):
        return None
    wrong = len(source.shape) != len(target.shape)
    return f"{len(source.shape)} in, {len(target.shape)} out" if wrong else None


def fixed_sizes(op: Op, *, positions: Sequence[int]) -> str | None:
    """Every tensor has a fixed size: inputs {positions} are known before the run.

    Fix: convert with fixed input shapes, so that shapes fold to constants.
    """
    for position in positions:
        tensor = op.input(position)
        if tensor is not None and not _is_known(tensor):
            return f"'{tensor.name}' is computed at run time"
    return None


def _is_known(tensor: Tensor) -> bool:
    """True for a constant (the file has none that is empty), and for the SHAPE or RANK of a tensor."""
    if tensor.is_constant:
        return tensor.size > 0
    return tensor.producer is not None and tensor.producer.kind in ("SHAPE", "RANK")


def no_variables(op: Op) -> str | None:
    """No tensor is a variable.

    Fix: unroll the recurrent layer, or pass its state as input and output.
    """
    return listed(t for t in op.inputs if t is not None and t.is_variable)


def computed_bias(op: Op) -> str | None:
    """The bias is a constant.

    Fix: add the computed values with an ADD after the layer.
    """
    bias = op.input(3 if op.kind == "TRANSPOSE_CONV" else 2)
    return None if bias is None or is_fixed(bias) else f"'{bias.name}' is computed"
