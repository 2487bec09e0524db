"""Limits on the tensors of an op: types, shapes, quantization, constants.

A limit is a function of an op that gives what is wrong with it, or None. The first paragraph of its
docstring is the rule as users and the documentation read it (``{name}`` stands for a number of the
profile), the paragraph ``Fix:`` what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.limits.operand_roles import data, data_inputs, data_tensors, parameters
from tightfit.units import short_name


def feature_map_types(op: Op, *, types: Sequence[str]) -> str | None:
    """Feature maps are {types}.

    Fix: quantize the model for this target; an op that its scheme keeps in float stays on the CPU.
    """
    return listed(t for t in data_tensors(op) if t.dtype not in types)


def data_type(op: Op, *, types: Sequence[str]) -> str | None:
    """The first input is {types}.

    Fix: quantize with a scheme that gives the input this type.
    """
    tensor = data(op)
    return None if tensor.dtype in types else f"'{tensor.name}' is {tensor.dtype}"


def same_types(op: Op) -> str | None:
    """Input and output have the same type.

    Fix: put a QUANTIZE before the op instead of converting inside of it.
    """
    kinds = [data(op).dtype, op.outputs[0].dtype]
    return None if kinds[0] == kinds[1] else f"the input is {kinds[0]}, the output {kinds[1]}"


def same_input_types(op: Op) -> str | None:
    """Both inputs have the same type.

    Fix: put a QUANTIZE before one of them.
    """
    kinds = {t.dtype for t in data_inputs(op)[:2]}
    return None if len(kinds) == 1 else f"the inputs are {' and '.join(sorted(kinds))}"


def static_shapes(op: Op) -> str | None:
    """Shapes are fixed; only the batch may be dynamic, and is taken for 1.

    Fix: convert the model with fixed input shapes.
    """
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None and t.shape_signature is not None]
    return listed(t for t in tensors if any(d < 0 for d in (t.shape_signature or ())[1:]))


def known_rank(op: Op) -> str | None:
    """No tensor is a scalar that is computed at run time.

    Fix: give the scalar the shape [1].
    """
    return listed(t for t in (*op.inputs, *op.outputs) if t is not None and not t.shape and not t.is_constant)


def rank(op: Op, *, least: int = 0, most: int = 8) -> str | None:
    """Feature maps have {least} to {most} dimensions.

    Fix: reshape before and after the op.
    """
    return listed(t for t in data_tensors(op) if not least <= len(t.shape) <= most)


def three_dimensions(op: Op) -> str | None:
    """Only the three innermost dimensions of a feature map are larger than 1.

    Fix: use batch 1; reshape leading dimensions into the height.
    """
    return listed(t for t in data_tensors(op) if any(d > 1 for d in t.shape[:-3]))


def constant_parameters(op: Op) -> str | None:
    """Shapes, axes, paddings and permutations are constants.

    Fix: convert with fixed shapes, so that they fold to constants.
    """
    return listed(t for t in parameters(op) if not t.is_constant)


def parameter_types(op: Op, *, types: Sequence[str]) -> str | None:
    """The parameter tensor is {types}.

    Fix: convert again with a current converter.
    """
    return listed(t for t in parameters(op)[:1] if t.dtype not in types)


def batch_one(op: Op) -> str | None:
    """The batch is 1.

    Fix: convert with batch 1; --fix folds the batch of a MEAN into its height.
    """
    return listed(t for t in data_inputs(op)[:1] if len(t.shape) >= 4 and t.shape[-4] > 1)


def no_bool_interface(op: Op) -> str | None:
    """No input and no output of the model is bool.

    Fix: end the model before the comparison, and compare in the application.
    """
    graph = op.graph
    ends = set() if graph is None else {*graph.inputs, *graph.outputs}
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None and t in ends]
    return listed(t for t in tensors if t.dtype == "bool" and t.shape)


def listed(tensors: Iterable[Tensor]) -> str | None:
    """What is wrong, in words: the tensors with type and shape."""
    found = list(tensors)
    if not found:
        return None
    words = [f"'{short_name(t.name)}' is {t.dtype}{list(t.shape)}" for t in found[:2]]
    return ", ".join(words) + (f" and {len(found) - 2} more" if len(found) > 2 else "")
