"""How ONNX values are held while a graph is translated: constants as NumPy arrays, the rest as traced arrays.

ONNX puts channels first, ``.tflite`` last. An image stays channel-last from its first convolution on as
``ChannelLast``, and only an op that needs the written order brings it back: that is where a TRANSPOSE stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import jax.numpy as jnp
import numpy as np

from tightfit.errors import ModelError


class ChannelLast:
    """An image or sequence (N, C, …) whose array is stored as (N, …, C).

    Attributes:
        array: the stored array.
        shape: the shape that ONNX knows.
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = (array.shape[0], array.shape[-1], *array.shape[1:-1])
        self.ndim = array.ndim
        self.dtype = array.dtype

    def logical(self) -> Any:
        """The array in ONNX's order; a reshape where every spatial size is 1."""
        if all(size == 1 for size in self.array.shape[1:-1]):
            return self.array.reshape(self.shape)
        return jnp.transpose(self.array, (0, self.ndim - 1, *range(1, self.ndim - 1)))

    def stored_axis(self, axis: int) -> int:
        """Where a dimension of ONNX's order is stored."""
        axis %= self.ndim
        return axis if axis == 0 else self.ndim - 1 if axis == 1 else axis - 1


def logical(value: Any) -> Any:
    """Return a value in ONNX's order."""
    return value.logical() if isinstance(value, ChannelLast) else value


def channel_last(value: Any, ndim: int | None = None) -> Any:
    """Return the array of a value with the channels last; fewer dimensions broadcast as ONNX aligns them."""
    if isinstance(value, ChannelLast):
        return value.array
    rank = value.ndim if ndim is None else ndim
    if value.ndim == 0:
        return value
    xp = np if isinstance(value, np.ndarray) else jnp
    full = value.reshape((1,) * (rank - value.ndim) + tuple(value.shape))
    moved = (0, *range(2, rank), 1)
    if all(size == 1 for size in full.shape[2:]) or full.shape[1] == 1 == rank - 2:
        return full.reshape(tuple(full.shape[i] for i in moved))
    return xp.transpose(full, moved)


class Layout(Enum):
    """What a row does with a channel-last value.

    LOGICAL: gets ONNX's order. ELEMENTWISE: computes in whatever order its inputs are in. STORED: gets the
    first input channel-last and gives images. AXES: works on the stored order through ``OnnxNode.axis``.
    """

    LOGICAL = "logical"
    ELEMENTWISE = "elementwise"
    STORED = "stored"
    AXES = "axes"


@dataclass(frozen=True)
class OnnxOp:
    """One row of the table: how an ONNX op is written in JAX.

    Args:
        function: ``(node, *inputs)`` to one array or a tuple; absent optional inputs are None.
        layout: see ``Layout``.
        note: what is not covered, for the documentation.
    """

    function: Callable[..., Any]
    layout: Layout = Layout.LOGICAL
    note: str = ""


class OnnxNode:
    """The node as a row's function reads it.

    Attributes:
        kind, name, opset: of the node. attributes: name → plain value. outputs: how many are wanted.
        xp: ``numpy`` when every input is a constant, else ``jax.numpy``.
        image: the channel-last value that ``axis`` speaks of, or None.
        read: for each output, whether something reads it.
        fuses: whether a recurrent layer may become one op.
        loops: whether a long one may become loops.
    """

    def __init__(self, kind: str, name: str, opset: int, attributes: dict[str, Any], outputs: int) -> None:
        self.kind, self.name, self.opset = kind, name, opset
        self.attributes = attributes
        self.outputs = outputs
        self.xp: Any = np
        self.image: ChannelLast | None = None
        self.read: tuple[bool, ...] = (True,) * outputs
        self.fuses = self.loops = False

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default."""
        return self.attributes.get(name, default)

    def axis(self, axis: int, ndim: int) -> int:
        """The stored place of a dimension of ONNX's order."""
        if self.image is not None:
            return self.image.stored_axis(axis)
        return axis % ndim

    def refuse(self, why: str) -> ModelError:
        """The error for a use of the op that is not covered."""
        return ModelError(f"The ONNX op {self.kind} '{self.name}' {why}.")

    def constant(self, value: Any, what: str) -> np.ndarray[Any, Any]:
        """The value of an input that must be known beforehand.

        Raises:
            ModelError: it is computed at run time.
        """
        if isinstance(value, np.ndarray | np.generic):
            return np.asarray(value)
        raise self.refuse(f"computes its {what} at run time; a .tflite needs it as a constant")

    def numbers(self, name: str, value: Any) -> list[int] | None:
        """Integers that are an attribute in old opsets and an input in new ones, or None."""
        if value is not None:
            return [int(v) for v in self.constant(value, name).reshape(-1)]
        given = self.get(name)
        return None if given is None else [int(v) for v in given]
