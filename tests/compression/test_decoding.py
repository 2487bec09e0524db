"""Constants in the forms that tflite-micro's DECODE expands: decoded here by the letter, and run there."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from support.integer_models import conv, feature, fixed, model_of
from support.limit_models import dense, depthwise
from tightfit.compression.decoding.decode_ops import CUSTOM_CODE, FORMS, smallest, store_encoded
from tightfit.compression.decoding.huffman_encoding import counts_of, encode_huffman
from tightfit.compression.decoding.lookup_encoding import encode_lookup
from tightfit.compression.decoding.pruned_encoding import encode_pruned
from tightfit.graph.ir import Op, Quantization, Tensor
from tightfit.targets.placement import check
from tightfit.targets.tools.agreement import noise_inputs
from tightfit.targets.tools.micro import run_micro

needs_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None,
    reason="tflite-micro is not installed: pip install 'tightfit[micro]'",
)


def weight(shape, values, dtype="int8", axis=None, zero=0, seed=0):
    """A constant with at most ``values`` values a channel, most of them zero."""
    random = np.random.default_rng(seed)
    palette = np.concatenate([[zero], random.choice(np.arange(-120, 120), values - 1, replace=False)])
    odds = np.concatenate([[0.8], np.full(values - 1, 0.2 / (values - 1))])
    data = random.choice(palette, shape, p=odds).astype(dtype)
    count = 1 if axis is None else shape[axis]
    q = Quantization(np.full(count, 0.01, np.float32), np.full(count, zero, np.int64), axis or 0)
    return Tensor("w", shape, dtype, data, q)


def bits_of(data):
    return np.unpackbits(np.frombuffer(data, np.uint8))


def read_lookup(encoded, tensor, axis):
    """As ``decode_state_lut.cc``: a table a scale, an index of byte 5's low bits for each element."""
    width, stride = encoded.ancillary[5] & 7, encoded.ancillary[6]
    table = np.frombuffer(encoded.ancillary[16:], tensor.dtype).reshape(-1, stride)
    places = bits_of(encoded.values)[: tensor.size * width].reshape(-1, width) @ (1 << np.arange(width)[::-1])
    channel = np.zeros(tensor.shape, int) if axis is None else np.indices(tensor.shape)[axis]
    return table[channel, places.reshape(tensor.shape)]


def read_pruned(encoded, tensor, zero):
    mask = bits_of(encoded.values)[: tensor.size].astype(bool)
    found = np.full(tensor.size, zero, tensor.dtype)
    found[mask] = np.frombuffer(encoded.ancillary[16:], tensor.dtype)
    return found.reshape(tensor.shape)


def read_huffman(encoded, tensor):
    """As ``decode_state_huffman.cc``: tables are walked, and bits that were not used are put back."""
    wide, first = encoded.ancillary[5] & 1, (encoded.ancillary[5] >> 4) + 1
    shift = 27 if wide else 11
    table = np.frombuffer(encoded.ancillary[16:], "<u4" if wide else "<u2").astype(int)
    bits, at, found = bits_of(encoded.values).astype(int), 0, []
    for _ in range(tensor.size):
        width, place = first, 0
        while True:
            place += int("".join(map(str, bits[at : at + width])), 2)
            at += width
            entry = int(table[place])
            count = entry >> shift & 15
            if entry >> (shift + 4):
                break
            width, place = count + 1, place + (entry & ((1 << shift) - 1))
        at -= width - count
        found.append(entry & ((1 << 8 * (1 + wide)) - 1))
    return np.array(found, np.uint16 if wide else np.uint8).view(tensor.dtype).reshape(tensor.shape)


@pytest.mark.parametrize("values", [2, 3, 8, 9, 40, 128])
@pytest.mark.parametrize("axis", [None, 0, 3])
def test_look_up_tables_hold_the_values(values, axis):
    tensor = weight((5, 3, 3, 7), values, axis=axis)
    encoded = encode_lookup(tensor)
    assert np.array_equal(read_lookup(encoded, tensor, axis), tensor.data)
    assert encoded.ancillary[5] >> 4 == (15 if axis is None else axis)


def test_more_values_than_a_table_holds_have_no_table():
    data = np.arange(256).astype(np.int8)
    assert encode_lookup(Tensor("w", data.shape, "int8", data)) is None


@pytest.mark.parametrize(("dtype", "zero"), [("int8", 0), ("int8", 3), ("int16", 0), ("float32", 0)])
def test_a_mask_and_values_hold_the_values(dtype, zero):
    tensor = weight((5, 3, 3, 7), 30, dtype, axis=0, zero=zero)
    assert np.array_equal(read_pruned(encode_pruned(tensor), tensor, zero), tensor.data)


