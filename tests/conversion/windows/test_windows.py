"""Windows lowered to pooling compute what LiteRT computes for STABLEHLO_REDUCE_WINDOW itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tightfit.conversion.windows.window_axis import WindowAxis
from tightfit.conversion.windows.windows import Window, lower_windows, window_values
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

START = {"MAXIMUM": -np.inf, "MINIMUM": np.inf, "ADD": 0.0}
TABLES = {"ADD": "AddOptions", "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions"}
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def constant(values, dtype=np.float32):
    data = np.asarray(values, dtype)
    return Tensor("constant", data.shape, data.dtype.name, data)


def window_model(window, *, scale=None, before=None, start=None):
    """x → [an op] → STABLEHLO_REDUCE_WINDOW → [× a constant] → y."""
    axes = window.axes
    shape = tuple(a.size for a in axes)
    graph, body = Graph("main"), Graph("body")
    x = value = Tensor("x", shape)
    if before:
        value = Tensor("before", shape)
        graph.append(Op(before, [x], [value]))
    size = tuple(a.count for a in axes)
    y = Tensor("y", size)
    options = {
        "windowDimensions": [a.window for a in axes], "windowStrides": [a.stride for a in axes],
        "baseDilations": [a.base for a in axes], "windowDilations": [a.dilation for a in axes],
        "padding": [p for a in axes for p in a.pads], "bodySubgraphIndex": 1,
    }  # fmt: skip
    init = constant(START[window.combine] if start is None else start)
    graph.append(Op("STABLEHLO_REDUCE_WINDOW", [value, init], [y], options, "StablehloReduceWindowOptions"))
    if scale is not None:
        kind, values, first = scale
        y, source = Tensor("scaled", size), y
        pair = [constant(values), source] if first else [source, constant(values)]
        graph.append(Op(kind, pair, [y], {}, f"{kind.title()}Options"))
    a, b, c = (Tensor(n, ()) for n in "abc")
    body.append(Op(window.combine, [a, b], [c], {}, TABLES[window.combine]))
    body.inputs, body.outputs, graph.inputs, graph.outputs = [a, b], [c], [x], [y]
    return Model([graph, body], [Signature("serving_default", {"x": x}, {"y": y})])


def run(model, x):
    with Session(serialize(model)) as session:
        return session.run({"x": x})["y"]


def kinds(model):
    return [op.kind for op in model.main.ops]


def assert_lowered(model):
    before = copy_model(model)
    assert lower_windows(model)
    model.validate()
    assert not any(kind.startswith("STABLEHLO") for kind in kinds(model))
    assert len(model.graphs) == 1
    x = np.random.default_rng(0).normal(0, 2, model.main.inputs[0].shape).astype(np.float32)
    np.testing.assert_allclose(run(model, x), run(before, x), rtol=1e-5, atol=1e-5)


@st.composite
def axes(draw, *, plain=False):
    size = draw(st.integers(1, 9))
    window = draw(st.integers(1, 4))
    dilation = 1 if plain or window == 1 else draw(st.sampled_from([1, 1, 1, 2]))
    reach = (window - 1) * dilation + 1
    low, high = (draw(st.integers(0, min(reach - 1, size))) for _ in range(2))
    same = WindowAxis(size, window, draw(st.integers(1, 3)), dilation, 1, (low, high))
    if draw(st.booleans()):
        same = WindowAxis(size, window, same.stride, dilation, 1, same.same_pads())
    return same


@st.composite
def windows(draw):
    rank = draw(st.integers(2, 5))
    active = draw(st.sets(st.integers(1, rank - 1), min_size=1, max_size=3))
    rows = tuple(draw(axes()) if i in active else WindowAxis(draw(st.integers(1, 3)), 1) for i in range(rank))
    assume(all(a.count > 0 for a in rows))
    # A window of padding alone gives the neutral value, which no exporter writes.
    assume(all((a.inside() > 0).all() for a in rows))
    combine = draw(st.sampled_from(sorted(START)))
    return Window(combine, START[combine], rows)


@QUICK
@given(windows(), st.sampled_from([None, "RELU"]))
def test_any_window_computes_the_same_by_pooling(window, before):
    assume(window.active())
    assert_lowered(window_model(window, before=before))


@QUICK
@given(windows(), st.integers(0, 2**16))
def test_a_constant_window_is_computed_as_litert_computes_it(window, seed):
    values = np.random.default_rng(seed).normal(0, 1, [a.size for a in window.axes]).astype(np.float32)
    np.testing.assert_allclose(
        window_values(values, window), run(window_model(window), values), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "by", "first"), [("MUL", 0.5, False), ("MUL", 0.5, True), ("DIV", 2.0, False)]
)
def test_a_sum_and_its_division_are_one_average(kind, by, first):
    window = Window("ADD", 0.0, (WindowAxis(1, 1), WindowAxis(8, 2, 2), WindowAxis(3, 1)))
    model = window_model(window, scale=(kind, by, first))
    assert_lowered(model)
    assert kinds(model) == ["RESHAPE", "AVERAGE_POOL_2D", "RESHAPE"]


def test_an_average_with_same_padding_divides_by_what_lies_inside():
    axis = WindowAxis(7, 3, 1, pads=(1, 1))
    counts = np.outer(axis.inside(), axis.inside())[None, ..., None]
    window = Window("ADD", 0.0, (WindowAxis(1, 1), axis, axis, WindowAxis(3, 1)))
    model = window_model(window, scale=("DIV", counts, False))
    assert_lowered(model)
    assert kinds(model) == ["AVERAGE_POOL_2D"]


def test_an_average_that_counts_the_padding_keeps_a_factor():
    axis = WindowAxis(7, 3, 1, pads=(1, 1))
    model = window_model(
        Window("ADD", 0.0, (WindowAxis(1, 1), axis, axis, WindowAxis(3, 1))), scale=("MUL", 1 / 9, False)
    )
    assert_lowered(model)
    assert kinds(model) == ["AVERAGE_POOL_2D", "MUL"]


def test_the_maximum_of_values_that_are_never_negative_is_padded_with_zeros():
    window = Window(
        "MAXIMUM",
        -np.inf,
        (
            WindowAxis(1, 1),
            WindowAxis(8, 3, 2, pads=(1, 1)),
            WindowAxis(8, 3, 2, pads=(1, 1)),
            WindowAxis(2, 1),
        ),
    )
    model = window_model(window, before="RELU")
    assert_lowered(model)
    assert kinds(model) == ["RELU", "PAD", "MAX_POOL_2D"]


def test_the_maximum_of_any_values_is_padded_with_their_mirror():
    window = Window(
        "MAXIMUM", -np.inf, (WindowAxis(1, 1), WindowAxis(8, 3, 2, pads=(1, 1)), WindowAxis(2, 1))
    )
    model = window_model(window)
    assert_lowered(model)
    assert kinds(model) == ["RESHAPE", "MIRROR_PAD", "MAX_POOL_2D", "RESHAPE"]


def test_a_running_sum_is_a_cumsum():
    for pads in ((7, 0), (0, 7)):
        model = window_model(Window("ADD", 0.0, (WindowAxis(1, 1), WindowAxis(8, 8, 1, pads=pads))))
        assert_lowered(model)
        assert "CUMSUM" in kinds(model)


def test_padding_with_another_value_than_the_neutral_one_stays():
    window = Window("MAXIMUM", 0.0, (WindowAxis(1, 1), WindowAxis(8, 3, 2, pads=(1, 1)), WindowAxis(2, 1)))
    model = window_model(window, start=0.0)
    assert lower_windows(model) == []
    assert len(model.graphs) == 2


def test_a_free_batch_stays_free():
    window = Window("MAXIMUM", -np.inf, (WindowAxis(1, 1), WindowAxis(8, 2, 2), WindowAxis(3, 1)))
    model = window_model(window)
    for tensor in (model.main.inputs[0], model.main.outputs[0]):
        tensor.shape_signature = (-1, *tensor.shape[1:])
    assert lower_windows(model)
    x = np.random.default_rng(0).normal(0, 1, (3, 8, 3)).astype(np.float32)
    with Session(serialize(model)) as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], x.reshape(3, 4, 2, 3).max(2))
