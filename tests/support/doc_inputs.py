"""The files and values that the pages' commands and code begin with, made when a block names them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from support import attention_models, two_signatures
from support.models import NONE, RELU6, Builder
from tightfit.graph.writer import write_model
from tightfit.runtime.session import Session

SIDE, CLASSES = 224, 6
COLOURS = np.array([[200, 60, 40], [40, 180, 70], [50, 70, 200]], np.float32)


@cache
def pictures(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (count, 224, 224, 3) in uint8 and classes: three colours, bright above or bright below."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    pixels = random.uniform(40, 110, (count, 14, 14, 3))
    for i, label in enumerate(labels):
        rows = slice(0, 7) if label % 2 else slice(7, 14)
        pixels[i, rows] += COLOURS[label // 2] * random.uniform(0.4, 0.9)
    large = pixels.clip(0, 255).astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    return large, labels.astype(np.int64)


def scaled(count: int = 60) -> np.ndarray:
    """The pictures as the model takes them."""
    return (pictures(count)[0].astype(np.float32) - 127) / 128


def _body(b: Builder):
    x = b.conv(b.input("image", [1, SIDE, SIDE, 3]), 16, stride=8, activation=RELU6)
    for channels in (32, 48):
        x = b.conv(b.depthwise(x, stride=2), channels, kernel=1, activation=RELU6)
    shape = b.constant("shape", [1, 7 * 7 * 48], "int32")
    return b.op(
        "RESHAPE", [x, shape], [1, 7 * 7 * 48], table="ReshapeOptions", options={"newShape": [1, 2352]}
    )


def photo_model(path: Path) -> None:
    """Writes a classifier of the pictures: random convolutions, a last layer fitted by ridge regression."""
    b = Builder()
    features_path = path.with_name("features.tflite")
    write_model(b.model(_body(b)), features_path)
    pixels, labels = scaled(), pictures()[1]
    with Session(features_path) as session:
        rows = np.stack(
            [next(iter(o.values()))[0] for o in session.run_many({"image": x[None]} for x in pixels)]
        )
    features_path.unlink()
    middle = rows.mean(axis=0)
    spread = rows - middle
    gram = spread @ spread.T + 0.1 * np.eye(len(rows))
    weights = (spread.T @ np.linalg.solve(gram, 12 * (np.eye(CLASSES)[labels] - 1 / CLASSES))).T
    b = Builder()
    inputs = [
        _body(b),
        b.constant("head/weights", weights, "float32"),
        b.constant("head/bias", -(weights @ middle), "float32"),
    ]
    scores = b.op(
        "FULLY_CONNECTED", inputs, [1, CLASSES], name="head/scores", table="FullyConnectedOptions",
        options={"fusedActivationFunction": NONE},
    )  # fmt: skip
    write_model(b.model(b.softmax(scores)), path)


def photo_folder(path: Path) -> None:
    """Writes the pictures as JPEG files in class folders."""
    for i, (pixels, label) in enumerate(zip(*pictures(), strict=True)):
        folder = path / f"{label} class"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=95)


def samples_file(path: Path) -> None:
    """Writes 48 pictures as arrays, with labels."""
    np.savez(path, x=scaled()[:48], y=pictures()[1][:48])


def quantized(scheme: str, source: str) -> Callable[[Path], None]:
    """What writes a quantized file of a model that lies beside it."""

    def write(path: Path) -> None:
        import tightfit  # noqa: PLC0415 - only some pages need it

        make(source, path.parent)
        data = scaled()[:16] if scheme == "int8" else None
        tightfit.quantize(path.with_name(source), scheme, path, data=data, effort=0, progress=False)

    return write


def person_model(path: Path) -> None:
    """Writes a model with two outputs: three classes and an age."""
    b = Builder()
    hidden = b.dense(b.input("features", [1, 8]), 16, RELU6)
    kind = b.softmax(b.dense(hidden, 3), "class")
    age = b.dense(hidden, 1)
    age.name = "age"
    write_model(b.model(kind, age), path)


def person_data(path: Path) -> None:
    """Writes samples and labels for the model of two outputs, 500 of them; labels are nearly its outputs."""
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (500, 8)).astype(np.float32)
    make("person.tflite", path.parent)
    with Session(path.with_name("person.tflite")) as session:
        outputs = list(session.run_many({"features": row[None]} for row in x))
    kinds = np.array([int(o["class"].argmax()) for o in outputs])
    ages = np.array([float(o["age"].item()) for o in outputs]) + random.normal(0, 0.1, 500)
    np.savez(path, features=x, age=ages.astype(np.float32), **{"class": kinds})


def keras_model(path: Path) -> None:
    """Writes a trained Keras classifier of small pictures: the path's suffix is the format."""
    small_keras().save(path)


@cache
def small_keras():
    """A Keras classifier of 8 × 8 pictures, trained for a second."""
    import keras  # noqa: PLC0415 - only some pages need it

    from support import colour_model  # noqa: PLC0415 - only some pages need it

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(6)]
    model = keras.Sequential([keras.layers.Input((8, 8, 3)), *layers, keras.layers.Softmax()])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*colour_model.pictures(600), epochs=4, verbose=0)
    return model


