"""A model of sensor readings whose columns have different units, and such readings."""

from __future__ import annotations

import numpy as np

from support.models import NONE, RELU, Builder

UNITS = np.float32([500, 8, 0.2, 0.25, 900])
MIDDLES = np.float32([101325, 283, 0.5, 0.4, 0])


def readings(count=120, seed=0):
    """Pascals, kelvins, two shares and a height."""
    random = np.random.default_rng(seed)
    return (random.uniform(-1, 1, (count, 5)) * UNITS + MIDDLES).astype(np.float32)


def sensor_model(*, normalized=False, signature="serving_default", units=24):
    """Two dense layers; the first takes each column by its unit, or follows SUB and MUL."""
    b = Builder(seed=3)
    x = b.input("x", [1, 5])
    y = x
    if normalized:
        y = b.op("SUB", [y, b.constant("mean", MIDDLES)], [1, 5], table="SubOptions")
        y = b.op("MUL", [y, b.constant("scale", 1 / UNITS)], [1, 5], table="MulOptions")
    hidden = b.dense(y, units, RELU)
    if not normalized:
        _, weights, bias = hidden.producer.inputs
        weights.data = (weights.data / UNITS).astype(np.float32)
        bias.data = (bias.data - weights.data.astype(np.float64) @ MIDDLES).astype(np.float32)
    return b.model(b.dense(hidden, 3, NONE), signature=signature)
