"""1×1 convolutions of stride 1 as FULLY_CONNECTED, which computes the same."""

from __future__ import annotations

from tightfit.graph.ir import Graph, Op, Tensor


def is_pointwise(op: Op) -> bool:
    """Return True for a CONV_2D of 1×1 with stride 1, without groups, with constant weights."""
    data, weight = op.input(0), op.input(1)
    if op.kind != "CONV_2D" or data is None or weight is None or weight.data is None:
        return False
    stride = op.options.get("strideH", 1), op.options.get("strideW", 1)
    return len(weight.shape) == 4 and weight.shape[1:] == (1, 1, data.shape[-1]) and stride == (1, 1)


def to_dense(graph: Graph, op: Op) -> None:
    """Turn a convolution of ``is_pointwise`` into a FULLY_CONNECTED that keeps the dimensions; exact.

    Example:
        >>> import numpy as np
        >>> x, w, y = Tensor("x", (1, 2, 2, 3)), Tensor("w", (8, 1, 1, 3)), Tensor("y", (1, 2, 2, 8))
        >>> w.data = np.ones(w.shape, np.float32)
        >>> graph = Graph()
        >>> op = graph.append(Op("CONV_2D", [x, w, None], [y]))
        >>> to_dense(graph, op)
        >>> op.kind, op.inputs[1].shape
        ('FULLY_CONNECTED', (8, 3))
    """
    weight = op.operand(1)
    shape = (weight.shape[0], weight.shape[3])
    flat = Tensor(weight.name, shape, weight.dtype, weight.values.reshape(shape), weight.quantization)
    graph.set_input(op, 1, flat)
    options = {"fusedActivationFunction": op.options.get("fusedActivationFunction", 0), "keepNumDims": True}
    if flat.dtype != "float32" and op.outputs[0].dtype == "float32":
        options["asymmetricQuantizeInputs"] = True
    op.kind, op.version = "FULLY_CONNECTED", 0
    op.options, op.options_type = options, "FullyConnectedOptions"
