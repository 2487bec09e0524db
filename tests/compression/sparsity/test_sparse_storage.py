"""Only what LiteRT runs is stored sparsely, and it computes the same."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import NONE, RELU, Builder
from tightfit.compression.sparsity.sparse_storage import store_sparse
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.sparse_files import write_sparse
from tightfit.runtime.session import Session
from tightfit.weights.patterns import keep


def pruned(model: Model, pattern: str = "unstructured", sparsity: float = 0.85) -> Model:
    for op in model.main.ops:
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weight = op.inputs[1]
            weight.data = weight.data * keep(weight.data, sparsity, pattern, 3 if "DEPTH" in op.kind else 0)
    return model


def mixed_net(pattern: str = "unstructured") -> Model:
    """A convolution, a depthwise one, a 1×1 one and two dense layers."""
    b = Builder()
    x = b.conv(b.input("x", [1, 16, 16, 3]), 64, stride=2)
    x = b.mean(b.conv(b.depthwise(x), 64, kernel=1))
    return pruned(b.model(b.dense(b.dense(x, 128, RELU), 64, NONE)), pattern)


def samples() -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [{"x": random.standard_normal((1, 16, 16, 3)).astype(np.float32)} for _ in range(4)]


def run(path) -> np.ndarray:
    with Session(path) as session:
        (values,) = session.run(samples()[0]).values()
    return values


def dense_file(scheme: str, tmp_path, pattern: str = "unstructured"):
    path = tmp_path / "float.tflite"
    write_model(mixed_net(pattern), path)
    if scheme == "float32":
        return path
    given = samples() if scheme == "int8" else None
    return quantize_file(path, scheme, tmp_path / "dense.tflite", given).path


@pytest.mark.parametrize("scheme", ["float32", "float16", "weight8", "dynamic", "int8"])
def test_a_sparse_file_is_smaller_and_bit_equal(scheme, tmp_path):
    dense = dense_file(scheme, tmp_path)
    written = write_sparse(read_model(dense), tmp_path / "sparse.tflite")
    np.testing.assert_array_equal(run(written.path), run(dense))
    assert written.notes == [] or scheme == "dynamic"
    assert written.path.stat().st_size < dense.stat().st_size
    # What stands behind a DEQUANTIZE may be sparse even where the rest computes on the fly.
    reasons = {layer.reason for layer in written.layers if layer.form == "dense"}
    assert bool(reasons) == (scheme in ("dynamic", "int8"))


def test_integers_that_litert_cannot_read_behind_densify_stay_dense_with_the_reason(tmp_path):
    layers = store_sparse(read_model(dense_file("int8", tmp_path)))
    refused = [layer for layer in layers if layer.form == "dense"]
    assert {layer.reason for layer in refused} == {
        "LiteRT does not run FULLY_CONNECTED with int8 weights behind DENSIFY"
    }
    assert any(layer.form != "dense" for layer in layers)


@pytest.mark.parametrize(("scheme", "pattern"), [("float32", "1x4"), ("int8", "1x16")])
def test_blocks_are_fed_to_dense_layers_without_densify(scheme, pattern, tmp_path):
    dense = dense_file(scheme, tmp_path, pattern)
    written = write_sparse(read_model(dense), tmp_path / "sparse.tflite")
    fed = [layer for layer in written.layers if layer.fed]
    assert len(fed) == 2
    # float32: another order of additions; int8: the kernels may round a step apart.
    step = 1e-5 if scheme == "float32" else np.abs(run(dense)).max() / 100
    np.testing.assert_allclose(run(written.path), run(dense), rtol=0, atol=step)
    assert written.notes == []


def test_a_batch_is_unpacked_for_xnnpack():
    b = Builder()
    model = pruned(b.model(b.dense(b.input("x", [8, 64]), 64)), "1x4")
    (layer,) = store_sparse(model)
    assert not layer.fed
    assert [op.kind for op in model.main.ops] == ["DENSIFY", "FULLY_CONNECTED"]


def test_a_model_without_zeros_stays_dense_and_says_so(tmp_path):
    b = Builder()
    written = write_sparse(b.model(b.dense(b.input("x", [1, 64]), 64)), tmp_path / "out.tflite")
    assert written.layers == []
    assert "stored densely" in written.notes[0]
    assert written.path.is_file()


def test_constants_that_share_memory_share_the_sparse_memory():
    b = Builder()
    x = b.dense(b.dense(b.input("x", [4, 64]), 64), 64)
    model = pruned(b.model(x))
    first, second = (op.inputs[1] for op in model.main.ops)
    second.data = first.data
    store_sparse(model)
    stored = [op.inputs[0] for op in model.main.ops if op.kind == "DENSIFY"]
    assert len(stored) == 2
    assert stored[0].data is stored[1].data
