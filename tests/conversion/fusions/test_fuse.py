"""Each fusion fires where its condition holds, refuses where it does not, and LiteRT agrees on the result."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.conversion.fusions.activation_fusions import KNOWN, fuse_scalar_functions
from tightfit.conversion.fusions.fuse import FUSIONS, fuse
from tightfit.conversion.fusions.layout_fusions import (
    centre_normalization,
    fuse_padding,
    keep_reduced_dimensions,
    merge_transposes,
    reduce_before_transpose,
)
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

ACTIVATION = {"RELU6": 3, "RELU": 1}


class Builder:
    """Builds a graph with one input ``x`` op by op; ``wide`` is the float32 shape of the input."""

    def __init__(self, *shape):
        self.graph = Graph()
        self.x = Tensor("x", shape)
        self.graph.inputs = [self.x]

    def op(self, kind, *inputs, shape=None, **options):
        tensors = [self.constant(i) if not isinstance(i, Tensor) else i for i in inputs]
        shape = np.broadcast_shapes(*(t.shape for t in tensors)) if shape is None else shape
        dtype = "bool" if kind in ("LESS", "GREATER") else "float32"
        result = Tensor(f"{kind.lower()}{len(self.graph.ops)}", shape, dtype)
        self.graph.append(Op(kind, tensors, [result], options, _TABLES.get(kind)))
        return result

    def constant(self, value):
        data = np.asarray(value)
        data = data.astype(np.int32 if data.dtype.kind == "i" else np.float32)
        return Tensor(f"constant{id(data)}", data.shape, data.dtype.name, data)

    def model(self, *outputs):
        self.graph.outputs = list(outputs)
        named = {f"y{i}": t for i, t in enumerate(outputs)}
        return Model([self.graph], [Signature("serving_default", {"x": self.x}, named)])


_TABLES = {
    "ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions", "DIV": "DivOptions",
    "CONV_2D": "Conv2DOptions", "MEAN": "ReducerOptions", "MAX_POOL_2D": "Pool2DOptions",
}  # fmt: skip


def kinds(model):
    return [op.kind for op in model.main.ops]


def run(model, x):
    with Session(serialize(model)) as session:
        return list(session.run({"x": x}).values())


def assert_fires(fusion, model, expected):
    """The fusion says so, leaves the expected ops, and LiteRT computes the same to float32 precision."""
    before = copy_model(model)
    assert fusion(model)
    model.validate()
    assert kinds(model) == expected
    x = np.random.default_rng(0).normal(0, 2, model.main.inputs[0].shape).astype(np.float32)
    for old, new in zip(run(before, x), run(model, x), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)


def assert_refuses(fusion, model):
    before = kinds(model)
    assert fusion(model) == []
    assert kinds(model) == before


# -- functions of one number -----------------------------------------------------------------------


def gelu_by_tanh(b):
    cube = b.op("MUL", b.op("MUL", b.x, b.x), b.x)
    inner = b.op("MUL", b.op("ADD", b.x, b.op("MUL", cube, 0.044715)), 0.7978845608)
    return b.op("MUL", b.op("MUL", b.x, 0.5), b.op("ADD", b.op("TANH", inner), 1.0))


def hard_swish(b):
    return b.op("MUL", b.x, b.op("DIV", b.op("ADD", b.x, 3.0, fusedActivationFunction=3), 6.0))


def sigmoid_by_exp(b):
    return b.op("DIV", 1.0, b.op("ADD", b.op("EXP", b.op("NEG", b.x)), 1.0))


def elu_by_select(b):
    low = b.op("SUB", b.op("EXP", b.op("MINIMUM", b.x, 0.0)), 1.0)
    return b.op("SELECT_V2", b.op("GREATER", b.x, 0.0), b.x, low)


def clipped(b):
    return b.op("MINIMUM", b.op("MAXIMUM", b.x, 0.0), 6.0)


@pytest.mark.parametrize(
    ("build", "kind", "options"),
    [
        (gelu_by_tanh, "GELU", {"approximate": True}),
        (hard_swish, "HARD_SWISH", {}),
        (sigmoid_by_exp, "LOGISTIC", {}),
        (elu_by_select, "ELU", {}),
        (clipped, "RELU6", {}),
    ],
)
def test_written_out_functions_become_one_op(build, kind, options):
    b = Builder(2, 8)
    model = b.model(build(b))
    assert_fires(fuse_scalar_functions, model, [kind])
    assert model.main.ops[0].options == options


def test_a_function_in_the_middle_of_a_chain_is_found():
    b = Builder(2, 8)
    twice = b.op("MUL", b.x, 2.0)
    inner = Builder.__new__(Builder)
    inner.graph, inner.x = b.graph, twice
    model = b.model(b.op("ADD", hard_swish(inner), np.ones(8)))
    assert_fires(fuse_scalar_functions, model, ["MUL", "HARD_SWISH", "ADD"])


@pytest.mark.parametrize("offset", [2.99, 3.01])
def test_a_nearly_hard_swish_is_left_alone(offset):
    b = Builder(2, 8)
    gate = b.op("DIV", b.op("ADD", b.x, offset, fusedActivationFunction=3), 6.0)
    assert_refuses(fuse_scalar_functions, b.model(b.op("MUL", b.x, gate)))


def test_a_region_that_others_read_is_left_alone():
    b = Builder(2, 8)
    gate = b.op("DIV", b.op("ADD", b.x, 3.0, fusedActivationFunction=3), 6.0)
    assert_refuses(fuse_scalar_functions, b.model(b.op("MUL", b.x, gate), gate))


def test_a_channel_vector_is_no_number():
    b = Builder(2, 8)
    low = b.op("MAXIMUM", b.x, np.zeros(8))
    assert_refuses(fuse_scalar_functions, b.model(b.op("MINIMUM", low, 6.0)))


def test_the_table_has_no_two_rows_that_agree():
    points = np.linspace(-8, 8, 101)
    values = [row.function(points) for row in KNOWN]
    for i, a in enumerate(values):
        assert all(np.abs(a - b).max() > 1e-4 for b in values[i + 1 :])


# -- padding ---------------------------------------------------------------------------------------


def padded_conv(widths, stride=2, fill=None):
    b = Builder(1, 8, 8, 2)
    table = np.asarray([[0, 0], widths[:2], widths[2:], [0, 0]])
    inputs = [b.x, table] if fill is None else [b.x, table, fill]
    size = 8 + sum(widths[:2]), 8 + sum(widths[2:])
    padded = b.op("PAD" if fill is None else "PADV2", *inputs, shape=(1, *size, 2))
    weights = np.random.default_rng(1).normal(0, 1, (3, 3, 3, 2))
    shape = (1, *((s - 3) // stride + 1 for s in size), 3)
    return b.model(
        b.op(
            "CONV_2D", padded, weights, np.zeros(3), shape=shape, padding=1, strideH=stride, strideW=stride,
            dilationHFactor=1, dilationWFactor=1,
        )
    )  # fmt: skip


def test_padding_that_same_adds_goes_into_the_convolution():
    model = padded_conv([0, 1, 0, 1])
    assert_fires(fuse_padding, model, ["CONV_2D"])
    assert model.main.ops[0].options["padding"] == 0


@pytest.mark.parametrize(
    "model", [padded_conv([1, 1, 1, 1]), padded_conv([1, 0, 1, 0]), padded_conv([0, 1, 0, 1], fill=1.0)]
)
def test_other_padding_stays(model):
    assert_refuses(fuse_padding, model)


@pytest.mark.parametrize(("fill", "fires"), [(np.finfo(np.float32).min, True), (0.0, False)])
def test_padding_of_a_maximum_goes_only_with_the_lowest_float(fill, fires):
    b = Builder(1, 8, 8, 2)
    padded = b.op("PADV2", b.x, np.asarray([[0, 0], [0, 1], [0, 1], [0, 0]]), fill, shape=(1, 9, 9, 2))
    pool = {"padding": 1, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}
    model = b.model(b.op("MAX_POOL_2D", padded, shape=(1, 4, 4, 2), **pool))
    if fires:
        assert_fires(fuse_padding, model, ["MAX_POOL_2D"])
    else:
        assert_refuses(fuse_padding, model)


# -- order of dimensions ---------------------------------------------------------------------------


def reduced(order, axes, shape):
    b = Builder(1, 3, 4, 5)
    moved = b.op("TRANSPOSE", b.x, np.asarray(order), shape=tuple((1, 3, 4, 5)[i] for i in order))
    return b.model(b.op("MEAN", moved, np.asarray(axes), shape=shape))


def test_a_mean_over_height_and_width_needs_no_transpose():
    model = reduced([0, 3, 1, 2], [2, 3], (1, 5))
    assert_fires(fuse, model, ["MEAN"])


def test_a_mean_that_keeps_a_changed_order_keeps_its_transpose():
    assert_refuses(reduce_before_transpose, reduced([0, 3, 1, 2], [3], (1, 5, 3)))


def test_two_transposes_that_undo_each_other_go():
    b = Builder(1, 3, 4, 5)
    moved = b.op("TRANSPOSE", b.op("RELU", b.x), np.asarray([0, 2, 3, 1]), shape=(1, 4, 5, 3))
    back = b.op("TRANSPOSE", moved, np.asarray([0, 3, 1, 2]), shape=(1, 3, 4, 5))
    assert_fires(fuse, b.model(b.op("NEG", back)), ["RELU", "NEG"])


def test_a_single_transpose_stays():
    b = Builder(1, 3, 4, 5)
    model = b.model(b.op("TRANSPOSE", b.x, np.asarray([0, 2, 3, 1]), shape=(1, 4, 5, 3)))
    assert_refuses(merge_transposes, model)


# -- normalization ---------------------------------------------------------------------------------


def normalization(b, *, keep=False, beta=True):
    """Layer normalization as Keras writes it on JAX."""
    mean = b.op("MEAN", b.x, np.asarray([1]), shape=(4, 1), keepDims=True)
    centred = b.op("SUB", b.x, mean)
    square = b.op("MUL", centred, centred)
    variance = b.op("ADD", b.op("MEAN", square, np.asarray([1]), shape=(4,)), 0.001)
    scale = b.op(
        "MUL", b.op("RSQRT", b.op("RESHAPE", variance, np.asarray([4, 1]), shape=(4, 1))), np.full(6, 2.0)
    )
    shifted = b.op("MUL", b.op("NEG", mean), scale)
    shifted = b.op("ADD", shifted, np.ones(6)) if beta else shifted
    result = b.op("ADD", b.op("MUL", b.x, scale), shifted)
    return b.model(result, shifted) if keep else b.model(result)


@pytest.mark.parametrize("beta", [True, False])
def test_layer_normalization_is_centred_first(beta):
    tail = ["MUL", "MUL", "ADD"] if beta else ["MUL", "MUL"]
    expected = ["MEAN", "SUB", "MUL", "MEAN", "ADD", "RSQRT", *tail]
    assert_fires(fuse, normalization(Builder(4, 6), beta=beta), expected)


def test_a_product_that_others_read_is_not_centred():
    assert_refuses(centre_normalization, normalization(Builder(4, 6), keep=True))


def test_a_reduction_keeps_its_axes_only_where_they_are_put_back():
    b = Builder(4, 6)
    mean = b.op("MEAN", b.x, np.asarray([1]), shape=(4,))
    assert_refuses(keep_reduced_dimensions, b.model(b.op("RESHAPE", mean, np.asarray([2, 2]), shape=(2, 2))))


def test_a_graph_with_nothing_to_fuse_stays_as_it_is():
    b = Builder(2, 8)
    model = b.model(b.op("TANH", b.op("ADD", b.x, np.ones(8))))
    for fusion in FUSIONS:
        assert_refuses(fusion, model)
