"""One small network in every framework ends in the same ops and the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.load_model import load
from tightfit.runtime.session import Session

keras = pytest.importorskip("keras", reason="needs keras: the extra 'keras'")
layers = keras.layers

KINDS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "HARD_SWISH": 1, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}

NEEDS = {
    "keras-jax": ("jax", "litert_converter"),
    "keras-tensorflow": ("tensorflow",),
    "keras-torch": ("torch", "litert_torch"),
    "saved-model": ("tensorflow",),
    "onnx": ("onnx", "litert_converter"),
    "torch": ("torch", "litert_torch"),
}

TORCH = """
import numpy as np, torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, eps=1e-3)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 4)
        self.example_inputs = (torch.zeros(1, 3, 16, 16),)

    def forward(self, x):
        x = nn.functional.relu6(self.norm(self.stem(x)))
        x = self.point(nn.functional.hardswish(self.depth(x))).mean((2, 3))
        return torch.softmax(self.head(x), -1)


def build():
    net, w = Net(), np.load("weights.npz")
    state = {k: torch.from_numpy(w[k.replace(".", "_")]) for k in net.state_dict() if "tracked" not in k}
    net.load_state_dict(state, strict=False)
    return net
"""


def build():
    x = keras.Input((16, 16, 3), name="image")
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization(name="norm")(y))
    y = layers.Activation("hard_swish")(layers.DepthwiseConv2D(3, padding="same", name="depth")(y))
    y = layers.Conv2D(6, 1, name="point")(y)
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(4, activation="softmax", name="head")(y))


def weights():
    """Torch's names and layouts; the Keras and ONNX networks take them from here."""
    rng = np.random.default_rng(3)
    shapes = {
        "stem_weight": (8, 3, 3, 3), "depth_weight": (8, 1, 3, 3), "depth_bias": (8,),
        "point_weight": (6, 8, 1, 1), "point_bias": (6,), "head_weight": (4, 6), "head_bias": (4,),
    }  # fmt: skip
    arrays = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in ("weight", "bias", "running_mean", "running_var"):
        arrays[f"norm_{name}"] = np.abs(rng.normal(1, 0.2, 8)).astype(np.float32)
    return arrays


def keras_file(folder, w):
    model = build()
    model.get_layer("stem").set_weights([w["stem_weight"].transpose(2, 3, 1, 0)])
    names = ("weight", "bias", "running_mean", "running_var")
    model.get_layer("norm").set_weights([w[f"norm_{n}"] for n in names])
    model.get_layer("depth").set_weights([w["depth_weight"].transpose(2, 3, 0, 1), w["depth_bias"]])
    model.get_layer("point").set_weights([w["point_weight"].transpose(2, 3, 1, 0), w["point_bias"]])
    model.get_layer("head").set_weights([w["head_weight"].T, w["head_bias"]])
    model.save(folder / "net.keras")
    return folder / "net.keras"


def saved_model(folder, w):
    path = keras_file(folder, w)
    code = "import keras, sys; m = keras.saving.load_model(sys.argv[1]); m.export(sys.argv[2], verbose=False)"
    quiet = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code, str(path), str(folder / "saved")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | quiet)
    return folder / "saved"


def onnx_file(folder, w):
    import onnx  # noqa: PLC0415 - only where it is installed
    from onnx import helper, numpy_helper  # noqa: PLC0415 - the same

    norm = [f"norm_{n}" for n in ("weight", "bias", "running_mean", "running_var")]
    constants = w | {"low": np.float32(0), "high": np.float32(6)}
    nodes = [
        helper.make_node("Conv", ["image", "stem_weight"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", *norm], ["b"], epsilon=1e-3),
        helper.make_node("Clip", ["b", "low", "high"], ["c"]),
        helper.make_node("Conv", ["c", "depth_weight", "depth_bias"], ["d"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("HardSwish", ["d"], ["e"]),
        helper.make_node("Conv", ["e", "point_weight", "point_bias"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "head_weight", "head_bias"], ["i"], transB=1),
        helper.make_node("Softmax", ["i"], ["head"]),
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 16, 16])
    head = helper.make_tensor_value_info("head", onnx.TensorProto.FLOAT, [1, 4])
    initializers = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "net", [image], [head], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def torch_module(folder, w):
    (folder / "torch_net.py").write_text(TORCH)
    np.savez(folder / "weights.npz", **w)
    return "torch_net:build"


SOURCES = {
    "keras-jax": (keras_file, ConversionOptions(backend="jax")),
    "keras-tensorflow": (keras_file, ConversionOptions(backend="tensorflow")),
    "keras-torch": (keras_file, ConversionOptions(backend="torch")),
    "saved-model": (saved_model, ConversionOptions()),
    "onnx": (onnx_file, ConversionOptions(channel_last=True)),
    "torch": (torch_module, ConversionOptions(channel_last=True)),
}


def expected(w, image):
    """The network in NumPy, in float64."""
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    y = np.einsum("nhwcij,ocij->nhwo", windows, w["stem_weight"])
    y = (y - w["norm_running_mean"]) / np.sqrt(w["norm_running_var"] + 1e-3)
    y = np.clip(y * w["norm_weight"] + w["norm_bias"], 0, 6)
    padded = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    y = np.einsum("nhwcij,cij->nhwc", windows, w["depth_weight"][:, 0]) + w["depth_bias"]
    y = y * np.clip(y + 3, 0, 6) / 6
    y = (y @ w["point_weight"][:, :, 0, 0].T + w["point_bias"]).mean((1, 2))
    y = np.exp(y @ w["head_weight"].T + w["head_bias"])
    return y / y.sum(-1, keepdims=True)


@pytest.mark.parametrize("way", SOURCES)
def test_every_way_gives_the_same_ops_and_numbers(way, tmp_path, monkeypatch):
    missing = [name for name in NEEDS[way] if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    make, options = SOURCES[way]
    w = weights()
    monkeypatch.chdir(tmp_path)
    result = load(make(tmp_path, w), options=options)
    assert Counter(op.kind for op in result.model.main.ops) == KINDS
    assert result.largest_difference < 1e-5
    image = np.random.default_rng(5).normal(0, 1, (1, 16, 16, 3)).astype(np.float32)
    with Session(result.path) as session:
        (name,) = (spec.name for spec in session.inputs)
        (scores,) = session.run({name: image}).values()
    np.testing.assert_allclose(scores, expected(w, image), atol=1e-5)