def small_pictures(path: Path) -> None:
    """Writes 600 small pictures with labels for the Keras model."""
    from support import colour_model  # noqa: PLC0415 - only some pages need it

    x, y = colour_model.pictures(600, seed=1)
    np.savez(path, x=x, y=y)


def onnx_net(path: Path) -> None:
    """Writes an ONNX convolution whose input ``x`` has dynamic sizes."""
    import onnx  # noqa: PLC0415 - only some pages need it
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - the same

    filters = np.random.default_rng(0).normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[4, 4], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 1, 1]),
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [numpy_helper.from_array(filters, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def quantized_onnx(path: Path) -> None:
    """Writes a QDQ file by onnxruntime's own quantizer."""
    from onnxruntime import quantization as ort  # noqa: PLC0415 - only some pages need it

    plain = path.with_name("plain.onnx")
    onnx_fixed(plain)

    class Reader(ort.CalibrationDataReader):
        def __init__(self) -> None:
            random = np.random.default_rng(0)
            self.rows = iter(
                [{"x": random.normal(0, 1, (1, 3, 32, 32)).astype(np.float32)} for _ in range(8)]
            )

        def get_next(self):
            return next(self.rows, None)

    ort.quantize_static(plain, path, Reader(), quant_format=ort.QuantFormat.QDQ)
    plain.unlink()


def onnx_fixed(path: Path) -> None:
    """Writes the ONNX convolution with fixed sizes."""
    import onnx  # noqa: PLC0415 - only some pages need it
    from onnx.tools import update_model_dims  # noqa: PLC0415 - the same

    onnx_net(path)
    fixed = update_model_dims.update_inputs_outputs_dims(
        onnx.load(path), {"x": [1, 3, 32, 32]}, {"y": [1, 8, 1, 1]}
    )
    onnx.save(fixed, path)


def user_module(path: Path) -> None:
    """Writes a module with a function that returns a model."""
    make("net.keras", path.parent)
    code = 'import keras\n\n\ndef build():\n    return keras.models.load_model("net.keras")\n'
    path.write_text(code, encoding="utf-8")


def encoder(path: Path) -> None:
    """Writes a small transformer with an attention mask."""
    write_model(attention_models.attention(), path)


def sentences(path: Path) -> None:
    """Writes ids and masks of sentences of different lengths."""
    random = np.random.default_rng(0)
    lengths = random.integers(4, attention_models.LENGTH + 1, 60)
    mask = (np.arange(attention_models.LENGTH) < lengths[:, None]).astype(np.int32)
    ids = random.integers(1, attention_models.WORDS, mask.shape).astype(np.int32) * mask
    np.savez(path, ids=ids, mask=mask)


def two(path: Path) -> None:
    """Writes a file with two signatures."""
    write_model(two_signatures.model(), path)


def key_pair(path: Path) -> None:
    """Writes an Ed25519 key: both files, whichever was named."""
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415 - only some pages need it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - the same

    key = Ed25519PrivateKey.generate()
    path.with_name("private.pem").write_bytes(
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    )
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    path.with_name("public.pem").write_bytes(public)


def my_metric(outputs: np.ndarray, labels: list[int]) -> list[float]:
    """A metric of the user: the probability of the right class."""
    return [float(row.reshape(-1)[label]) for row, label in zip(outputs, labels, strict=True)]


FILES: dict[str, Callable[[Path], None]] = {
    "model.tflite": photo_model,
    "photos": photo_folder,
    "calibration.npz": samples_file,
    "d.npz": samples_file,
    "x.npz": samples_file,
    "people.npz": person_data,
    "person.tflite": person_model,
    "person_weight8.tflite": quantized("weight8", "person.tflite"),
    "model.keras": keras_model,
    "net.keras": keras_model,
    "train.npz": small_pictures,
    "net.onnx": onnx_net,
    "net_qdq.onnx": quantized_onnx,
    "int8.tflite": quantized("int8", "model.tflite"),
    "net_int8.tflite": quantized("int8", "model.tflite"),
    "my_models": lambda path: user_module(path.with_suffix(".py")),
    "bert.tflite": encoder,
    "sentences.npz": sentences,
    "two.tflite": two,
    "enc.npz": lambda path: np.savez(path, **two_signatures.data()[0]),
    "dec.npz": lambda path: np.savez(path, **two_signatures.data()[1]),
    "private.pem": key_pair,
    "public.pem": key_pair,
}
"""Name in a block → what writes it."""

NAMES: dict[str, Callable[[], object]] = {
    "model": small_keras,
    "x": lambda: __import__("support.colour_model").colour_model.pictures(600, seed=1)[0],
    "y": lambda: __import__("support.colour_model").colour_model.pictures(600, seed=1)[1],
    "samples": lambda: __import__("support.colour_model").colour_model.pictures(60, seed=1)[0],
    "my_metric": lambda: my_metric,
    "options": lambda: {"size": SIDE, "mean": 127, "std": 128},
}
"""Free name in a Python block → its value."""


def make(name: str, folder: Path) -> None:
    """Writes the file of a name into a folder, where it is not there yet."""
    if not (folder / name).exists() and not (folder / f"{name}.py").exists():
        FILES[name](folder / name)
