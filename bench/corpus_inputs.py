"""What the corpus runs on: the demo and its images, a small ONNX model, seeded samples, bad files."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SHAPES: Mapping[str, tuple[int, ...]] = {
    "rock_paper_scissors.float32": (84, 84, 1),
    "keyword_spotting_on_off_v3.float32": (98, 1, 104),
    "embedding_model": (76, 32, 1),
    "face_landmark": (192, 192, 3),
    "resnet56_cifar10": (32, 32, 3),
    "mobilenet_v1_075_224": (224, 224, 3),
    "efficientnet_lite0": (224, 224, 3),
    "yolo_fastest_xl": (320, 320, 3),
    "nmp": (43844, 1),
}
"""Model of ``../shared/models`` → shape of one input, the batch left out."""

SAMPLES = 24
DEMO_SAMPLES = 300
TINY_SAMPLES = 96


def demo_folder() -> Path:
    """Return where the installed package keeps its demo model; the package is not imported."""
    found = find_spec("tightfit")
    if found is None or found.origin is None:
        raise SystemExit(f"tightfit is not installed in {sysconfig.get_path('purelib')}; install it there.")
    return next(Path(found.origin).parent.rglob("images.npz")).parent


def write_inputs(folder: Path, root: Path, shared: Path) -> list[str]:
    """Write every input into a folder and return the names of the models of ``shared`` that are there.

    Args:
        root: the repository. shared: the folder of models; one that is absent is left out and named.
    """
    shutil.copy(demo_folder() / "model.tflite", folder / "demo.tflite")
    shutil.copy(root / "examples" / "demo.keras", folder / "demo.keras")
    with np.load(demo_folder() / "images.npz") as images:
        x, y = (images[name][:DEMO_SAMPLES] for name in ("x_calibration", "y_calibration"))
    np.savez(folder / "demo.npz", x=x[..., None].astype(np.float32) / np.float32(255), y=y)
    np.savez(folder / "wrong.npz", x=np.zeros((4, 3, 3, 1), np.float32))
    np.savez(folder / "nan.npz", x=np.full((4, 28, 28, 1), np.nan, np.float32))
    (folder / "damaged.tflite").write_bytes((folder / "demo.tflite").read_bytes()[:5000])
    (folder / "text.tflite").write_text("not a model")
    write_onnx(folder / "tiny.onnx")
    labels = np.random.default_rng(1).integers(0, 4, TINY_SAMPLES)
    np.savez(folder / "tiny.npz", x=noise((8, 8, 3), TINY_SAMPLES), y=labels)
    models = [name for name in SHAPES if (shared / f"{name}.tflite").exists()]
    for name in models:
        shutil.copyfile(shared / f"{name}.tflite", folder / f"{name}.tflite")
        np.savez(folder / f"{name}.npz", x=noise(SHAPES[name], SAMPLES))
    for name in SHAPES.keys() - set(models):
        print(f"left out: {shared / name}.tflite is not there")
    return models


def noise(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Return seeded samples of a normal distribution whose width varies: float32 (count, *shape)."""
    random = np.random.default_rng(0)
    widths = random.uniform(0.2, 0.8, (count, *(1 for _ in shape)))
    return (widths * random.standard_normal((count, *shape))).astype(np.float32)


def write_onnx(path: Path) -> None:
    """Write a small classifier: convolution, ReLU, depthwise convolution, ReLU, mean, dense, softmax."""
    import onnx  # noqa: PLC0415 - an extra of tightfit
    from onnx import helper, numpy_helper  # noqa: PLC0415

    random = np.random.default_rng(2)
    shapes = {"k": (16, 3, 3, 3), "kb": (16,), "d": (16, 1, 3, 3), "db": (16,), "w": (16, 4), "wb": (4,)}
    weights = [
        numpy_helper.from_array((0.3 * random.standard_normal(s)).astype(np.float32), n)
        for n, s in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "k", "kb"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "d", "db"], ["c"], pads=[1, 1, 1, 1], group=16),
        helper.make_node("Relu", ["c"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "wb"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 8, 8))]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 4))]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
