"""A file with two signatures, encode and decode, whose graphs share two weights."""

from __future__ import annotations

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor

SIZE = 32
CODE = 16


def model(*, shared: bool = True) -> Model:
    """Encode: 32 → 64 → 16; decode: 64 → 32 → 64 → 16, its last layers those of encode where shared."""
    random = np.random.default_rng(0)
    w, v, u = (random.normal(0, 0.3, s).astype(np.float32) for s in ((64, SIZE), (CODE, 64), (SIZE, 64)))
    encode, x = _graph("enc", "x", SIZE)
    hidden = _dense(encode, x, w, "h", act=1)
    encode.outputs = [_dense(encode, hidden, v, "code")]
    decode, z = _graph("dec", "z", 64)
    small = _dense(decode, z, u, "k", act=1)
    large = _dense(decode, small, w if shared else w[::-1].copy(), "k2", act=1)
    decode.outputs = [_dense(decode, large, v if shared else v[::-1].copy(), "out")]
    signatures = [
        Signature("encode", {"x": x}, {"code": encode.outputs[0]}, 0),
        Signature("decode", {"z": z}, {"out": decode.outputs[0]}, 1),
    ]
    return Model([encode, decode], signatures)


def data(count: int = 40) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Samples of encode and of decode; those of decode are five times as large."""
    random = np.random.default_rng(1)
    x = random.normal(0, 1, (count, SIZE)).astype(np.float32)
    return {"x": x}, {"z": random.normal(0, 5, (count, 64)).astype(np.float32)}


def _graph(name: str, given: str, size: int) -> tuple[Graph, Tensor]:
    graph, x = Graph(name), Tensor(given, (1, size))
    graph.inputs = [x]
    return graph, x


def _dense(graph: Graph, x: Tensor, weights: np.ndarray, name: str, act: int = 0) -> Tensor:
    rows = len(weights)
    w = Tensor(f"{name}/w", weights.shape, "float32", weights)
    b = Tensor(f"{name}/b", (rows,), "float32", np.linspace(-0.1, 0.1, rows, dtype=np.float32))
    y = Tensor(name, (1, rows))
    options = {"fusedActivationFunction": act}
    graph.append(Op("FULLY_CONNECTED", [x, w, b], [y], options, "FullyConnectedOptions"))
    return y
