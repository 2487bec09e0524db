"""A tiny classifier of coloured pictures, trained in NumPy in a second, and pictures for it.

Six classes: three colours, each bright above or bright below. It takes 8×8×3 in [-1, 1].
"""

from __future__ import annotations

from functools import cache

import numpy as np

from support.models import NONE, RELU, Builder

CLASSES = 6
HIDDEN = 24
_COLOURS = np.array([[0.8, -0.3, -0.6], [-0.5, 0.7, -0.2], [-0.6, -0.4, 0.75]], np.float32)


def pictures(count, seed=0):
    """Pictures (count, 8, 8, 3) in [-1, 1] and their classes, in a fair mixture."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % CLASSES)
    x = random.normal(-0.3, 0.25, (count, 8, 8, 3)).astype(np.float32)
    for i, label in enumerate(labels):
        rows = slice(0, 4) if label % 2 else slice(4, 8)
        x[i, rows] += (_COLOURS[label // 2] + 0.3) * random.uniform(0.5, 1.0)
    return np.clip(x, -1, 1), labels.astype(np.int64)


@cache
def weights():
    """Trained (W1, b1, W2, b2) by plain gradient descent."""
    x, y = pictures(600, seed=100)
    x, target = x.reshape(len(x), -1), np.eye(CLASSES)[y]
    random = np.random.default_rng(1)
    w1, b1 = random.normal(0, 0.07, (HIDDEN, x.shape[1])), np.full(HIDDEN, 0.1)
    w2, b2 = random.normal(0, 0.3, (CLASSES, HIDDEN)), np.zeros(CLASSES)
    for _ in range(400):
        h = np.maximum(x @ w1.T + b1, 0)
        scores = h @ w2.T + b2
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        error = (p / p.sum(axis=1, keepdims=True) - target) / len(x)
        back = (error @ w2) * (h > 0)
        w2, b2 = w2 - 0.5 * error.T @ h, b2 - 0.5 * error.sum(axis=0)
        w1, b1 = w1 - 0.5 * back.T @ x, b1 - 0.5 * back.sum(axis=0)
    return tuple(a.astype(np.float32) for a in (w1, b1, w2, b2))


def classifier(w1=None, b1=None, w2=None, b2=None):
    """The trained model, or the same with other weights."""
    given = [a if a is not None else b for a, b in zip((w1, b1, w2, b2), weights(), strict=True)]
    b = Builder()
    x = b.input("image", [1, 8, 8, 3])
    shape = b.constant("shape", [1, 192], "int32")
    flat = b.op("RESHAPE", [x, shape], [1, 192], table="ReshapeOptions", options={"newShape": [1, 192]})
    hidden = _dense(b, flat, given[0], given[1], RELU, "hidden")
    return b.model(b.softmax(_dense(b, hidden, given[2], given[3], NONE, "scores")))


def _dense(b, x, matrix, bias, activation, name):
    inputs = [x, b.constant(f"{name}/w", matrix), b.constant(f"{name}/b", bias)]
    options = {"fusedActivationFunction": activation}
    return b.op(
        "FULLY_CONNECTED", inputs, [1, len(matrix)], name=name, table="FullyConnectedOptions", options=options
    )
