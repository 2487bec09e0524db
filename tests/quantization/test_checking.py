"""A written file is run and compared with the float model before it counts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest

from support.models import Builder, conv_net, random_inputs, two_inputs_net
from support.quantizing import given, plan, run
from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Model, Signature
from tightfit.graph.writer import write_model
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import Probe, input_names, main_signature, output_names
from tightfit.quantization.checking import check_file, random_probes, snr_db, snr_over


def written(tmp_path, model: Model, name: str = "file.tflite"):
    write_model(model, tmp_path / name)
    return tmp_path / name


@functools.cache
def probe_of(make: Callable[[], Model]) -> Probe:
    """Random inputs, and the float model's outputs by tensor key."""
    return probe(make(), random_inputs(make()))


def probe(model: Model, sample: dict[str, np.ndarray]) -> Probe:
    outputs = run(model, sample)
    keys = model.main.keys()
    return sample, {keys[t]: outputs[n] for n, t in output_names(model).items()}


@pytest.mark.parametrize(
    ("scheme", "interface"), [("float16", "float32"), ("int8", "uint8"), ("int16x8", "int16")]
)
def test_a_file_is_fed_and_read_in_its_own_types(tmp_path, scheme, interface):
    model = two_inputs_net()
    twin = apply_plan(model, plan(model, scheme, interface, ranges=given(model, -4.0, 4.0)))
    check = check_file(written(tmp_path, twin), model, [probe_of(two_inputs_net)])
    assert check.snr_db > 25
    assert set(check.outputs[0]) == {"add_3", "probabilities"}
    assert {v.dtype.name for v in check.outputs[0].values()} == {"float32"}


def test_the_float_file_itself_is_equal(tmp_path):
    model = conv_net()
    assert check_file(written(tmp_path, model), model, [probe_of(conv_net)]).snr_db > 100


def test_without_probes_a_file_is_only_loaded(tmp_path):
    model = conv_net()
    assert check_file(written(tmp_path, model), model, []).snr_db == math.inf


def one_op(kind: str, *, length: int = 4) -> Model:
    b = Builder()
    return b.model(b.op(kind, [b.input("x", [1, length])], [1, length], name="y"))


def test_nan_where_the_float_model_has_none_is_refused(tmp_path):
    sample = {"x": np.float32([[-1, 2, 3, 4]])}
    path = written(tmp_path, one_op("LOG"))
    with pytest.raises(
        RuntimeFailureError, match=r"'file.tflite' gives NaN or infinity in 'y' where the float"
    ):
        check_file(path, one_op("RELU"), [(sample, {"y": np.maximum(sample["x"], 0)})])


def test_nan_that_the_float_model_has_too_does_not_count(tmp_path):
    model = one_op("LOG")
    check = check_file(written(tmp_path, model), model, [probe(model, {"x": np.float32([[-1, 2, 3, 0]])})])
    assert check.snr_db == math.inf


def test_another_shape_is_refused(tmp_path):
    model = one_op("RELU")
    x = np.ones((1, 4), np.float32)
    with pytest.raises(RuntimeFailureError, match=r"gives 'y' the shape \[1, 4\], the float model \[2, 2\]"):
        check_file(written(tmp_path, model), model, [({"x": x}, {"y": x.reshape(2, 2)})])


def test_a_file_that_litert_refuses_is_a_runtime_failure(tmp_path):
    model = conv_net()
    twin = apply_plan(model, plan(model, "int8"))
    next(op for op in twin.main.ops if op.kind == "CONV_2D").inputs[2].dtype = "int64"
    next(op for op in twin.main.ops if op.kind == "CONV_2D").inputs[2].data = np.zeros(8, np.int64)
    with pytest.raises(RuntimeFailureError):
        check_file(written(tmp_path, twin), model, [probe_of(conv_net)])


