from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightfit.graph.format.storage import ITEM_TYPES, PACKED_BITS, pack, unpack
from tightfit.graph.format.table_fields import enum_names

RANGES = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1)}


def packed_values():
    return st.sampled_from(sorted(RANGES)).flatmap(
        lambda dtype: st.tuples(st.just(dtype), st.lists(st.integers(*RANGES[dtype]), max_size=33))
    )


@settings(deadline=None)
@given(packed_values())
def test_packing_and_unpacking_gives_the_values_back(case: tuple[str, list[int]]):
    dtype, values = case
    raw = pack(np.array(values, ITEM_TYPES[dtype]), dtype)
    assert raw.nbytes == -(-len(values) * PACKED_BITS[dtype] // 8)
    unpacked = unpack(raw, dtype)
    assert unpacked.dtype == ITEM_TYPES[dtype]
    assert unpacked[: len(values)].tolist() == values
    assert not unpacked[len(values) :].any()


@settings(deadline=None)
@given(st.binary(max_size=20), st.sampled_from(sorted(RANGES)))
def test_unpacking_and_packing_gives_the_bytes_back(raw: bytes, dtype: str):
    assert pack(unpack(np.frombuffer(raw, np.uint8), dtype), dtype).tobytes() == raw


@pytest.mark.parametrize(
    ("dtype", "raw", "values"),
    [
        ("int4", 0x8F, [-1, -8]),  # low half first
        ("uint4", 0x8F, [15, 8]),
        ("int2", 0b10_01_11_00, [0, -1, 1, -2]),  # low pair first
    ],
)
def test_the_low_bits_come_first(dtype: str, raw: int, values: list[int]):
    assert unpack(np.array([raw], np.uint8), dtype).tolist() == values


def test_every_type_of_the_schema_is_a_number_or_known_to_be_bytes():
    names = {name.lower() for name in enum_names("TensorType").values()}
    assert set(ITEM_TYPES) == names - {"string", "resource", "variant"}
    assert set(RANGES) == set(PACKED_BITS)
