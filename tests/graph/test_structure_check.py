"""Hostile files: whatever the bytes, reading gives a model or a ModelError, soon, and in little memory."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import flatbuffers  # noqa: TID251 - crafts files that no writer writes
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - likewise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import models, places
from support.odd_models import ODD_MODELS, sparse_model
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize

LONGEST_S = 10.0  # a hostile file of 100 kB takes some 100 ms on a busy machine; a bomb would take minutes
SHARED = places.SHARED / "models" / "nmp.tflite"
LITTLE = {name: serialize(build()) for name, build in ODD_MODELS.items()}
NET = serialize(models.two_inputs_net())


def outcome(data: bytes) -> Model | None:
    """The model, or None for a refusal; any other exception or a long wait fails the test."""
    start = time.perf_counter()
    try:
        return read_model(data)
    except ModelError:
        return None
    finally:
        assert time.perf_counter() - start < LONGEST_S


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0" * 64, b"PK\x03\x04" * 20, b"\x1c\0\0\0TFL3" + b"\xff" * 64]
)
def test_what_is_no_model_is_refused(data: bytes):
    with pytest.raises(ModelError, match=r"Cannot read the given bytes: .*Expected a \.tflite model"):
        read_model(data)


def test_the_identifier_is_asked_for_by_name():
    with pytest.raises(ModelError, match="lacks the identifier TFL3 at byte 4"):
        read_model(b"\x08\0\0\0TFL2" + NET[8:])


def test_a_file_cut_off_at_any_byte_is_refused_or_whole():
    data = LITTLE["metadata_model"]
    assert outcome(data) is not None
    refused = sum(outcome(data[:size]) is None for size in range(len(data)))
    assert refused > len(data) * 0.9


def test_a_file_cut_off_is_refused_with_its_size():
    with pytest.raises(ModelError, match=rf"an offset points to byte \d+ of {len(NET) // 2}"):
        read_model(NET[: len(NET) // 2])


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="../shared/models is absent")
def test_a_real_file_cut_off_is_refused():
    data = SHARED.read_bytes()
    for size in range(0, len(data), len(data) // 50):
        assert outcome(data[:size]) is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*LITTLE.values(), NET]),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_give_a_model_or_a_refusal(data: bytes, changes: list[tuple[int, int]]):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    model = outcome(bytes(damaged))
    if model is not None:
        model.validate()
    assert model is None or model.graphs


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*LITTLE.values(), NET]), st.integers(0), st.integers(0, 2**32 - 1))
def test_changed_offsets_give_a_model_or_a_refusal(data: bytes, place: int, value: int):
    damaged = bytearray(data)
    at = place % (len(damaged) - 4) // 4 * 4
    damaged[at : at + 4] = value.to_bytes(4, "little")
    model = outcome(bytes(damaged))
    assert model is None or model.graphs


# -- bombs: tables that overlap, so that few bytes would become many objects -------------------------


class Shared:
    """Stands for an object-API table that is packed once, however often it is named."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.place: int | None = None

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the object API's name
        if self.place is None:
            self.place = self.table.Pack(builder)
        return self.place


class SharingBuilder(flatbuffers.Builder):
    """Packs a long string once, however often it is named."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.places: dict[bytes, int] = {}

    def CreateString(self, text: bytes, *rest: Any) -> int:  # noqa: N802 - the builder's name
        if len(text) < 1000:
            return int(super().CreateString(text, *rest))
        if text not in self.places:
            self.places[text] = super().CreateString(text, *rest)
        return self.places[text]


def bomb(change: Any) -> bytes:
    table = schema.ModelT.InitFromPackedBuf(NET, 0)
    change(table)
    builder = SharingBuilder()
    builder.Finish(table.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def many_tensors(table: Any) -> None:
    tensor = Shared(schema.TensorT(shape=np.ones(5000, np.int32), name=b"t"))
    table.subgraphs[0].tensors += [tensor] * 20_000


def many_operators(table: Any) -> None:
    table.subgraphs[0].operators += [Shared(schema.OperatorT(inputs=[0] * 1000, outputs=[]))] * 20_000


def tiny_tables(table: Any) -> None:
    table.subgraphs[0].tensors += [Shared(schema.TensorT())] * 50_000


def long_names(table: Any) -> None:
    name = b"n" * 100_000
    table.subgraphs[0].tensors += [schema.TensorT(name=name) for _ in range(500)]


def long_options(table: Any) -> None:
    name = b"n" * 100_000
    options = schema.VarHandleOptionsT(sharedName=name)
    code = schema.BuiltinOptions.VarHandleOptions
    table.subgraphs[0].operators += [
        schema.OperatorT(inputs=[], outputs=[], builtinOptionsType=code, builtinOptions=options)
        for _ in range(500)
    ]


def long_custom_codes(table: Any) -> None:
    # One operator code with a long name, and thousands of ops that use it: legal, and cheap when read once.
    table.operatorCodes.append(schema.OperatorCodeT(32, b"c" * 100_000, 1, 32))
    index = len(table.operatorCodes) - 1
    table.subgraphs[0].operators += [schema.OperatorT(index, [], []) for _ in range(500)]


def much_metadata(table: Any) -> None:
    table.buffers.append(schema.BufferT(np.zeros(200_000, np.uint8)))
    index = len(table.buffers) - 1
    table.metadata = [schema.MetadataT(f"{i}".encode(), index) for i in range(500)]


def overlapping_buffers(table: Any) -> None:
    table.buffers.append(schema.BufferT(np.zeros(400_000, np.uint8)))
    for i in range(1000):
        table.buffers.append(schema.BufferT(None, 1000 + i, 300_000))
        shape = np.array([600_000], np.int32)
        table.subgraphs[0].tensors.append(schema.TensorT(shape, 17, len(table.buffers) - 1, b"t"))


@pytest.mark.parametrize(
    "change",
    [
        many_tensors, many_operators, tiny_tables, long_names, long_options, long_custom_codes,
        much_metadata, overlapping_buffers,
    ],
)  # fmt: skip
def test_overlapping_tables_do_not_expand(change: Any):
    data = bomb(change)
    tracemalloc.start()
    try:
        outcome(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60 * len(data) + 5_000_000


@pytest.mark.parametrize(
    "change", [many_tensors, many_operators, tiny_tables, long_names, long_options, overlapping_buffers]
)
def test_overlapping_tables_are_refused_as_such(change: Any):
    with pytest.raises(ModelError, match=r"overlap so often that (it|they) would expand without bound"):
        read_model(bomb(change))


def test_an_op_that_reads_one_tensor_very_often_is_checked_in_linear_time():
    def change(table: Any) -> None:
        table.subgraphs[0].operators[0].inputs = np.zeros(100_000, np.int32)

    assert outcome(bomb(change)) is not None


def test_damaged_sparse_indices_are_refused():
    table = schema.ModelT.InitFromPackedBuf(serialize(sparse_model()), 0)
    for tensor in table.subgraphs[0].tensors:
        if tensor.sparsity is not None:
            tensor.sparsity.dimMetadata[1].arraySegments = None
            tensor.sparsity.dimMetadata[1].arraySegmentsType = 0
    builder = flatbuffers.Builder(1024)
    builder.Finish(table.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(ModelError, match="its tables are damaged"):
        read_model(bytes(builder.Output()))