def test_several_signatures_of_the_main_graph_use_the_default_one(tmp_path):
    model = one_op("RELU")
    x, y = model.main.inputs[0], model.main.outputs[0]
    model.signatures = [
        Signature("first", {"a": x}, {"b": y}),
        Signature("serving_default", {"c": x}, {"d": y}),
    ]
    assert main_signature(model).key == "serving_default"
    assert (list(input_names(model)), list(output_names(model))) == (["c"], ["d"])
    probes = random_probes(written(tmp_path, model), model)
    assert (list(probes[0][0]), list(probes[0][1])) == (["c"], ["y"])
    assert check_file(tmp_path / "file.tflite", model, probes).snr_db == math.inf


def test_a_default_signature_of_another_graph_is_passed_over(tmp_path):
    model, other = one_op("RELU"), one_op("TANH")
    model.graphs.append(other.main)
    ends = {"x": other.main.inputs[0]}, {"z": other.main.outputs[0]}
    model.signatures[0].key = "main"
    model.signatures.append(Signature("serving_default", *ends, 1))
    probes = random_probes(written(tmp_path, model), model)
    np.testing.assert_array_equal(probes[0][1]["y"], np.maximum(probes[0][0]["x"], 0))
    assert check_file(tmp_path / "file.tflite", model, probes).snr_db == math.inf


def test_without_a_signature_tensors_give_the_names(tmp_path):
    model = one_op("RELU")
    model.signatures = []
    probes = random_probes(written(tmp_path, model), model)
    assert (list(probes[0][0]), list(probes[0][1])) == (["x"], ["y"])
    again = random_probes(tmp_path / "file.tflite", model)
    np.testing.assert_array_equal(again[0][0]["x"], probes[0][0]["x"], "they are the same each time")


def test_ends_of_one_name_without_a_signature_are_numbered_as_a_session_does(tmp_path):
    b = Builder()
    pair = [b.op("RELU", [b.input("same", [1, 4])], [1, 4], name="same") for _ in range(2)]
    model = b.model(*pair, signature=None)
    assert (list(input_names(model)), list(output_names(model))) == (["same", "same#2"], ["same", "same#2"])
    probes = random_probes(written(tmp_path, model), model)
    assert list(probes[0][1]) == ["same#2", "same#4"], "of outputs by their key among all tensors"
    check = check_file(tmp_path / "file.tflite", model, probes)
    assert [list(outputs) for outputs in check.outputs] == [["same#2", "same#4"]]


def test_a_main_graph_that_no_signature_enters_is_only_loaded(tmp_path):
    inner, outer = one_op("RELU"), one_op("TANH")
    graph = inner.main
    signature = Signature("other", {"x": graph.inputs[0]}, {"y": graph.outputs[0]}, 1)
    model = Model([outer.main, graph], [signature])
    path = written(tmp_path, model)
    assert random_probes(path, model) == []
    assert check_file(path, model, []).outputs == []


# -- the measure -----------------------------------------------------------------------------------


def test_signal_to_noise_is_over_all_outputs_and_samples():
    references = [
        {"a": np.float32([3, 4]), "b": np.float32([0])},
        {"a": np.float32([5, 0]), "b": np.float32([0])},
    ]
    results = [
        {"a": np.float32([3, 4.3]), "b": np.float32([0.4])},
        {"a": np.float32([5, 0]), "b": np.float32([0])},
    ]
    assert snr_over(results, references) == pytest.approx(10 * np.log10(50 / 0.25), abs=1e-5)


def test_what_is_not_finite_does_not_count():
    reference = {"a": np.float32([1, np.inf, np.nan])}
    assert snr_db({"a": np.float32([1, 5, 5])}, reference) == math.inf
    assert snr_db({"a": np.float32([2, 5, 5])}, reference) == 0.0


def test_decisions_count_where_there_are_no_reals():
    reference = {"index": np.int64([1, 2, 3, 4])}
    assert snr_db({"index": np.int64([1, 2, 3, 4])}, reference) == math.inf
    assert snr_db({"index": np.int64([1, 2, 3, 9])}, reference) == pytest.approx(10 * np.log10(4))
    mixed = reference | {"real": np.float32([2.0])}
    assert snr_db({"index": np.int64([0, 0, 0, 0]), "real": np.float32([2.0])}, mixed) == math.inf


def test_silence_that_is_met_with_noise_is_no_division_by_zero():
    assert snr_db({"a": np.float32([1])}, {"a": np.float32([0])}) < -1000