def test_minus_zero_stays_minus_zero():
    tensor = Tensor("w", (3,), "float32", np.array([0.0, -0.0, 1.0], np.float32))
    assert np.signbit(read_pruned(encode_pruned(tensor), tensor, 0)).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("values", [2, 3, 17, 200])
def test_huffman_codes_hold_the_values(dtype, values):
    tensor = weight((11, 97), values, dtype)
    assert np.array_equal(read_huffman(encode_huffman(tensor), tensor), tensor.data)


def test_huffman_codes_are_as_short_as_the_entropy_allows():
    tensor = weight((100, 100), 33)
    counts = np.array(list(counts_of(tensor).values()))
    entropy = float(-(counts * np.log2(counts / counts.sum())).sum()) / 8
    assert entropy <= len(encode_huffman(tensor).values) <= entropy + counts.sum() / 8 + 8


def test_channels_that_decode_does_not_find_stay_as_they_are():
    assert smallest(weight((32, 4, 32), 4, axis=1)) is None
    assert smallest(weight((32, 4, 32), 4, axis=2)) is not None


def test_a_constant_that_would_grow_stays_as_it_is():
    assert smallest(weight((64,), 4)) is None


def networks():
    """Models of one op whose weights are large and repeat values: (name, model)."""
    made = {
        "convolution": conv(shape=(1, 8, 8, 13), output=(1, 8, 8, 9)),
        "one scale": dense((5, 6)),
        "depthwise": depthwise(4, 1),
    }
    made["depthwise"].main.set_input(
        made["depthwise"].main.ops[0], 2, fixed("b", [1, 2, 3, 4], "int32", 0.0005)
    )
    for model, shape, axis in (
        (made["convolution"], (9, 3, 3, 13), 0), (made["one scale"], (5, 6), None),
        (made["depthwise"], (1, 3, 3, 4), 3),
    ):  # fmt: skip
        w = model.main.ops[0].operand(1)
        w.data, w.quantization = weight(shape, 4, axis=axis).data, weight(shape, 4, axis=axis).quantization
    return made


@needs_micro
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["convolution", "one scale", "depthwise"])
def test_the_interpreter_gives_equal_outputs(form, name, monkeypatch):
    monkeypatch.setattr("tightfit.compression.decoding.encoded_weight.TABLE_BYTES", -(10**6))
    model = networks()[name]
    stored, found = store_encoded(model, (form,))
    assert [s.form for s in found] == [form] * len(found) != []
    samples = [noise_inputs(model, seed) for seed in range(2)]
    plain, small = run_micro(model, samples), run_micro(stored, samples)
    assert small.runs, small.reason
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(plain.outputs, small.outputs, strict=True))
    assert check(stored, "micro").runs


def test_one_decode_stands_before_each_reader():
    model = conv(shape=(1, 8, 8, 32), output=(1, 8, 8, 32))
    graph, first = model.main, model.main.ops[0]
    first.operand(1).data = weight((32, 3, 3, 32), 4).data
    second = feature("z", (1, 8, 8, 32))
    graph.append(
        Op("CONV_2D", [graph.outputs[0], *first.inputs[1:]], [second], first.options, first.options_type)
    )
    graph.outputs = [second]
    stored, _ = store_encoded(model)
    assert [op.custom_code or op.kind for op in stored.main.ops] == [CUSTOM_CODE, "CONV_2D"] * 2
    stored.validate()


def test_constants_that_kernels_read_before_the_first_call_stay():
    shape = fixed("shape", np.array([1] * 300, np.int32))
    x, y = feature("x", (1,) * 4), feature("y", (1,) * 4)
    model = model_of("RESHAPE", [x, shape], [y], "ReshapeOptions")
    assert store_encoded(model)[1] == []


def test_small_constants_share_one_code():
    model = conv(shape=(1, 8, 8, 32), output=(1, 8, 8, 32))
    graph, options = model.main, model.main.ops[0].options
    random = np.random.default_rng(0)
    for i in range(3):
        w = weight((32, 3, 3, 32), 60)
        w.data = random.permuted(w.data)
        y = feature(f"y{i}", (1, 8, 8, 32))
        graph.append(Op("CONV_2D", [graph.outputs[0], w, None], [y], options, "Conv2DOptions"))
        graph.outputs = [y]
    stored, found = store_encoded(model, ("huffman",))
    decodes = [op for op in stored.main.ops if op.custom_code == CUSTOM_CODE]
    assert len(found) >= 3
    assert len({d.operand(1).data.tobytes() for d in decodes}) == 1
