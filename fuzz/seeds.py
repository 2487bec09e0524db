"""Whole files that mutants are made of: small, generated, none taken from elsewhere."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterable

import numpy as np
from PIL import Image

from tightfit.demo import MODEL
from tightfit.graph.ir import Graph, Model, Op, Quantization, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.provenance.record import ProvenanceRecord

IMAGE_KINDS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def models() -> list[bytes]:
    """Return small models with most kinds of tables, and the demo, which is large and so comes rarely."""
    return [MODEL.read_bytes(), *[dense(), two_graphs()] * 8]


def dense() -> bytes:
    """Return an int8 FULLY_CONNECTED between QUANTIZE and DEQUANTIZE, with a signature and metadata."""
    one = Quantization(np.full(1, 0.1, np.float32), np.zeros(1, np.int64))
    rows = Quantization(np.full(3, 0.1, np.float32), np.zeros(3, np.int64))
    graph = Graph("main")
    x, y = Tensor("x", (1, 4)), Tensor("y", (1, 3))
    inside, outside = (
        Tensor("q", (1, 4), "int8", quantization=one),
        Tensor("r", (1, 3), "int8", quantization=one),
    )
    weights = Tensor("w", (3, 4), "int8", np.arange(12, dtype=np.int8).reshape(3, 4), quantization=rows)
    bias = Tensor("b", (3,), "int32", np.zeros(3, np.int32), quantization=rows)
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Op("QUANTIZE", [x], [inside], {}, "QuantizeOptions"))
    graph.append(Op("FULLY_CONNECTED", [inside, weights, bias], [outside], {}, "FullyConnectedOptions"))
    graph.append(Op("DEQUANTIZE", [outside], [y], {}, "DequantizeOptions"))
    model = Model([graph], [Signature("serving_default", {"x": x}, {"y": y})])
    model.metadata["note"] = b"kept"
    return serialize(model)


def two_graphs() -> bytes:
    """Return a model of two graphs, each with a signature of its own."""
    graphs, signatures = [], []
    for index, kind in enumerate(("NEG", "ABS")):
        graph = Graph(kind.lower())
        graph.inputs, graph.outputs = [Tensor("x", (1, 2))], [Tensor("y", (1, 2))]
        graph.append(Op(kind, graph.inputs, graph.outputs))
        signatures.append(Signature(kind, {"x": graph.inputs[0]}, {"y": graph.outputs[0]}, graph_index=index))
        graphs.append(graph)
    return serialize(Model(graphs, signatures))


def arrays() -> list[bytes]:
    """Return ``.npz`` files, stored and compressed, in both orders."""
    values = np.arange(24, dtype=np.float32).reshape(6, 2, 2, 1)
    made = []
    for save in (np.savez, np.savez_compressed):
        for x in (values, np.asfortranarray(values)):
            buffer = io.BytesIO()
            save(buffer, x=x, y=np.arange(6))
            made.append(buffer.getvalue())
    return made


def lines() -> list[bytes]:
    """Return ``.jsonl`` manifests of arrays, with and without labels."""
    rows = [{"x": [[[i], [1]], [[2], [3]]], "label": i} for i in range(4)]
    return [
        "\n".join(json.dumps(r) for r in rows).encode(),
        json.dumps({"x": [[[0], [1]], [[2], [3]]]}).encode(),
    ]


def archives() -> list[bytes]:
    """Return a ``.keras`` archive of one dense layer."""
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2, "activation": "relu"}}
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
    return [buffer.getvalue()]


def reports() -> list[bytes]:
    """Return a report with one candidate, and one with all that a gate compares."""
    candidate = {"name": "int8", "scheme": "int8", "size_bytes": 5, "path": "candidates/int8.tflite"}
    plain = {"model": {}, "data": {}, "machine": {}, "budget": {}, "candidates": [candidate], "best": "int8"}
    full = candidate | {
        "accuracy": 0.9, "drop": 0.01, "latency_ratio": 0.5, "latency_ms": 1.0, "zip_bytes": 4,
        "agreement": 0.99, "accuracies": {"top1": 0.9}, "drops": {"top1": 0.01}, "slices": [],
        "meets_budget": True,
    }  # fmt: skip
    original = full | {"name": "float32", "scheme": "float", "is_original": True}
    whole = plain | {"candidates": [original, full], "finished": True, "run": {"model": "m", "data": "d"}}
    return [json.dumps(plain).encode(), json.dumps(whole).encode()]


def recipes() -> list[bytes]:
    """Return recipes of litert-quantizer: weights alone, and two entries with an expression."""
    weights = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
    config = {"weight_tensor_config": weights, "compute_precision": "INTEGER", "min_weight_elements": 64}
    entry = {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": config,
    }
    left = {"regex": "(conv|dense)_[0-9]+/.*", "operation": "CONV_2D", "algorithm_key": "no_quantize"}
    return [json.dumps([entry]).encode(), json.dumps([entry, left]).encode()]


def journals(key: str) -> list[bytes]:
    """Return a journal of a key."""
    candidate = {"name": "int8", "scheme": "int8", "path": "candidates/int8.tflite", "sha256": "0" * 64}
    return [json.dumps({"key": key, "candidates": [candidate]}).encode()]


def records() -> list[bytes]:
    """Return a provenance record."""
    facts = {"versions": {"tightfit": "0"}, "steps": ["a"], "source": {"name": "m"}, "data": {}}
    return [ProvenanceRecord(facts, {"x": (0.0, 1.0)}).encode()]


def tables() -> list[bytes]:
    """Return ``.csv`` manifests of a picture that lies beside them, with labels of each kind."""
    return [
        b"path,label\na.png,1\na.png,0\n",
        b'path,label,boxes,classes\na.png,2,"[[0,0,1,1]]","[3]"\n',
        b"path\na.png\n",
    ]


def images() -> list[bytes]:
    """Return a picture of 4 x 4 pixels in each format that is read, colours and grey."""
    made = []
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    for kind in IMAGE_KINDS:
        for values in (pixels, pixels[..., 0]):
            buffer = io.BytesIO()
            Image.fromarray(values).save(buffer, kind)
            made.append(buffer.getvalue())
    return made


def tars() -> list[bytes]:
    """Return tars of samples: arrays or pictures, with labels as a number and as JSON."""
    array = io.BytesIO()
    np.save(array, np.arange(4, dtype=np.float32).reshape(2, 2, 1))
    kinds = ({"npy": array.getvalue(), "cls": b"1"}, {"png": images()[1], "json": b'{"a": [1]}'})
    return [
        pack((f"s{i}.{suffix}", data) for i in range(3) for suffix, data in kind.items()) for kind in kinds
    ]


def pack(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def options() -> list[bytes]:
    """Return files of options: by command, of a run, of devices."""
    by_command = b'[optimize]\nmax_drop = 0.02\nonly = ["int8"]\n[quantize]\nio = "int8"\n'
    run = (
        b'model = "m.tflite"\ndata = "d.npz"\nmax_size = "5MB"\nmax_drop = 0.01\nonly = ["int8", "float16"]\n'
        b'image = "size=224,crop=0.875"\nmetric = "top1"\nslices = ["out=-1:0-4=boxes"]\nseed = 3\n'
        b'calibration = 10\nminutes = 1.5\nconfident = true\nmax_latency = "0.8x"\ntarget = "cpu"\n'
    )
    devices = (
        b'[devices.pi5]\nssh = "ssh://pi@board.local:22"\nthreads = 4\npython = "python3"\nconfig = "c"\n'
    )
    return [by_command, run, devices]


def onnx_models() -> list[bytes]:
    """Return ONNX models whose weight lies in the file, beside it, and in a branch."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - an optional package

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy"]
    inside = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    beside = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", "16")):
        beside.external_data.add(key=key, value=value)
    made = []
    for held in (inside, beside):
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        branch = helper.make_graph([], "b", [], [ends[1]], [held])
        choice = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        for nodes, weights in (([node], [held]), ([choice], [])):
            graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
            made.append(helper.make_model(graph, ir_version=8).SerializeToString())
    return made
