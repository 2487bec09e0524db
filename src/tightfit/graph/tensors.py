"""Tensors and ops: what a graph links, with how a tensor is stored."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tightfit.errors import ModelError
from tightfit.types import Array

if TYPE_CHECKING:
    from tightfit.graph.ir import Graph

_serial = itertools.count()


@dataclass(frozen=True, eq=False)
class Quantization:
    """Quantization parameters: ``real = scale * (q - zero_point)``.

    Args:
        scale: float32, shape (1,) per tensor or (channels,) per channel.
        zero_point: int64, the same shape.
        axis: the channel axis when ``scale`` has more than one entry, else 0.
        range_min: the ``min`` that a converter recorded (informative), or None.
        range_max: the ``max`` that a converter recorded (informative), or None.
        details: ``(type name, fields)`` of non-affine details such as BlockwiseQuantization, or None.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int = 0
    range_min: npt.NDArray[np.float32] | None = None
    range_max: npt.NDArray[np.float32] | None = None
    details: tuple[str, dict[str, Any]] | None = None

    @property
    def is_affine(self) -> bool:
        """True when there are scales: a file may have only an informative min and max."""
        return self.scale.size > 0


@dataclass(frozen=True, eq=False)
class Sparsity:
    """The storage of a sparse constant; the tensor's ``data`` are the stored values, one-dimensional.

    Args:
        traversal_order: the order of the dimensions (blocks last).
        block_map: the dimension of the tensor that each block dimension divides.
        dimensions: for each traversed dimension ``("dense", size)`` or ``("csr", segments, indices)``.
    """

    traversal_order: tuple[int, ...]
    block_map: tuple[int, ...]
    dimensions: tuple[tuple[Any, ...], ...]


class Tensor:
    """A value in a graph: an activation, an input, a variable or a constant.

    Attributes:
        name: as in the file; not necessarily unique (``Graph.keys`` are).
        shape: int dimensions; ``shape_signature`` has −1 where a dimension is dynamic, or is None.
        dtype: the file's word in lower case: ``float32``, ``int8``, ``int4``, ``string`` …
        data: the constant as a NumPy array (int4/int2 unpacked to int8, bfloat16 as uint16, strings and
            resources as bytes), a view into the file until changed, or None. Constants that share memory
            share a buffer in the file.
        quantization: ``Quantization`` or None.
        sparsity: ``Sparsity`` or None; when set, ``data`` holds only the stored values.
        producer: the op that writes it, or None.
        consumers: (op, input position) pairs, in edit order.
    """

    __slots__ = (
        "consumers", "data", "dtype", "extra", "has_rank", "is_variable", "name", "producer",
        "quantization", "serial", "shape", "shape_signature", "sparsity",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the fields of the file's tensor table
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        data: Array | None = None,
        quantization: Quantization | None = None,
        *,
        sparsity: Sparsity | None = None,
        shape_signature: Sequence[int] | None = None,
        is_variable: bool = False,
        has_rank: bool = True,
    ) -> None:
        self.name = name
        self.shape = tuple(int(d) for d in shape)
        self.dtype = dtype
        self.data = data
        self.quantization = quantization
        self.sparsity = sparsity
        self.shape_signature = None if shape_signature is None else tuple(int(d) for d in shape_signature)
        self.is_variable = is_variable
        self.has_rank = has_rank
        self.extra: dict[str, Any] = {}
        self.producer: Op | None = None
        self.consumers: list[tuple[Op, int]] = []
        self.serial = next(_serial)

    @property
    def values(self) -> Array:
        """The array of a constant, as stored.

        Raises:
            ModelError: the tensor is computed.
        """
        if self.data is None:
            raise ModelError(f"Tensor '{self.name}' is computed; expected a constant.")
        return self.data

    @property
    def grid(self) -> Quantization:
        """The quantization of a quantized tensor.

        Raises:
            ModelError: it has none.
        """
        if self.quantization is None:
            raise ModelError(f"Tensor '{self.name}' has no scale; expected a quantized one.")
        return self.quantization

    @property
    def writer(self) -> Op:
        """The op that writes a computed tensor.

        Raises:
            ModelError: no op does.
        """
        if self.producer is None:
            raise ModelError(f"Tensor '{self.name}' is written by no op; expected a computed one.")
        return self.producer

    @property
    def is_constant(self) -> bool:
        """True when the value is stored in the file."""
        return self.data is not None

    @property
    def size(self) -> int:
        """Number of elements of the (dense) tensor."""
        return math.prod(self.shape)

    @property
    def is_quantized(self) -> bool:
        """True when the integers represent reals."""
        return self.quantization is not None and self.quantization.is_affine

    def parts(self) -> list[Tensor]:
        """Return the tensors that this one's quantization is stored in (blockwise scales)."""
        if self.quantization is None or self.quantization.details is None:
            return []
        return [v for v in self.quantization.details[1].values() if isinstance(v, Tensor)]

    def __repr__(self) -> str:
        kind = "const " if self.is_constant else ""
        return f"<{kind}{self.dtype}{list(self.shape)} '{self.name}'>"


class Op:
    """One operation: kind, options, inputs and outputs.

    Attributes:
        kind: the builtin operator's name (``CONV_2D``), or ``CUSTOM`` with ``custom_code``.
        options: the fields of its options table as plain values; ``options_type`` names the table.
        inputs: tensors, None where an optional input is absent.
        outputs: tensors.
        version: the op's version in the file (the writer takes the least that its use needs when 0).
    """

    __slots__ = (
        "custom_code", "custom_options", "extra", "graph", "inputs", "intermediates", "kind", "options",
        "options_type", "outputs", "version",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        options: dict[str, Any] | None = None,
        options_type: str | None = None,
        version: int = 0,
    ) -> None:
        self.kind = kind
        self.inputs: list[Tensor | None] = list(inputs)
        self.outputs: list[Tensor] = list(outputs)
        self.options: dict[str, Any] = options if options is not None else {}
        self.options_type = options_type
        self.version = version
        self.custom_code: str | None = None
        self.custom_options: bytes | None = None
        self.intermediates: list[Tensor] = []
        self.extra: dict[str, Any] = {}
        self.graph: Graph | None = None

    @property
    def name(self) -> str:
        """The op's name in reports: the name of its first output."""
        return self.outputs[0].name if self.outputs else self.kind

    @property
    def owner(self) -> Graph:
        """The graph that the op is in.

        Raises:
            ModelError: it is in none.
        """
        if self.graph is None:
            raise ModelError(f"{self.kind} '{self.name}' is in no graph; expected an op of one.")
        return self.graph

    def input(self, position: int) -> Tensor | None:
        """Return the tensor at an input, None when absent (trailing optional inputs may be missing)."""
        return self.inputs[position] if position < len(self.inputs) else None

    def operand(self, position: int) -> Tensor:
        """Return the tensor at an input position that must be there.

        Raises:
            ModelError: it is absent.
        """
        tensor = self.input(position)
        if tensor is None:
            raise ModelError(
                f"{self.kind} '{self.name}' lacks its input {position}; expected a tensor there."
            )
        return tensor

    def __repr__(self) -> str:
        return f"<{self.kind} '{self.name}'>"
