"""What LiteRT's GPU accelerator takes and computes wrongly; found and held by ``bench/accelerators.py``.

It reads every tensor as batch, height, width, channels: the first dimension of one with fewer than four is
the batch, the last the channels. Most faults come from operands whose batches differ under that reading.
"""

from __future__ import annotations

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.limits.gpu_limits import computed, is_fixed
from tightfit.targets.limits.operand_roles import axes, option, shape4, values, weights
from tightfit.targets.limits.tensor_limits import listed

_SMALL_GROUP = 4


def strided_dense_filter(op: Op) -> str | None:
    """A 1×1 convolution with int8 or int4 weights moves by 1.

    Fix: --fix slices the input before the convolution.
    """
    filters = weights(op)
    if filters is None or filters.dtype not in ("int8", "int4") or filters.shape[1:3] != (1, 1):
        return None
    steps = (int(option(op, "strideH", 1)), int(option(op, "strideW", 1)))
    return None if max(steps) == 1 else f"it moves by {steps[0]} and {steps[1]}"


def no_int16(op: Op) -> str | None:
    """No computed tensor is quantized int16.

    Fix: quantize with int8.
    """
    return listed(t for t in (*computed(op), *op.outputs) if t.dtype == "int16" and t.is_quantized)


def dense_bias(op: Op) -> str | None:
    """A dense layer with computed weights has no bias.

    Fix: --fix adds the bias with an ADD.
    """
    kernel, bias = op.input(1), op.input(2)
    if kernel is None or bias is None or is_fixed(kernel):
        return None
    return f"'{kernel.name}' is computed, and '{bias.name}' is not added"


def dense_depth(op: Op) -> str | None:
    """A dense layer reads the last dimension alone.

    Fix: --fix reshapes its input to two dimensions.
    """
    source, kernel = op.input(0), op.input(1)
    if source is None or kernel is None or len(source.shape) < 2 or source.shape[-1] == kernel.shape[-1]:
        return None
    return f"it reads {kernel.shape[-1]} values of {list(source.shape)}"


def dense_rows(op: Op) -> str | None:
    """A dense layer of integers that drops dimensions reads two dimensions.

    Fix: --fix reshapes its input to two dimensions.
    """
    source = op.input(0)
    if source is None or not source.is_quantized or option(op, "keepNumDims", default=False):
        return None
    return listed([source]) if len(source.shape) > 2 else None


def dense_rank(op: Op) -> str | None:
    """The input of a dense layer has two dimensions or more.

    Fix: --fix reshapes it to [1, n].
    """
    source = op.input(0)
    return listed([source]) if source is not None and len(source.shape) < 2 else None


def constant_batch(op: Op) -> str | None:
    """A constant operand does not vary along the batch, save with four dimensions in both.

    An int32 constant may, and has as many dimensions as the other operand.

    Fix: --fix reshapes both operands to four dimensions.
    """
    fixed, other = _constant_pair(op)
    if fixed is None or other is None or fixed.size <= 1:
        return None
    rank = max(len(fixed.shape), len(other.shape))
    if fixed.dtype == "int32":
        return listed([fixed]) if len(fixed.shape) < rank else None
    if len(fixed.shape) < rank or fixed.shape[0] <= 1:
        return None
    if rank < 4 or (len(other.shape) < 4 or other.shape[0] != fixed.shape[0]):
        return listed([fixed])
    return None


def _constant_pair(op: Op) -> tuple[Tensor | None, Tensor | None]:
    """The constant and the computed operand of an op of two, or (None, None)."""
    a, b = op.input(0), op.input(1)
    if a is None or b is None or is_fixed(a) == is_fixed(b):
        return None, None
    return (a, b) if is_fixed(a) else (b, a)


def same_ranks(op: Op) -> str | None:
    """Two computed integer operands have as many dimensions.

    Fix: --fix reshapes the one with fewer.
    """
    a, b = op.input(0), op.input(1)
    if a is None or b is None or is_fixed(a) or is_fixed(b) or not (a.is_quantized and b.is_quantized):
        return None
    return listed([a, b]) if len(a.shape) != len(b.shape) else None


def matching_batches(op: Op) -> str | None:
    """The operands of a matrix product have the same leading dimensions.

    Fix: --fix repeats the smaller operand with TILE.
    """
    a, b = op.input(0), op.input(1)
    if a is None or b is None:
        return None
    if is_fixed(b) and len(b.shape) == 2:
        turned = bool(option(op, "adjY", default=False))
        return f"the constant '{b.name}' is transposed" if turned else None
    one, two = (tuple(shape4(t)[:2]) for t in (a, b))
    if len(a.shape) < 4 and len(b.shape) < 4:
        one, two = (t.shape[:-2] for t in (a, b))
    return None if one == two else listed([a, b])


def softmax_rank(op: Op) -> str | None:
    """The input of SOFTMAX has two dimensions or more.

    Fix: --fix reshapes it to [1, n].
    """
    return dense_rank(op)


def padded_batch(op: Op) -> str | None:
    """A tensor of three dimensions that is padded has batch 1, and a batch of 1 is not padded.

    Fix: --fix pads it with four dimensions.
    """
    source, amounts = op.input(0), values(op, 1)
    if source is None or not source.shape:
        return None
    longer = amounts is not None and any(amounts[:2])
    flat = len(source.shape) == 3 and (source.shape[0] > 1 or longer)
    return listed([source]) if flat or (longer and source.shape[0] == 1) else None


