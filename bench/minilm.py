"""A BERT sentence encoder as a float graph, and the same from its weights in NumPy: ids and mask → embedding.

The graph is what converters write: one op a line of mathematics, layer normalization in nine small ops, a
mask that is added to the attention's scores, GELU as one op.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor

Floats = npt.NDArray[np.float32]
EPSILON = 1e-12
HEADS = 12
MASKED = -1e9
"""What is added to the score of a padded position; converters write values from -1e4 to -3e38."""


def read_safetensors(path: Path) -> dict[str, Floats]:
    """Gives name → float32 array of a ``.safetensors`` file: a JSON header, then raw arrays."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    found = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if entry.get("dtype") == "F32":
            begin, end = (8 + size + o for o in entry["data_offsets"])
            found[name] = np.frombuffer(raw[begin:end], np.float32).reshape(entry["shape"])
    return found


def layers(weights: Mapping[str, Floats]) -> list[str]:
    """The prefixes of the encoder's layers, in order."""
    count = len({n.split(".")[2] for n in weights if n.startswith("encoder.layer.")})
    return [f"encoder.layer.{i}" for i in range(count)]


# -- the graph -------------------------------------------------------------------------------------


class _Writer:
    """Appends ops to one graph; each method gives the tensor that it writes."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self.graph, self.weights = Graph("main"), weights

    def constant(self, name: str, values: Any) -> Tensor:
        array = np.asarray(values)
        return Tensor(name, array.shape, array.dtype.name, array)

    def op(
        self, kind: str, inputs: Sequence[Tensor], shape: Sequence[int], name: str, table: str = "",
        **options: Any,
    ) -> Tensor:  # fmt: skip
        output = Tensor(name, shape, options.pop("dtype", "float32"))
        self.graph.append(Op(kind, inputs, [output], options, table or None))
        return output

    def pair(self, kind: str, a: Tensor, b: Tensor, name: str) -> Tensor:
        table = "SquaredDifferenceOptions" if kind == "SQUARED_DIFFERENCE" else f"{kind.title()}Options"
        options = {} if kind == "SQUARED_DIFFERENCE" else {"fusedActivationFunction": 0}
        return self.op(kind, [a, b], np.broadcast_shapes(a.shape, b.shape), name, table, **options)

    def reduce(self, kind: str, x: Tensor, axis: int, name: str, *, keep: bool = True) -> Tensor:
        shape = [d for i, d in enumerate(x.shape) if keep or i != axis]
        if keep:
            shape[axis] = 1
        axes = self.constant(f"{name}/axis", np.array([axis], np.int32))
        return self.op(kind, [x, axes], shape, name, "ReducerOptions", keepDims=keep)

    def dense(self, x: Tensor, prefix: str) -> Tensor:
        w = self.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"])
        b = self.constant(f"{prefix}.bias", self.weights[f"{prefix}.bias"])
        shape = [*x.shape[:-1], w.shape[0]]
        return self.op("FULLY_CONNECTED", [x, w, b], shape, prefix, "FullyConnectedOptions", keepNumDims=True)

    def norm(self, x: Tensor, prefix: str) -> Tensor:
        last = len(x.shape) - 1
        gain = self.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"])
        shift = self.constant(f"{prefix}.bias", self.weights[f"{prefix}.bias"])
        epsilon = self.constant(f"{prefix}/epsilon", np.float32(EPSILON))
        mean = self.reduce("MEAN", x, last, f"{prefix}/mean")
        square = self.pair("SQUARED_DIFFERENCE", x, mean, f"{prefix}/square")
        variance = self.reduce("MEAN", square, last, f"{prefix}/variance")
        steady = self.pair("ADD", variance, epsilon, f"{prefix}/steady")
        root = self.op("RSQRT", [steady], steady.shape, f"{prefix}/root")
        centred = self.pair("SUB", x, mean, f"{prefix}/centred")
        unit = self.pair("MUL", centred, root, f"{prefix}/unit")
        return self.pair("ADD", self.pair("MUL", unit, gain, f"{prefix}/gained"), shift, prefix)

    def reshaped(self, x: Tensor, shape: Sequence[int], name: str) -> Tensor:
        wanted = self.constant(f"{name}/shape", np.array(shape, np.int32))
        return self.op("RESHAPE", [x, wanted], shape, name, "ReshapeOptions", newShape=list(shape))

    def heads(self, x: Tensor, name: str) -> Tensor:
        _, length, width = x.shape
        split = self.reshaped(x, [1, length, HEADS, width // HEADS], f"{name}/split")
        order = self.constant(f"{name}/order", np.array([0, 2, 1, 3], np.int32))
        shape = [1, HEADS, length, width // HEADS]
        return self.op("TRANSPOSE", [split, order], shape, f"{name}/heads", "TransposeOptions")

    def product(self, a: Tensor, b: Tensor, name: str, *, transposed: bool) -> Tensor:
        columns = b.shape[-2] if transposed else b.shape[-1]
        shape = [*a.shape[:-1], columns]
        return self.op("BATCH_MATMUL", [a, b], shape, name, "BatchMatMulOptions", adjX=False, adjY=transposed)

    def attention(self, x: Tensor, bias: Tensor, prefix: str) -> Tensor:
        _, length, width = x.shape
        names = [f"{prefix}.self.{n}" for n in ("query", "key", "value")]
        q, k, v = (self.heads(self.dense(x, n), n) for n in names)
        scale = self.constant(f"{prefix}/scale", np.float32(1 / math.sqrt(width // HEADS)))
        scores = self.pair(
            "MUL", self.product(q, k, f"{prefix}/raw", transposed=True), scale, f"{prefix}/scores"
        )
        masked = self.pair("ADD", scores, bias, f"{prefix}/masked")
        shares = self.op("SOFTMAX", [masked], masked.shape, f"{prefix}/shares", "SoftmaxOptions", beta=1.0)
        mixed = self.product(shares, v, f"{prefix}/mixed", transposed=False)
        order = self.constant(f"{prefix}/back", np.array([0, 2, 1, 3], np.int32))
        shape = [1, length, HEADS, width // HEADS]
        joined = self.op("TRANSPOSE", [mixed, order], shape, f"{prefix}/joined", "TransposeOptions")
        flat = self.reshaped(joined, [1, length, width], f"{prefix}/flat")
        added = self.pair("ADD", x, self.dense(flat, f"{prefix}.output.dense"), f"{prefix}/sum")
        return self.norm(added, f"{prefix}.output.LayerNorm")

    def layer(self, x: Tensor, bias: Tensor, prefix: str) -> Tensor:
        x = self.attention(x, bias, f"{prefix}.attention")
        inner = self.dense(x, f"{prefix}.intermediate.dense")
        active = self.op("GELU", [inner], inner.shape, f"{prefix}/gelu", "GeluOptions", approximate=False)
        added = self.pair("ADD", x, self.dense(active, f"{prefix}.output.dense"), f"{prefix}/sum")
        return self.norm(added, f"{prefix}.output.LayerNorm")

    def embeddings(self, ids: Tensor) -> Tensor:
        table = self.weights["embeddings.word_embeddings.weight"]
        length, width = ids.shape[1], table.shape[1]
        words = self.op(
            "GATHER", [self.constant("words", table), ids], [1, length, width], "embeddings/words",
            "GatherOptions", axis=0,
        )  # fmt: skip
        places = self.weights["embeddings.position_embeddings.weight"][:length]
        places = places + self.weights["embeddings.token_type_embeddings.weight"][0]
        added = self.pair("ADD", words, self.constant("places", places[None]), "embeddings/sum")
        return self.norm(added, "embeddings.LayerNorm")

    def pooled(self, x: Tensor, real: Tensor) -> Tensor:
        """The mean over the real positions, of length one: so the sum will do, without their number."""
        length = x.shape[1]
        weights = self.reshaped(real, [1, length, 1], "pool/mask")
        total = self.reduce("SUM", self.pair("MUL", x, weights, "pool/kept"), 1, "pool/total", keep=False)
        return self.op("L2_NORMALIZATION", [total], total.shape, "embedding", "L2NormOptions")


def build(weights: Mapping[str, Floats], length: int = 64, masked: float = MASKED) -> Model:
    """Gives the float model: int32 ``ids`` and ``mask`` (1, length) → ``embedding`` (1, width), norm 1.

    Args:
        masked: what is added to the score of a padded position.
    """
    writer = _Writer(weights)
    ids, mask = Tensor("ids", [1, length], "int32"), Tensor("mask", [1, length], "int32")
    writer.graph.inputs = [ids, mask]
    real = writer.op("CAST", [mask], mask.shape, "real", "CastOptions", inDataType=2, outDataType=0)
    padded = writer.pair("SUB", writer.constant("one", np.float32(1)), real, "padded")
    bias = writer.pair("MUL", padded, writer.constant("masked", np.float32(masked)), "padded/bias")
    bias = writer.reshaped(bias, [1, 1, 1, length], "mask/bias")
    x = writer.embeddings(ids)
    for prefix in layers(weights):
        x = writer.layer(x, bias, prefix)
    found = writer.pooled(x, real)
    writer.graph.outputs = [found]
    named = {t.name: t for t in (ids, mask)}
    model = Model([writer.graph], [Signature("serving_default", named, {"embedding": found})])
    model.validate()
    return model


# -- the same in NumPy -----------------------------------------------------------------------------


def embed(weights: Mapping[str, Floats], ids: npt.NDArray[Any], mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Gives the embeddings (sentences, width) in float64, straight from the weights."""

    def norm(x: npt.NDArray[Any], prefix: str) -> npt.NDArray[Any]:
        unit = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
        return unit * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]

    def dense(x: npt.NDArray[Any], prefix: str) -> npt.NDArray[Any]:
        return x @ weights[f"{prefix}.weight"].T.astype(np.float64) + weights[f"{prefix}.bias"]

    def heads(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    table = weights["embeddings.word_embeddings.weight"].astype(np.float64)
    places = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(
        table[ids] + places + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
    )
    for prefix in layers(weights):
        own = f"{prefix}.attention"
        q, k, v = (heads(dense(x, f"{own}.self.{n}")) for n in ("query", "key", "value"))
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) + (1 - mask[:, None, None]) * MASKED
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        joined = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(x + dense(joined, f"{own}.output.dense"), f"{own}.output.LayerNorm")
        inner = dense(x, f"{prefix}.intermediate.dense")
        active = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
        x = norm(x + dense(active, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")
    total = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True))
