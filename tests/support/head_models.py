"""Small networks whose outputs join parts of different units, as detectors and sensor models have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from support.models import NONE, RELU, RELU6, Builder
from tightfit.graph.ir import Model, Tensor

Array = npt.NDArray[Any]
PLAIN = {"fusedActivationFunction": NONE}


@dataclass(frozen=True)
class HeadPart:
    """One part of a joined output.

    Args:
        entries: how many. activation: ``LOGISTIC``, ``TANH``, ``SOFTMAX`` or ``""``.
        scale, offset: what the part is multiplied by, and what is added then. bias: of its layer.
    """

    entries: int
    activation: str = ""
    scale: float = 1.0
    offset: float = 0.0
    bias: float = 0.0


def head_model(parts: Sequence[HeadPart], *, axis: int = -1, seed: int = 0, dense: bool = False) -> Model:
    """Return an image network whose output joins the parts along an axis: the last, or 1 as YOLOv8 has it.

    Args:
        dense: the parts follow global pooling instead of each position.
    """
    b = Builder(seed=seed)
    trunk = b.conv(
        b.conv(b.input("image", [1, 16, 16, 3]), 12, stride=2, activation=RELU6), 16, activation=RELU6
    )
    if dense:
        trunk = b.dense(b.mean(trunk), 24, RELU)
    made = [_part(b, trunk, part, dense=dense) for part in parts]
    if axis == 1 and not dense:
        order = b.constant("order", [0, 2, 1], "int32")
        made = [
            b.op("TRANSPOSE", [t, order], [1, t.shape[2], t.shape[1]], table="TransposeOptions") for t in made
        ]
    place = axis % len(made[0].shape)
    shape = list(made[0].shape)
    shape[place] = sum(t.shape[place] for t in made)
    options = {"axis": axis, "fusedActivationFunction": NONE}
    return b.model(
        b.op("CONCATENATION", made, shape, name="joined", table="ConcatenationOptions", options=options)
    )


def _part(b: Builder, x: Tensor, part: HeadPart, *, dense: bool) -> Tensor:
    y = b.dense(x, part.entries) if dense else b.conv(x, part.entries, kernel=1, activation=NONE)
    layer = y.producer
    assert layer is not None
    bias = layer.inputs[2]
    assert bias is not None
    bias.data = np.asarray(bias.data * np.float32(0.1) + np.float32(part.bias), np.float32)
    if part.activation:
        tables = {"SOFTMAX": "SoftmaxOptions"}
        beta = {"beta": 1.0} if part.activation == "SOFTMAX" else {}
        y = b.op(part.activation, [y], y.shape, table=tables.get(part.activation), options=beta)
    if part.scale != 1.0:
        y = b.op(
            "MUL", [y, b.constant("scale", part.scale, "float32")], y.shape, table="MulOptions", options=PLAIN
        )
    if part.offset:
        y = b.op(
            "ADD",
            [y, b.constant("offset", part.offset, "float32")],
            y.shape,
            table="AddOptions",
            options=PLAIN,
        )
    if dense:
        return y
    shape = [1, y.shape[1] * y.shape[2], y.shape[3]]
    new = b.constant("shape", shape, "int32")
    return b.op("RESHAPE", [y, new], shape, table="ReshapeOptions", options={"newShape": shape})


def images(count: int = 48, seed: int = 3) -> Callable[[], Iterator[dict[str, Array]]]:
    """Return a function that starts images of blobs anew; noise alone looks the same to every network."""

    def samples() -> Iterator[dict[str, Array]]:
        random = np.random.default_rng(seed)
        for _ in range(count):
            coarse = random.uniform(0, 1, (4, 4, 3))
            image = np.kron(coarse, np.ones((4, 4, 1))) + random.normal(0, 0.05, (16, 16, 3))
            yield {"image": image[None].astype(np.float32)}

    return samples
