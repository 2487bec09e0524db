"""Further networks for ``heads.py``: detectors without NMS, 3-D points, forecasts, states, tables.

As in ``head_networks``: all weights are random, and the units are those that such models answer in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from keras import layers as L  # noqa: N812 - as Keras' own examples have it
from keras import ops

from head_networks import Head, points, vector


def nms_free(x: Any) -> Head:
    """Corners of boxes in pixels and the best score, as end-to-end detectors give them."""
    box = ops.sigmoid(points(x, 4, 0.6))
    centre, size = box[..., :2] * 320, box[..., 2:] * 160
    score = ops.max(ops.sigmoid(points(x, 5, 0.5, bias=-4.0)), -1, keepdims=True)
    joined = ops.concatenate([centre - size / 2, centre + size / 2, score], -1)
    return joined, [(2, 0, 4, "boxes"), (2, 4, 5, "score")]


def key_points_3d(x: Any) -> Head:
    """21 points as x and y in pixels and depth in metres, beside a probability."""
    y = L.Dense(64, activation="relu")(L.Flatten()(x))
    places = L.Reshape((21, 3))(L.Dense(63)(y))
    places = places * np.float32([40, 40, 0.05]) + np.float32([112, 112, 0.6])
    joined = ops.concatenate([L.Reshape((63,))(places), L.Dense(1, activation="sigmoid")(y)], -1)
    slices = [(1, 3 * i + 2, 3 * i + 3, f"depth {i}") for i in range(21)]
    slices += [(1, 3 * i, 3 * i + 2, f"place {i}") for i in range(21)]
    return joined, [*slices, (1, 63, 64, "hand")]


def channels_first(x: Any) -> Head:
    """Two values in millimetres and six logits, joined on axis 1."""
    values = ops.transpose(points(x, 2, 0.4), (0, 2, 1)) * 1000.0
    logits = ops.transpose(points(x, 6, 0.5, bias=-2.0), (0, 2, 1))
    return ops.concatenate([values, logits], 1), [(1, 0, 2, "values"), (1, 2, 8, "logits")]


def horizons(x: Any) -> Head:
    """Load, price, temperature and a share for twelve hours, by one dense layer."""
    layer = L.Dense(48)
    y = layer(vector(x, 48))
    weights, bias = layer.get_weights()
    units, offsets = (np.tile(np.float32(v), 12) for v in ([900, 45, 8, 0.2], [35000, 60, 283, 0.4]))
    layer.set_weights([weights * units, bias + offsets])
    names = ("load", "price", "kelvin", "share")
    return L.Reshape((12, 4))(y), [(2, i, i + 1, name) for i, name in enumerate(names)]


def embedding_score(x: Any) -> Head:
    """A unit embedding beside a quality and an angle in degrees."""
    y = vector(x, 64)
    embedding = L.Dense(64)(y)
    embedding = embedding / ops.sqrt(ops.sum(embedding * embedding, -1, keepdims=True) + 1e-6)
    joined = ops.concatenate([embedding, L.Dense(1, activation="sigmoid")(y), L.Dense(1)(y) * 90.0], -1)
    return joined, [(1, 0, 64, "embedding"), (1, 64, 65, "quality"), (1, 65, 66, "yaw")]


def lstm_places(x: Any) -> Head:
    """The hidden states of an LSTM beside places in millimetres, each step."""
    sequence = L.LSTM(16, return_sequences=True, unroll=True)(L.Reshape((8, 256))(x))
    joined = ops.concatenate([sequence, L.Dense(2)(sequence) * 500.0], -1)
    return joined, [(2, 0, 16, "hidden"), (2, 16, 18, "place")]


def table_columns(x: Any) -> Head:
    """Columns of a table: counts, money, shares, log-odds, seconds of a day."""
    y = vector(x, 48)
    parts = [
        L.Dense(2, activation="relu")(y) * 30,
        L.Dense(1)(y) * 2e4 + 5e4,
        L.Softmax()(L.Dense(3)(y)),
        L.Dense(1)(y),
        L.Dense(1)(y) * 3600.0 + 43200.0,
    ]
    names = (("counts", 0, 2), ("money", 2, 3), ("shares", 3, 6), ("log-odds", 6, 7), ("seconds", 7, 8))
    return ops.concatenate(parts, -1), [(1, begin, end, name) for name, begin, end in names]


def flow(x: Any) -> Head:
    """Optical flow in pixels, its log-variance and an occlusion, one map each."""
    maps = [
        points(x, 2, 0.3) * 24.0,
        points(x, 1, 0.2) * 0.1 - 3.0,
        ops.sigmoid(points(x, 1, 0.4, bias=-1.0)),
    ]
    slices = [(2, 0, 2, "flow"), (2, 2, 3, "log-variance"), (2, 3, 4, "occlusion")]
    return ops.concatenate(maps, -1), slices


def two_scales(x: Any) -> Head:
    """Two levels of distances and scores with strides of their own, joined along the places."""
    found = []
    for level, stride in enumerate((8.0, 32.0)):
        features = x if level == 0 else L.Conv2D(32, 3, 2, padding="same", activation="relu6")(x)
        sides = ops.softplus(points(features, 4, 0.5)) * stride
        found.append(ops.concatenate([sides, ops.sigmoid(points(features, 3, 0.5, bias=-4.0))], -1))
    return ops.concatenate(found, 1), [(2, 0, 4, "sides"), (2, 4, 7, "scores")]


def mixture(x: Any) -> Head:
    """A mixture density: weights, means in metres, logarithms of deviations."""
    y = vector(x, 48)
    deviations = ops.log(ops.softplus(L.Dense(3)(y)) + 1e-3)
    joined = ops.concatenate([L.Softmax()(L.Dense(3)(y)), L.Dense(3)(y) * 12.0, deviations], -1)
    return joined, [(1, 0, 3, "weights"), (1, 3, 6, "means"), (1, 6, 9, "log deviations")]


JOINED: Final[dict[str, Callable[[Any], Head]]] = {
    f.__name__: f
    for f in (
        nms_free, key_points_3d, channels_first, horizons, embedding_score, lstm_places, table_columns, flow,
        two_scales, mixture,
    )
}  # fmt: skip
"""Name → head."""
