"""Networks that end as detectors, key-point, regression and dense-prediction models do, for ``heads.py``.

Each function takes the trunk's 8 × 8 × 32 features and gives the output and its slices: (axis, begin, end,
name). All weights are random; the scales, offsets and decoders are those of the published heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
from keras import layers as L  # noqa: N812 - as Keras' own examples have it
from keras import ops

Head = tuple[Any, list[tuple[int, int, int, str]]]
NORMAL = keras.initializers.RandomNormal
CELLS: Final = 64


def trunk(x: Any) -> Any:
    """Three convolutions, the first two with stride 2."""
    for filters, stride in ((16, 2), (32, 2), (32, 1)):
        x = L.Conv2D(filters, 3, stride, padding="same", activation="relu6")(x)
    return x


def points(x: Any, filters: int, spread: float, activation: str | None = None, bias: float = 0.0) -> Any:
    """A 1 × 1 convolution as (places, filters)."""
    start = keras.initializers.Constant(bias)
    kernel = NORMAL(0, spread)
    made = L.Conv2D(filters, 1, activation=activation, kernel_initializer=kernel, bias_initializer=start)(x)
    return L.Reshape((-1, filters))(made)


def vector(x: Any, units: int = 32) -> Any:
    """Pooled features behind a dense layer."""
    return L.Dense(units, activation="relu")(L.GlobalAveragePooling2D()(x))


def _grid(side: int) -> Any:
    places = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), -1)
    return places.reshape(1, side * side, 2).astype(np.float32)


def _distances(x: Any) -> Any:
    """DFL of YOLOv8: a softmax over 16 bins for each side, and its mean."""
    bins = L.Softmax(-1)(L.Reshape((CELLS, 4, 16))(points(x, 64, 0.6)))
    return ops.sum(bins * np.arange(16, dtype=np.float32), -1)


def _boxes(x: Any) -> Any:
    sides = _distances(x)
    low, high = -sides[..., :2] + _grid(8), sides[..., 2:] + _grid(8)
    return ops.concatenate([(low + high) / 2, high - low], -1) * 8.0


def yolov8(x: Any) -> Head:
    """Boxes by DFL and class scores, channels first."""
    joined = ops.concatenate([_boxes(x), points(x, 3, 0.5, "sigmoid", -4.0)], -1)
    return ops.transpose(joined, (0, 2, 1)), [(1, 0, 4, "boxes"), (1, 4, 7, "scores")]


def yolov8_obb(x: Any) -> Head:
    """Rotated boxes: centre turned by an angle, sizes, scores, the angle in radians."""
    sides, angle = _distances(x), (points(x, 1, 0.5, "sigmoid") - 0.25) * math.pi
    half = (sides[..., 2:] - sides[..., :2]) / 2
    cosine, sine = ops.cos(angle), ops.sin(angle)
    centre = [half[..., :1] * cosine - half[..., 1:] * sine, half[..., :1] * sine + half[..., 1:] * cosine]
    boxes = ops.concatenate([ops.concatenate(centre, -1) + _grid(8), sides[..., :2] + sides[..., 2:]], -1)
    joined = ops.concatenate([boxes * 8.0, points(x, 5, 0.5, "sigmoid", -4.0), angle], -1)
    slices = [(1, 0, 4, "boxes"), (1, 4, 9, "scores"), (1, 9, 10, "angle")]
    return ops.transpose(joined, (0, 2, 1)), slices


def yolov8_pose(x: Any) -> Head:
    """Boxes, one score, and five key points as x, y, visibility in turn."""
    found = L.Reshape((CELLS, 5, 3))(points(x, 15, 0.5))
    places = (found[..., :2] * 2 + (_grid(8) - 0.5)[:, :, None]) * 8.0
    marks = L.Reshape((CELLS, 15))(ops.concatenate([places, ops.sigmoid(found[..., 2:])], -1))
    slices = [(2, 0, 4, "boxes"), (2, 4, 5, "score")]
    for i in range(5):
        slices += [(2, 5 + 3 * i, 7 + 3 * i, f"point {i}"), (2, 7 + 3 * i, 8 + 3 * i, f"visible {i}")]
    return ops.concatenate([_boxes(x), points(x, 1, 0.5, "sigmoid", -4.0), marks], -1), slices


def yolov5(x: Any) -> Head:
    """Two scales of anchor boxes with sigmoid offsets, joined along the boxes."""
    found = []
    for level, (side, stride) in enumerate(((8, 8.0), (4, 16.0))):
        features = x if level == 0 else L.Conv2D(32, 3, 2, padding="same", activation="relu6")(x)
        y = ops.sigmoid(L.Reshape((side * side, 3, 8))(points(features, 24, 0.4, bias=-0.5)))
        anchors = np.array([[10, 13], [16, 30], [33, 23]], np.float32).reshape(1, 1, 3, 2) * (level + 1)
        places = (y[..., :2] * 2 - 0.5 + _grid(side).reshape(1, side * side, 1, 2)) * stride
        boxes = ops.concatenate([places, (y[..., 2:4] * 2) ** 2 * anchors, y[..., 4:]], -1)
        found.append(L.Reshape((side * side * 3, 8))(boxes))
    return ops.concatenate(found, 1), [(2, 0, 4, "boxes"), (2, 4, 8, "scores")]


def ssd(x: Any) -> Head:
    """Boxes decoded with anchors and EXP, and a softmax over four classes."""
    raw = L.Reshape((128, 4))(points(x, 8, 0.3))
    anchors = np.random.default_rng(0).uniform(0.1, 0.9, (1, 128, 4)).astype(np.float32)
    places = raw[..., :2] * 0.1 * anchors[..., 2:] + anchors[..., :2]
    sizes = ops.exp(raw[..., 2:] * 0.2) * anchors[..., 2:]
    scores = L.Softmax(-1)(L.Reshape((128, 4))(points(x, 8, 0.5)))
    return ops.concatenate([places * 300, sizes * 300, scores], -1), [(2, 0, 4, "boxes"), (2, 4, 8, "scores")]


def centre_net(x: Any) -> Head:
    """A heat map, sizes in pixels and offsets, one map each."""
    maps = [points(x, 4, 0.5, "sigmoid", -2.2), points(x, 2, 0.3, "relu") * 60.0, points(x, 2, 0.3)]
    return ops.concatenate(maps, -1), [(2, 0, 4, "heat map"), (2, 4, 6, "sizes"), (2, 6, 8, "offsets")]


def sensor_rows(x: Any) -> Head:
    """One dense layer whose six rows have units of their own."""
    layer = L.Dense(6)
    y = layer(vector(x))
    weights, bias = layer.get_weights()
    layer.set_weights([weights * [1e-3, 1, 1e4, 20, 0.1, 300], bias + np.float32([0, 0.5, 0, 300, 0, 0])])
    return y, [(1, i, i + 1, f"row {i}") for i in range(6)]


def depth_normals(x: Any) -> Head:
    """Depth in metres by EXP, unit normals, and a softmax, joined."""
    normal = points(x, 3, 0.3)
    normal = normal / ops.sqrt(ops.sum(normal * normal, -1, keepdims=True) + 1e-6)
    maps = [ops.exp(points(x, 1, 0.3)) * 5.0, normal, L.Softmax(-1)(points(x, 4, 0.5))]
    return ops.concatenate(maps, -1), [(2, 0, 1, "depth"), (2, 1, 4, "normals"), (2, 4, 8, "classes")]


def landmarks(x: Any) -> Head:
    """63 coordinates in pixels beside two probabilities."""
    y = L.Dense(64, activation="relu")(L.Flatten()(x))
    sure = L.Dense(1, activation="sigmoid", bias_initializer=keras.initializers.Constant(2.0))(y)
    parts = [L.Dense(63, activation="sigmoid")(y) * 224.0, L.Dense(1, activation="sigmoid")(y), sure]
    return ops.concatenate(parts, -1), [(1, 0, 63, "points"), (1, 63, 64, "hand"), (1, 64, 65, "presence")]


def pose_6d(x: Any) -> Head:
    """A unit quaternion, a translation in millimetres, a log-variance."""
    y = vector(x)
    turn = L.Dense(4)(y)
    turn = turn / ops.sqrt(ops.sum(turn * turn, -1, keepdims=True) + 1e-6)
    parts = [turn, L.Dense(3)(y) * 500.0 + 800.0, L.Dense(1)(y) * 0.3]
    return ops.concatenate(parts, -1), [(1, 0, 4, "turn"), (1, 4, 7, "place"), (1, 7, 8, "log-variance")]


def forecast(x: Any) -> Head:
    """Mean, deviation and probability of 24 steps, stacked."""
    y = vector(x)
    parts = [L.Dense(24)(y) * 40.0 + 15.0, ops.softplus(L.Dense(24)(y)), L.Dense(24, activation="sigmoid")(y)]
    return ops.stack(parts, -1), [(2, 0, 1, "mean"), (2, 1, 2, "deviation"), (2, 2, 3, "probability")]


HEADS: Final[dict[str, Callable[[Any], Head]]] = {
    f.__name__: f
    for f in (
        yolov8, yolov8_obb, yolov8_pose, yolov5, ssd, centre_net, sensor_rows, depth_normals, landmarks,
        pose_6d, forecast,
    )
}  # fmt: skip
