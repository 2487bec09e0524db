"""Sparse forms give back what they were made of, in NumPy and in LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.compression.sparsity.sparse_encoding import (
    FORMS,
    UNSTRUCTURED,
    block_share,
    encode,
    encoded_bytes,
    find_form,
    smallest_form,
)
from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import dense_values, restore_sparse
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session
from tightfit.weights.patterns import keep

PATTERNS = ("unstructured", "2:4", "1x4", "1x16", "4x1")
DTYPES = ("float32", "float16", "int8")


def weights(shape, dtype, pattern, sparsity, seed) -> np.ndarray:
    """Random weights without accidental zeros, pruned."""
    random = np.random.default_rng(seed)
    values = random.integers(1, 100, shape) * random.choice([-1, 1], shape)
    return (values * keep(values.astype(np.float32), sparsity, pattern, 0)).astype(dtype)


shapes = st.one_of(
    st.tuples(st.sampled_from([1, 4, 12, 16]), st.sampled_from([1, 4, 16, 32, 300])),
    st.tuples(st.sampled_from([1, 4, 8]), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 4, 16])),
)


@given(
    shapes, st.sampled_from(DTYPES), st.sampled_from(PATTERNS), st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    st.integers(0, 9),
)  # fmt: skip
def test_sparse_to_dense_to_sparse_is_exact(shape, dtype, pattern, sparsity, seed):
    values = weights(shape, dtype, pattern, sparsity, seed)
    for form in (f for f in FORMS if f.fits(shape)):
        stored, sparse = encode(values, form)
        tensor = Tensor("w", shape, dtype, stored, sparsity=sparse)
        back = dense_values(tensor)
        np.testing.assert_array_equal(back, values)
        again, same = encode(back, form)
        np.testing.assert_array_equal(again, stored)
        assert (same.traversal_order, same.block_map) == (sparse.traversal_order, sparse.block_map)


def sparse_model(forms: dict[str, tuple[np.ndarray, object]]) -> tuple[Model, dict[str, np.ndarray]]:
    """One output a sparse constant: constant → DENSIFY (→ DEQUANTIZE) → output."""
    graph = Graph()
    graph.inputs = [Tensor("x", (1,))]
    graph.outputs.append(Tensor("y", (1,)))
    graph.append(Op("ABS", [graph.inputs[0]], [graph.outputs[0]], {}, "AbsOptions"))
    expected = {}
    for name, (values, form) in forms.items():
        stored, sparsity = encode(values, form)
        scale = Quantization(np.array([0.5], np.float32), np.array([0], np.int64))
        quantization = scale if values.dtype == np.int8 else None
        source = Tensor(
            f"{name} stored", values.shape, values.dtype.name, stored, quantization, sparsity=sparsity
        )
        dense = Tensor(f"{name} dense", values.shape, values.dtype.name, None, quantization)
        graph.append(Op("DENSIFY", [source], [dense], {}, "DensifyOptions"))
        expected[name] = values.astype(np.float32) * (0.5 if quantization else 1.0)
        out = Tensor(name, values.shape)
        if values.dtype == np.float32:
            graph.append(Op("ABS", [dense], [out], {}, "AbsOptions"))
            expected[name] = np.abs(values)
        else:
            graph.append(Op("DEQUANTIZE", [dense], [out], {}, "DequantizeOptions"))
        graph.outputs.append(out)
    return Model([graph]), expected


def products(dtype: str, *, sparse: bool) -> Model:
    """One dense layer for each form and pattern, on the same row."""
    graph = Graph()
    row = Tensor("x", (1, 304))
    graph.inputs = [row]
    for pattern in PATTERNS:
        values = weights((16, 304), dtype, pattern, 0.8, 1)
        scale = Quantization(np.array([0.5], np.float32), np.array([0], np.int64))
        quantization = scale if dtype == "int8" else None
        for form in FORMS:
            name = f"{pattern} {form.name}"
            weight = Tensor(name, values.shape, dtype, values, quantization)
            if sparse:
                stored, sparsity = encode(values, form)
                source = Tensor(name, values.shape, dtype, stored, quantization, sparsity=sparsity)
                weight.data = None
                graph.append(Op("DENSIFY", [source], [weight], {}, "DensifyOptions"))
            if dtype != "float32":
                real = Tensor(f"{name} float", values.shape)
                graph.append(Op("DEQUANTIZE", [weight], [real], {}, "DequantizeOptions"))
                weight = real
            out = Tensor(f"{name} out", (1, 16))
            graph.append(Op("FULLY_CONNECTED", [row, weight, None], [out], {}, "FullyConnectedOptions"))
            graph.outputs.append(out)
    return Model([graph])


@pytest.mark.parametrize("dtype", DTYPES)
def test_xnnpack_computes_the_same_bits_with_every_form_and_pattern(dtype):
    sample = {"x": np.random.default_rng(0).standard_normal((1, 304)).astype(np.float32)}
    results = []
    for sparse in (False, True):
        with Session(serialize(products(dtype, sparse=sparse))) as session:
            results.append(session.run(sample))
    assert len(results[0]) == len(PATTERNS) * len(FORMS)
    for name, values in results[0].items():
        assert values.any()
        np.testing.assert_array_equal(results[1][name], values, err_msg=name)


def test_litert_unpacks_every_form_type_and_pattern_exactly():
    forms = {}
    for i, shape in enumerate([(16, 300), (8, 32), (16, 3, 3, 16), (4, 1, 1, 48)]):
        for dtype in DTYPES:
            for pattern in PATTERNS:
                values = weights(shape, dtype, pattern, 0.8, i)
                for form in (f for f in FORMS if f.fits(shape)):
                    forms[f"{shape} {dtype} {pattern} {form.name}"] = values, form
    model, expected = sparse_model(forms)
    with Session(serialize(model), delegate=False) as session:
        outputs = session.run({"x": np.zeros(1, np.float32)})
    assert len(expected) > 100
    for name, values in expected.items():
        np.testing.assert_array_equal(outputs[name], values, err_msg=name)


def test_a_file_keeps_the_form_and_restoring_gives_the_dense_graph():
    values = weights((8, 300), "float32", "unstructured", 0.9, 0)
    model, _ = sparse_model({"w": (values, UNSTRUCTURED)})
    back = read_model(serialize(model))
    assert restore_sparse(back) == ["Stored 1 sparse constant in full again."]
    assert [op.kind for op in back.main.ops] == ["ABS", "ABS"]
    np.testing.assert_array_equal(back.main.ops[1].inputs[0].data, values)


@given(shapes, st.sampled_from(PATTERNS), st.sampled_from([0.3, 0.8]), st.integers(0, 3))
def test_the_estimate_is_the_size(shape, pattern, sparsity, seed):
    values = weights(shape, "float32", pattern, sparsity, seed)
    for form in (f for f in FORMS if f.fits(shape)):
        stored, sparse = encode(values, form)
        (csr,) = (d for d in sparse.dimensions if d[0] == "csr")
        width = [1 if v.max(initial=0) < 256 else 2 for v in csr[1:]]
        bound = stored.nbytes + csr[1].size * width[0] + csr[2].size * 2
        assert stored.nbytes <= encoded_bytes(values, form) - 160 <= bound


def test_the_smallest_form_follows_the_pattern():
    def best(pattern: str, sparsity: float = 0.9) -> str | None:
        form = smallest_form(weights((64, 64), "float32", pattern, sparsity, 0))
        return None if form is None else form.name

    assert best("unstructured") == "unstructured"
    assert best("1x4") == "1x4 blocks"
    assert best("1x16") == "1x16 blocks"
    assert best("4x1") == "blocks of 4 output channels"
    assert best("unstructured", 0.1) is None


def test_half_zeros_of_int8_are_smallest_dense():
    assert smallest_form(weights((64, 64), "int8", "2:4", 0.5, 0)) is None


def test_a_form_that_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="does not fit"):
        encode(np.ones((4, 6), np.float32), find_form("1x4 blocks"))
    with pytest.raises(ModelError, match="no sparse form"):
        find_form("3x3")


def test_block_share_counts_blocks_not_values():
    values = np.zeros((2, 8), np.float32)
    values[0, 0] = 1.0
    assert block_share(values, find_form("1x4 blocks")) == 0.25
