"""What one sample is, and what a model's input takes.

``InputSpec`` is what a model takes, ``DataRecord`` what a source holds, ``Sample`` a record that was
checked against the specs. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from tightfit.types import Array

Label = int | str | Array

WEIGHT: Final = "sample_weight"
"""Name of the label that is the weight of its sample in a training."""


class TensorLike(Protocol):
    """Anything that describes a model's input or output, such as the runtime's ``TensorSpec``."""

    @property
    def name(self) -> str: ...  # noqa: D102 - the fields are those of InputSpec
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102 - see InputSpec
    @property
    def dtype(self) -> str: ...  # noqa: D102 - see InputSpec
    @property
    def scale(self) -> float | None: ...  # noqa: D102 - see InputSpec
    @property
    def zero_point(self) -> int | None: ...  # noqa: D102 - see InputSpec


@dataclass(frozen=True)
class InputSpec:
    """What one input of a model takes.

    Args:
        name: the signature's name for it, or the tensor's.
        shape: with the batch dimension; -1 where a dimension is free.
        dtype: ``float32``, ``int8`` …
        scale: of a quantized input, real = scale · (q - zero_point); None or 0 when it is not quantized.
        zero_point: of a quantized input.

    Example:
        >>> InputSpec("x", (1, 224, 224, 3), "float32").sample_shape
        (224, 224, 3)
        >>> InputSpec("waveform", (15600,), "float32").sample_shape
        (15600,)
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    @classmethod
    def of(cls, spec: TensorLike) -> InputSpec:
        """The same facts about an input, taken from whatever describes it.

        A ``shape_signature``, where there is one, has −1 for free dimensions.
        """
        shape = tuple(int(d) for d in getattr(spec, "shape_signature", ()) or spec.shape)
        return cls(spec.name, shape, str(spec.dtype), spec.scale, spec.zero_point)

    @property
    def has_batch(self) -> bool:
        """True when the first dimension can be a batch of one: it is 1 or free."""
        return bool(self.shape) and self.shape[0] in (1, -1)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch dimension."""
        return self.shape[1:] if self.has_batch else self.shape

    @property
    def is_quantized(self) -> bool:
        """True when integers stand for reals in this input."""
        return bool(self.scale)


class DataRecord(NamedTuple):
    """One sample as a source holds it, not yet checked: position, name, inputs, label, named labels."""

    position: int
    name: str
    inputs: dict[str, Array]
    label: Any = None
    labels: Mapping[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Sample:
    """One checked sample.

    Args:
        inputs: input name → array with a batch dimension of one. Inputs of a quantized model are held as
            float32 reals; ``adapt.adapt_inputs`` makes the integers that a model takes.
        label: a class as int, text, anything else as an array (a real number has shape ()), or None.
        index: its position in the data.
        name: what messages call it.
        labels: labels with names, those of a model's outputs or ``boxes`` and ``classes``.
        undivided: the inputs as the data has them, where ``inputs`` holds pieces of them; see
            ``divided_inputs``.
    """

    inputs: dict[str, Array]
    label: Label | None = None
    index: int = 0
    name: str = field(default="")
    labels: Mapping[str, Label] = field(default_factory=dict)
    undivided: Mapping[str, Array] | None = None

    @property
    def whole(self) -> Mapping[str, Array]:
        """The inputs as the data has them."""
        return self.inputs if self.undivided is None else self.undivided


def fit_shape(array: Array, spec: InputSpec) -> Array | None:
    """The array as one sample with its batch dimension, or None when the shape is wrong.

    Taken are the sample's shape, the same behind a batch of one, and shapes that differ from these only by
    dimensions of one (28x28 for 28x28x1): the order of the elements is the same in all of them.

    Example:
        >>> fit_shape(np.zeros((28, 28)), InputSpec("x", (1, 28, 28, 1), "float32")).shape
        (1, 28, 28, 1)
        >>> fit_shape(np.zeros((28, 27)), InputSpec("x", (1, 28, 28, 1), "float32")) is None
        True
    """
    want = spec.sample_shape
    lead = (1,) if spec.has_batch else ()
    if _matches(array.shape, want):
        return array.reshape(lead + array.shape)
    if array.shape[:1] == (1,) and _matches(array.shape[1:], want):
        return array.reshape(lead + array.shape[1:])
    if -1 not in want and _without_ones(array.shape) == _without_ones(want):
        return array.reshape(lead + want)
    return None


def _matches(shape: tuple[int, ...], want: tuple[int, ...]) -> bool:
    return len(shape) == len(want) and all(w in (-1, d) for d, w in zip(shape, want, strict=True))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d for d in shape if d != 1)


def shape_text(shape: tuple[int, ...]) -> str:
    """The shape as people write it.

    Example:
        >>> shape_text((224, 224, 3)), shape_text(()), shape_text((-1, 3))
        ('224x224x3', 'one number', '?x3')
    """
    return "x".join("?" if d < 0 else str(d) for d in shape) or "one number"


def label_of(value: Any) -> Label | None:
    """A label as ``Sample`` holds it: a whole number as int, anything else as an array.

    Example:
        >>> label_of(np.array([3])), label_of(True), label_of(None)
        (3, 1, None)
        >>> label_of([0.5, 2.0])
        array([0.5, 2. ])
    """
    if value is None:
        return None
    if isinstance(value, str | np.str_) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1
    ):
        return str(np.asarray(value).reshape(())[()])
    array = np.asarray(value)
    if array.size != 1:
        return array
    return int(array.reshape(())) if array.dtype.kind in "iub" else array.reshape(())
