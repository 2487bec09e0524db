"""Models with the rare tables of the format: custom ops, variables, sparse and packed constants, strings …

They are valid files for the reader and the writer; most of them no runtime can run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from support.models import Builder
from tightfit.graph.ir import Model, Op, Quantization, Sparsity, Tensor


def custom_op_model() -> Model:
    b = Builder()
    x, y, inner = b.input("x", [1, 4]), Tensor("y", [1, 4]), Tensor("inner", [2])
    op = Op("CUSTOM", [x, None, b.constant("w", [1.0, 2.0], "float32")], [y], version=3)
    op.custom_code, op.custom_options = "Vendor.Öp", bytes(range(256))
    op.intermediates = [inner]
    op.extra["mutatingVariableInputs"] = [False, False, True]
    b.graph.append(op)
    return b.model(y)


def metadata_model() -> Model:
    b = Builder()
    model = b.model(b.op("RELU", [b.input("x", [1, 4])], [1, 4]))
    model.metadata = {"min_runtime_version": b"1.5.0\0\0", "empty": b"", "blob": bytes(1000)}
    model.description = "a description – with a dash"
    return model


def variable_model() -> Model:
    b = Builder()
    state = Tensor("state", [1, 4], is_variable=True)
    return b.model(b.add(b.input("x", [1, 4]), state))


def loose_model() -> Model:
    b = Builder()
    model = b.model(b.op("RELU", [b.input("x", [1, 4])], [1, 4]))
    b.graph.loose = [b.constant("left over", [1, 2, 3], "int32"), Tensor("never used", [7], "int16")]
    return model


def shared_model() -> Model:
    """Two constants with the memory of a third one, one in another shape."""
    b = Builder()
    first = b.weights("first", 4, 4)
    second = Tensor("second", [4, 4], data=first.data)
    flat = Tensor("flat", [16], data=None if first.data is None else first.data.reshape(-1))
    x = b.add(b.add(b.input("x", [4, 4]), first), second)
    shape = b.constant("shape", [16], "int32")
    return b.model(b.add(b.op("RESHAPE", [x, shape], [16]), flat))


def quantized_model() -> Model:
    b = Builder()
    per_channel = Quantization(
        np.array([0.5, 0.25], np.float32), np.array([0, 3], np.int64), 1,
        np.array([-1, -2], np.float32), np.array([1, 2], np.float32),
    )  # fmt: skip
    w = Tensor("w", [1, 2], "int8", np.array([[-128, 127]], np.int8), per_channel)
    x = b.input("x", [1, 2], "int8")
    x.quantization = Quantization(np.array([0.1], np.float32), np.array([-5], np.int64))
    noted = Quantization(np.zeros(0, np.float32), np.zeros(0, np.int64), 0, np.array([-3], np.float32))
    y = b.op("MUL", [x, w], [1, 2], dtype="int8", table="MulOptions")
    y.quantization = noted
    return b.model(y)


def blockwise_model() -> Model:
    """Scales in tensors of their own: with and without zero points, and over several axes."""
    b = Builder()
    none = np.zeros(0, np.float32), np.zeros(0, np.int64)
    scales, points = b.constant("scales", [[1, 2]], "float16"), b.constant("points", [[1, 2]], "int32")
    x = b.input("x", [1, 64])
    block = {"scales": scales, "zeroPoints": None, "blockSize": 32}
    several = {
        "scales": scales,
        "zeroPoints": points,
        "blockSize": 0,
        "quantizedDimensions": np.array([0, 1]),
    }
    for name, kind, fields in (
        ("a", "BlockwiseQuantization", block),
        ("b", "BlockwiseQuantization", {**block, "zeroPoints": points}),
        ("c", "MultiAxisQuantization", several),
        ("d", "CustomQuantization", {"custom": np.arange(5, dtype=np.uint8)}),
    ):
        quantization = Quantization(*none, details=(kind, dict(fields)))
        w = Tensor(name, [1, 64], "int4", np.arange(64, dtype=np.int8).reshape(1, 64) % 8, quantization)
        x = b.add(x, w)
    return b.model(x)


def packed_model() -> Model:
    """Integers of 4 and 2 bits, with odd counts; both widths in every sign that the format has."""
    b = Builder()
    x = b.input("x", [5])
    for dtype, low, high in (("int4", -8, 7), ("uint4", 0, 15), ("int2", -2, 1)):
        values = b.random.integers(low, high, 5, endpoint=True).astype(
            "uint8" if dtype == "uint4" else "int8"
        )
        x = b.add(x, Tensor(dtype, [5], dtype, values))
    return b.model(x)


def typed_model() -> Model:
    """A constant of every other element type, strings and resources as bytes."""
    b = Builder()
    x = b.input("x", [2])
    names = (
        "float32 float16 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128"
    )
    for name in names.split():
        x = b.add(x, b.constant(name, [0, 1], name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        raw = np.array([1, 2], np.uint16 if name == "bfloat16" else np.uint8)
        x = b.add(x, Tensor(name, [2], name, raw))
    # One string: count, start, end, bytes.
    text = np.frombuffer(np.array([1, 12, 15], np.int32).tobytes() + b"abc", np.uint8)
    x = b.add(x, Tensor("text", [1], "string", text))
    handle = Tensor("handle", [], "resource")
    b.graph.append(Op("VAR_HANDLE", [], [handle], {"container": b"", "sharedName": b"v"}, "VarHandleOptions"))
    variant = Tensor("list", [], "variant", has_rank=False)
    variant.extra["variantTensors"] = [{"shape": np.array([1, 2], np.int32), "type": 0, "hasRank": True}]
    b.graph.append(Op("ADD_N", [handle], [variant]))
    return b.model(x, variant)


def sparse_model() -> Model:
    b = Builder()
    csr = ("csr", np.array([0, 1, 3], np.uint8), np.array([2, 0, 1], np.uint8))
    plain = Sparsity((0, 1), (), (("dense", 2), csr))
    wide = ("csr", np.array([0, 300], np.uint16), np.arange(300, dtype=np.uint16))
    blocks = Sparsity((0, 1, 2), (1,), (("dense", 2), csr, ("dense", 4)))
    single = Sparsity((0, 1), (), (("dense", 1), wide))
    stored = {
        "plain": ([2, 3], [1, 2, 3], plain),
        "blocks": ([2, 12], range(12), blocks),
        "wide": ([1, 400], range(300), single),
    }
    sums = []
    for name, (shape, values, sparsity) in stored.items():
        w = Tensor(name, shape, data=np.array(values, np.float32), sparsity=sparsity)
        sums.append(b.add(b.input(f"x_{name}", shape), w))
    return b.model(*sums)


def shapes_model() -> Model:
    """Dynamic and unknown shapes, scalars, empty tensors, names that are no UTF-8, no signature."""
    b = Builder()
    x = b.input("x", [1, 4], dynamic_batch=True)
    unknown = Tensor("", [], has_rank=False)
    b.graph.append(Op("RELU", [x], [unknown]))
    scalar, empty = b.constant("scalar", 1.5, "float32"), Tensor("empty", [0, 3])
    y = b.op("CONCATENATION", [unknown, scalar, empty], [], name="caf\udce9", table="ConcatenationOptions")
    return b.model(y, signature=None)


ODD_MODELS: dict[str, Callable[[], Model]] = {
    f.__name__: f
    for f in (
        custom_op_model, metadata_model, variable_model, loose_model, shared_model, quantized_model,
        blockwise_model, packed_model, typed_model, sparse_model, shapes_model,
    )
}  # fmt: skip
