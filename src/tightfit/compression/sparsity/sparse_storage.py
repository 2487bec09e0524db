"""Store weights sparse: choose the constants and the form, and add DENSIFY where a reader needs dense values.

LiteRT unpacks a sparse constant with a DENSIFY when it loads the model. A FULLY_CONNECTED whose kernel skips
empty blocks reads it directly. The table of ops that may follow a DENSIFY lists what ran on LiteRT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.compression.sparsity.sparse_encoding import (
    SparseForm,
    block_share,
    encode,
    encoded_bytes,
    find_form,
)
from tightfit.compression.sparsity.sparse_encoding import smallest_form as smallest
from tightfit.graph.ir import Graph, Model, Op, Sparsity, Tensor
from tightfit.types import Array

SMALLEST: Final = 256
"""Constants of fewer bytes remain dense: the tables of a sparse one would take as many."""

_FED_FORMS: Final = {"float32": "1x4 blocks", "int8": "1x16 blocks"}
_FED_SHARE: Final = 0.5
_FED_BYTES: Final = 1.25
"""A form that a kernel reads directly is faster; it may take this many times the bytes of the smallest."""
_DENSIFIED: Final = {
    "CONV_2D": (("float32", "float32"), ("int8", "int8")),
    "DEPTHWISE_CONV_2D": (("float32", "float32"), ("int8", "int8")),
    "DEQUANTIZE": (("float16", "float16"), ("int8", "int8")),
    "FULLY_CONNECTED": (("float32", "float32"),),
}
"""Op kind → types of (data, weights) that it accepts after a DENSIFY under XNNPACK, as run on LiteRT 2.3.

Other types fail to allocate (int8 FULLY_CONNECTED, float data with int8 weights) or were never run."""


@dataclass(frozen=True)
class StoredLayer:
    """How one constant is stored.

    Args:
        name: the tensor's name.
        form: name of the sparse form, or ``dense``.
        zeros: fraction of zeros, 0–1.
        dense_bytes: size in bytes as a dense constant.
        stored_bytes: size in bytes as stored.
        fed: True when the op reads the sparse constant without a DENSIFY.
        integer: True for integer weights.
        reason: why it is dense although a sparse form would be smaller; empty otherwise.
    """

    name: str
    form: str
    zeros: float
    dense_bytes: int
    stored_bytes: int
    fed: bool = False
    integer: bool = False
    reason: str = ""


def store_sparse(
    model: Model, *, feed: bool = True, leave: frozenset[str] = frozenset()
) -> list[StoredLayer]:
    """Store each weight of a model in the smallest form that its readers accept; edit the model in place.

    Args:
        model: the model to edit.
        feed: let FULLY_CONNECTED of one row read 1x4 (float32) and 1x16 (int8) blocks without a DENSIFY.
        leave: kinds of ops whose constants remain dense.

    Returns:
        How each constant with enough zeros for a smaller form is stored.
    """
    return [layer for graph in model.graphs for layer in _Storing(graph, feed, leave).run()]


class _Storing:
    """The edit of one graph; constants that share memory share the sparse memory too."""

    def __init__(self, graph: Graph, feed: bool, leave: frozenset[str]) -> None:
        self.graph, self.feed, self.leave = graph, feed, leave
        self.made: dict[tuple[int, tuple[int, ...], str], tuple[Array, Sparsity]] = {}

    def run(self) -> list[StoredLayer]:
        found = [self.store(tensor) for tensor in self.graph.tensors() if _is_candidate(tensor)]
        return [layer for layer in found if layer is not None]

    def store(self, tensor: Tensor) -> StoredLayer | None:
        values = tensor.values
        form = smallest(values)
        if form is None:
            return None
        fed = self.fed_form(tensor, values)
        if fed is not None and encoded_bytes(values, fed) > _FED_BYTES * encoded_bytes(values, form):
            fed = None
        reason = "" if fed is not None else self.refusal(tensor)
        zeros = 1.0 - block_share(values, find_form("unstructured"))
        if reason:
            return StoredLayer(tensor.name, "dense", zeros, values.nbytes, values.nbytes, reason=reason)
        chosen = fed or form
        size = encoded_bytes(values, chosen)
        self.replace(tensor, values, chosen, densify=fed is None)
        return StoredLayer(
            tensor.name, chosen.name, zeros, values.nbytes, size, fed is not None, tensor.dtype == "int8"
        )

    def fed_form(self, tensor: Tensor, values: Array) -> SparseForm | None:
        """Return the form that every reader's kernel reads directly, skipping empty blocks, or None."""
        if not self.feed or tensor.dtype not in _FED_FORMS or values.ndim != 2:
            return None
        form = find_form(_FED_FORMS[tensor.dtype])
        reads = all(_reads_one_row(op, tensor, values) for op, _ in tensor.consumers)
        if not reads or not form.fits(values.shape) or block_share(values, form) > _FED_SHARE:
            return None
        return form

    def refusal(self, tensor: Tensor) -> str:
        """Return why the constant cannot be stored behind a DENSIFY, empty when it can."""
        for op, _ in tensor.consumers:
            if op.kind in self.leave:
                return f"{op.kind} did not run with it"
            data = op.input(0)
            types = ("" if data is None else data.dtype, tensor.dtype)
            if types not in _DENSIFIED.get(op.kind, ()):
                return f"LiteRT does not run {op.kind} with {tensor.dtype} weights behind DENSIFY"
        return ""

    def replace(self, tensor: Tensor, values: Array, form: SparseForm, *, densify: bool) -> None:
        key = (values.__array_interface__["data"][0], values.shape, form.name)
        if key not in self.made:
            self.made[key] = encode(values, form)
        stored, sparsity = self.made[key]
        if not densify:
            tensor.data, tensor.sparsity = stored, sparsity
            for op, _ in tensor.consumers:
                op.version = 0
            return
        source = Tensor(
            f"{tensor.name}_sparse", tensor.shape, tensor.dtype, stored, tensor.quantization,
            sparsity=sparsity,
        )  # fmt: skip
        tensor.data = None
        self.graph.insert(self.first_reader(tensor), Op("DENSIFY", [source], [tensor], {}, "DensifyOptions"))

    def first_reader(self, tensor: Tensor) -> int:
        readers = {id(op) for op, _ in tensor.consumers}
        return next(i for i, op in enumerate(self.graph.ops) if id(op) in readers)


def _is_candidate(tensor: Tensor) -> bool:
    """Whether a tensor is a dense, symmetric constant that ops read and that may be stored sparse."""
    data, scales = tensor.data, tensor.quantization
    if data is None or data.nbytes < SMALLEST or tensor.sparsity is not None or tensor.is_variable:
        return False
    symmetric = scales is None or (scales.details is None and not scales.zero_point.any())
    return bool(symmetric and tensor.consumers and tensor.dtype in ("float32", "float16", "int8"))


def _reads_one_row(op: Op, tensor: Tensor, values: Array) -> bool:
    """True for a FULLY_CONNECTED of one row whose data has the weights' type."""
    data = op.input(0)
    fits = op.kind == "FULLY_CONNECTED" and op.input(1) is tensor and data is not None
    return fits and data is not None and data.dtype == tensor.dtype and data.size == values.shape[1]
