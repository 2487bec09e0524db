"""Put DECODE operators into a model: constants are stored small and expanded where they are read.

Source: tflite-micro, ``tensorflow/lite/micro/compression/decode_insert.py``: one DECODE directly before each
reader, because memory beside the arena is only kept until the next op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.compression.decoding.encoded_weight import EncodedWeight, channel_axis
from tightfit.compression.decoding.huffman_encoding import DTYPES as HUFFMAN_TYPES
from tightfit.compression.decoding.huffman_encoding import encode_huffman
from tightfit.compression.decoding.lookup_encoding import DTYPES as LOOKUP_TYPES
from tightfit.compression.decoding.lookup_encoding import encode_lookup
from tightfit.compression.decoding.pruned_encoding import DTYPES as PRUNED_TYPES
from tightfit.compression.decoding.pruned_encoding import encode_pruned
from tightfit.compression.decoding.shared_code import share_code
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor

CUSTOM_CODE: Final = "TFLM_DECODE"


@dataclass(frozen=True)
class DecodeForm:
    """One form of storage.

    Args:
        title: for people.
        dtypes: of the constants that DECODE expands from it.
        encode: gives the form.
    """

    title: str
    dtypes: frozenset[str]
    encode: Callable[[Tensor], EncodedWeight | None]


FORMS: Final[dict[str, DecodeForm]] = {
    "lookup": DecodeForm("look-up tables", LOOKUP_TYPES, encode_lookup),
    "pruned": DecodeForm("a mask and the other values", PRUNED_TYPES, encode_pruned),
    "huffman": DecodeForm("Huffman codes", HUFFMAN_TYPES, encode_huffman),
}
"""Name → form."""

READ_EARLY: Final = frozenset(
    {
        ("PAD", 1), ("PADV2", 1), ("TRANSPOSE", 1), ("STRIDED_SLICE", 1), ("STRIDED_SLICE", 2),
        ("STRIDED_SLICE", 3), ("EXPAND_DIMS", 1), ("FILL", 0), ("BROADCAST_TO", 1), ("SPLIT", 0),
        ("SPLIT_V", 1), ("SPLIT_V", 2), ("RESIZE_BILINEAR", 1), ("RESIZE_NEAREST_NEIGHBOR", 1),
        ("RESHAPE", 1), ("MEAN", 1), ("SUM", 1), ("REDUCE_MAX", 1), ("REDUCE_MIN", 1),
        ("TRANSPOSE_CONV", 0), ("SPACE_TO_BATCH_ND", 1), ("SPACE_TO_BATCH_ND", 2),
        ("BATCH_TO_SPACE_ND", 1), ("BATCH_TO_SPACE_ND", 2), ("ARG_MAX", 1), ("ARG_MIN", 1),
    }
)  # fmt: skip
"""(op, input) that its kernel reads before the first call, when DECODE has not run. Source: its kernel."""
_WHOLE: Final = frozenset({"CUSTOM", "CALL_ONCE", "IF", "WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF"})
"""Ops whose constants stay as they are: their kernels keep pointers or prepare data from weights."""


@dataclass(frozen=True)
class StoredWeight:
    """One constant in its new form.

    Args:
        name: the tensor's.
        form: name in ``FORMS``.
        before: bytes as a plain constant.
        after: bytes of the encoded values, without tables, which several may share.
    """

    name: str
    form: str
    before: int
    after: int


def store_encoded(model: Model, forms: Sequence[str] = tuple(FORMS)) -> tuple[Model, list[StoredWeight]]:
    """Return a copy of a model with each constant in the smallest of some forms, or as it was.

    Args:
        model: a quantized or float model; it is not changed.
        forms: names in ``FORMS`` to choose from.

    Returns:
        The copy, and what was stored in another form.
    """
    changed = copy_model(model)
    chosen = _choose([t for graph in changed.graphs for t in graph.tensors() if _may_be_encoded(t)], forms)
    stored: list[StoredWeight] = []
    for graph in changed.graphs:
        for tensor in graph.tensors():
            found = chosen.get(tensor)
            if found is not None:
                _insert(graph, tensor, found)
                stored.append(StoredWeight(tensor.name, found.form, tensor.values.nbytes, len(found.values)))
    for graph in changed.graphs:
        _join(graph)
        graph.drop_loose()
    return changed, stored


def _choose(tensors: Sequence[Tensor], forms: Sequence[str]) -> dict[Tensor, EncodedWeight]:
    """The form of each constant that gets one; those that share memory are encoded once."""
    groups: dict[tuple[int, str, str], list[Tensor]] = {}
    for tensor in tensors:
        q = tensor.quantization
        channels = "" if q is None else f"{q.axis} {q.scale.size} {q.zero_point.tolist()}"
        place = tensor.values.__array_interface__["data"][0]
        groups.setdefault((place, f"{tensor.dtype}{tensor.shape}", channels), []).append(tensor)
    own = {group[0]: smallest(group[0], forms) for group in groups.values()}
    if "huffman" in forms:
        sharing = [t for t in own if t.dtype == "int8" and _has_channels(t)]
        own |= share_code(sharing, own)
    return {t: found for group in groups.values() if (found := own[group[0]]) is not None for t in group}


def _has_channels(tensor: Tensor) -> bool:
    try:
        channel_axis(tensor)
    except ValueError:
        return False
    return True


def _may_be_encoded(tensor: Tensor) -> bool:
    if tensor.data is None or tensor.sparsity is not None or tensor.is_variable or not tensor.consumers:
        return False
    for op, position in tensor.consumers:
        if op.kind in _WHOLE or (op.kind, position) in READ_EARLY:
            return False
        if op.graph is None or tensor in op.graph.outputs:
            return False
    return True


def smallest(tensor: Tensor, forms: Sequence[str] = tuple(FORMS)) -> EncodedWeight | None:
    """Return the smallest form of a constant, None where none is smaller than the constant itself."""
    if not _has_channels(tensor):
        return None
    found = [FORMS[name].encode(tensor) for name in forms if tensor.dtype in FORMS[name].dtypes]
    sizes = [e for e in found if e is not None and e.size_bytes < tensor.values.nbytes]
    return min(sizes, key=lambda e: e.size_bytes, default=None)


def _insert(graph: Graph, tensor: Tensor, found: EncodedWeight) -> None:
    """A DECODE before each op that reads the constant."""
    values = _bytes_tensor(tensor.name, found.values)  # equal bytes objects share a buffer in the file
    ancillary = _bytes_tensor(f"{tensor.name}_ancillary", found.ancillary)
    readers: dict[int, tuple[Op, list[int]]] = {}
    for op, position in tensor.consumers:
        readers.setdefault(id(op), (op, []))[1].append(position)
    for op, positions in readers.values():
        expanded = Tensor(f"{tensor.name}_decoded", tensor.shape, tensor.dtype, None, tensor.quantization)
        decode = Op("CUSTOM", [values, ancillary], [expanded], version=1)
        decode.custom_code = CUSTOM_CODE
        graph.insert_before(op, decode)
        for position in positions:
            graph.set_input(op, position, expanded)


def _bytes_tensor(name: str, data: bytes) -> Tensor:
    array = np.frombuffer(data, np.uint8)
    return Tensor(name, array.shape, "uint8", array)


def _join(graph: Graph) -> None:
    """Makes one DECODE of several that stand before one op: memory beside the arena is kept that long."""
    for op in list(graph.ops):
        before: list[Op] = []
        for previous in reversed(graph.ops[: graph.ops.index(op)]):
            if previous.custom_code != CUSTOM_CODE:
                break
            before.insert(0, previous)
        if op.custom_code == CUSTOM_CODE or len(before) < 2:
            continue
        inputs = [t for decode in before for t in decode.inputs]
        outputs = [t for decode in before for t in decode.outputs]
        for decode in before:
            graph.remove(decode)
        joined = Op("CUSTOM", inputs, outputs, version=1)
        joined.custom_code = CUSTOM_CODE
        graph.insert_before(op, joined)
