"""Small transformers with what real ones have: a mask of -1e9, loud channels behind a normalization."""

from __future__ import annotations

import numpy as np

from support.models import Builder
from tightfit.graph.ir import Model, Tensor

LENGTH, WIDTH, HEADS, WORDS = 12, 32, 4, 64
MASKED = -1e9


def attention(*, loud: float = 1.0, masked: float = MASKED, post: bool = True, seed: int = 5) -> Model:
    """Ids and mask → embedding → one post-norm block → mean over the real positions.

    Args:
        loud: gain of one channel of each normalization; the weights behind it are as much smaller.
        masked: what is added to the score of a padded position, or chosen instead of it when not ``post``.
    """
    b = Builder(seed=seed)
    ids, mask = b.input("ids", [1, LENGTH], "int32"), b.input("mask", [1, LENGTH], "int32")
    real = b.op("CAST", [mask], mask.shape, name="real", table="CastOptions",
                options={"inDataType": 2, "outDataType": 0})  # fmt: skip
    table = b.weights("words", WORDS, WIDTH)
    x = b.op("GATHER", [table, ids], [1, LENGTH, WIDTH], table="GatherOptions", options={"axis": 0})
    x = norm(b, x, "first", loud)
    scores = _scores(b, x, loud)
    if post:
        padded = _pair(b, "SUB", b.constant("one", 1, "float32"), real)
        bias = _pair(b, "MUL", padded, b.constant("masked", masked, "float32"), name="bias")
        scores = _pair(b, "ADD", scores, _reshape(b, bias, 1, 1, 1, LENGTH), name="scores")
    else:
        wide = _reshape(b, mask, 1, 1, 1, LENGTH, dtype="int32")
        options = {"inDataType": 2, "outDataType": 6}
        kept = b.op("CAST", [wide], wide.shape, dtype="bool", table="CastOptions", options=options)
        least = b.constant("masked", np.full([1, 1, 1, 1], masked), "float32")
        scores = b.op(
            "SELECT_V2", [kept, scores, least], scores.shape, name="scores", table="SelectV2Options"
        )
    shares = b.softmax(scores, "shares")
    values = _heads(b, _dense(b, x, WIDTH, loud))
    mixed = b.op("BATCH_MATMUL", [shares, values], values.shape, table="BatchMatMulOptions")
    flat = _reshape(b, _transpose(b, mixed, (0, 2, 1, 3)), 1, LENGTH, WIDTH)
    x = norm(b, b.add(x, _dense(b, flat, WIDTH)), "second", loud)
    x = b.add(x, _dense(b, b.op("GELU", [_dense(b, x, 2 * WIDTH, loud)], [1, LENGTH, 2 * WIDTH],
                                table="GeluOptions"), WIDTH))  # fmt: skip
    kept = _pair(b, "MUL", x, _reshape(b, real, 1, LENGTH, 1))
    axis = b.constant("axis", [1], "int32")
    options = {"keepDims": False}
    return b.model(
        b.op("SUM", [kept, axis], [1, WIDTH], name="embedding", table="ReducerOptions", options=options)
    )


def pre_norm(*, loud: float = 1.0, residual: bool = False) -> Model:
    """A normalization with one loud channel whose result goes into two dense layers, and on where asked."""
    b = Builder(seed=7)
    x = b.input("x", [1, LENGTH, WIDTH])
    y = norm(b, x, "norm", loud)
    found = b.add(_dense(b, y, WIDTH, loud), _dense(b, y, WIDTH, loud))
    return b.model(found, y) if residual else b.model(found)


def inputs(count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Random ids, padded from a random place on."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        mask = (np.arange(LENGTH) < random.integers(4, LENGTH + 1)).astype(np.int32)[None]
        found.append({"ids": random.integers(1, WORDS, (1, LENGTH)).astype(np.int32) * mask, "mask": mask})
    return found


def norm(b: Builder, x: Tensor, name: str, loud: float = 1.0) -> Tensor:
    """Layer normalization as converters write it out; channel 3 has a gain of ``loud``."""
    narrow = [*x.shape[:-1], 1]
    keep = {"table": "ReducerOptions", "options": {"keepDims": True}}
    last = b.constant(f"{name}/last", [len(x.shape) - 1], "int32")
    mean = b.op("MEAN", [x, last], narrow, name=f"{name}/mean", **keep)
    square = b.op(
        "SQUARED_DIFFERENCE", [x, mean], x.shape, name=f"{name}/square", table="SquaredDifferenceOptions"
    )
    variance = b.op("MEAN", [square, last], narrow, name=f"{name}/variance", **keep)
    steady = _pair(b, "ADD", variance, b.constant(f"{name}/epsilon", 1e-5, "float32"), name=f"{name}/steady")
    root = b.op("RSQRT", [steady], narrow, name=f"{name}/root")
    unit = _pair(b, "MUL", _pair(b, "SUB", x, mean, name=f"{name}/centred"), root, name=f"{name}/unit")
    gain = np.ones(WIDTH, np.float32)
    gain[3] = loud
    gained = _pair(b, "MUL", unit, b.constant(f"{name}/gain", gain), name=f"{name}/gained")
    return _pair(b, "ADD", gained, b.constant(f"{name}/shift", np.zeros(WIDTH, np.float32)), name=name)


def _scores(b: Builder, x: Tensor, loud: float) -> Tensor:
    q, k = (_heads(b, _dense(b, x, WIDTH, loud)) for _ in range(2))
    shape = [1, HEADS, LENGTH, LENGTH]
    raw = b.op("BATCH_MATMUL", [q, k], shape, table="BatchMatMulOptions", options={"adjY": True})
    return _pair(b, "MUL", raw, b.constant("scale", (WIDTH / HEADS) ** -0.5, "float32"))


def _heads(b: Builder, x: Tensor) -> Tensor:
    return _transpose(b, _reshape(b, x, 1, LENGTH, HEADS, WIDTH // HEADS), (0, 2, 1, 3))


def _dense(b: Builder, x: Tensor, units: int, loud: float = 1.0) -> Tensor:
    y = b.dense(x, units)
    assert y.producer is not None
    y.producer.options["keepNumDims"] = True
    weights = y.producer.inputs[1]
    assert weights is not None
    weights.data[:, 3] /= loud
    return y


def _pair(b: Builder, kind: str, left: Tensor, right: Tensor, name: str | None = None) -> Tensor:
    shape = np.broadcast_shapes(left.shape, right.shape)
    options = {"fusedActivationFunction": 0}
    return b.op(kind, [left, right], shape, name=name, table=f"{kind.title()}Options", options=options)


def _reshape(b: Builder, x: Tensor, *shape: int, dtype: str = "float32") -> Tensor:
    target = b.constant("shape", list(shape), "int32")
    return b.op("RESHAPE", [x, target], shape, dtype=dtype, table="ReshapeOptions",
                options={"newShape": list(shape)})  # fmt: skip


def _transpose(b: Builder, x: Tensor, order: tuple[int, ...]) -> Tensor:
    shape = [x.shape[i] for i in order]
    return b.op("TRANSPOSE", [x, b.constant("order", list(order), "int32")], shape, table="TransposeOptions")