def plain_sum(op: Op) -> str | None:
    """A running sum is inclusive, runs forward, and not along the first of fewer than four dimensions.

    Fix: --fix reverses, shifts or reshapes around it.
    """
    found = [word for word in ("exclusive", "reverse") if option(op, word, default=False)]
    source = op.input(0)
    if source is not None and len(source.shape) < 4 and axes(op) == [0]:
        found.append("along the first dimension")
    return f"it is {' and '.join(found)}" if found else None


def transposed_padding(op: Op) -> str | None:
    """The output of a transposed convolution has the size that the accelerator takes for its padding.

    Fix: --fix computes the whole output and cuts it.
    """
    size, filters, source = values(op, 0), op.input(1), op.input(2)
    if size is None or filters is None or source is None or len(size) != 4 or option(op, "padding") != 0:
        return None
    for axis, step in ((1, "strideH"), (2, "strideW")):
        stride, kernel, length = int(option(op, step, 1)), filters.shape[axis], source.shape[axis]
        own = max(0, kernel - (length - 1) % stride - 1)
        needed = max(0, (length - 1) * stride + kernel - size[axis])
        if own // 2 != needed // 2:  # what is cut at the start
            return f"{size[axis]} from {length} with kernel {kernel} and stride {stride}"
    return None


def group_depth(op: Op) -> str | None:
    """A grouped convolution has four input channels a group or more.

    Fix: --fix splits it into one convolution a group.
    """
    filters, source = weights(op), op.input(0)
    if filters is None or source is None or filters.shape[-1] == source.shape[-1]:
        return None
    depth = filters.shape[-1]
    as_depthwise = depth == 1 and filters.shape[0] == source.shape[-1]
    return f"it has {depth}" if depth < _SMALL_GROUP and not as_depthwise else None


def fixed_groups(op: Op) -> str | None:
    """The filters of a grouped convolution are constants of the file, or unpacked from float16.

    Fix: use the scheme float16 or int8 for the GPU.
    """
    filters, source = op.input(1), op.input(0)
    if filters is None or source is None or filters.shape[-1] == source.shape[-1] or is_fixed(filters):
        return None
    return f"'{filters.name}' is computed"


def largest_of_channels(op: Op) -> str | None:
    """The largest value is not looked for along channels whose number is no multiple of 4, nor among bools.

    Four channels are stored together, the rest of the last four as zeros, which win over negative values.

    Fix: --fix looks for it along the width.
    """
    source, along = op.input(0), axes(op)
    if source is not None and source.dtype == "bool":
        return listed([source])
    if source is None or len(source.shape) < 2 or along != [len(source.shape) - 1]:
        return None
    return listed([source]) if source.shape[-1] % 4 and source.dtype != "uint8" else None


def reversed_channels(op: Op) -> str | None:
    """Channels are reversed only where there are at most 4, or a multiple of 4.

    Fix: --fix reverses the width.
    """
    source = op.input(0)
    if source is None or len(source.shape) < 2 or len(source.shape) - 1 not in axes(op):
        return None
    return listed([source]) if source.shape[-1] > _SMALL_GROUP and source.shape[-1] % 4 else None


def top_of_channels(op: Op) -> str | None:
    """The largest values are looked for among a multiple of 4.

    Fix: --fix pads the values to a multiple of 4 with low ones.
    """
    source = op.input(0)
    if source is None or not source.shape:
        return None
    return listed([source]) if source.shape[-1] % 4 else None


def real_table(op: Op) -> str | None:
    """The table of an embedding is not quantized.

    Fix: --fix writes it as GATHER.
    """
    table = op.input(1)
    return listed([table]) if table is not None and table.is_quantized else None


def real_output(op: Op) -> str | None:
    """The output is not quantized.

    Fix: --fix computes reals and quantizes them after the op.
    """
    return listed(t for t in op.outputs if t.is_quantized)


def index_rank(op: Op) -> str | None:
    """The indices have at most two dimensions.

    Fix: reshape them before the op and its output after it.
    """
    source = op.input(0)
    return listed([source]) if source is not None and len(source.shape) > 2 else None


def updated_rank(op: Op) -> str | None:
    """A tensor that is updated at a computed place has four dimensions.

    Fix: reshape it to four dimensions.
    """
    source = op.input(0)
    return listed([source]) if source is not None and len(source.shape) < 4 else None


def one_image(op: Op) -> str | None:
    """The batch is 1.

    Fix: --fix writes the op as RESHAPE and TRANSPOSE.
    """
    source = op.input(0)
    return listed([source]) if source is not None and source.shape[:1] > (1,) else None


def no_fused_tanh(op: Op) -> str | None:
    """No TANH is fused: the GPU applies it, LiteRT's CPU kernels do not.

    Fix: write TANH as an op of its own.
    """
    return "TANH is fused" if option(op, "fusedActivationFunction") == 4 else None


def basic_cell(op: Op) -> str | None:
    """The LSTM cell is not the basic one.

    Fix: unroll the cell.
    """
    return "it is basic" if option(op, "kernelType") == 1 else None
