"""Where files run besides this computer: emulated ARM, the GPU, float16 of phones, a device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from support.emulator import needs_emulator
from support.integer_models import conv, scales, with_float_ends
from support.models import conv_net
from support.vulkan import needs_vulkan
from tightfit.api.check import check
from tightfit.api.evaluate import benchmark, evaluate
from tightfit.data.sample import Sample
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.evaluation.devices.device_session import DeviceSession
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import write_model
from tightfit.runtime.child.memory import EMULATOR_BYTES, model_limit
from tightfit.runtime.emulator import CORES, VARIABLE, emulator_of, find_emulator
from tightfit.runtime.session import Session
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.verdict.budget import Budget
from tightfit.targets.places.float16 import float16_simulation, rounded_to_float16
from tightfit.targets.places.place import find_place
from tightfit.targets.places.place_difference import place_difference

PACKAGE = str(Path(find_place.__code__.co_filename).parents[3])


def samples_for(model, count=2):
    generator = np.random.default_rng(0)
    shapes = {name: tensor.shape for name, tensor in input_names(model).items()}
    return [
        Sample({n: generator.standard_normal(s).astype(np.float32) for n, s in shapes.items()})
        for _ in range(count)
    ]


@pytest.fixture
def net(tmp_path):
    write_model(conv_net(), tmp_path / "net.tflite")
    return tmp_path / "net.tflite"


# -- names ----------------------------------------------------------------------------------------


def test_what_is_no_place_is_one_sentence():
    with pytest.raises(
        OptionError, match=r"Received 'moon' as the place; expected arm, arm:CORE, gpu, phone"
    ):
        find_place("moon")
    with pytest.raises(OptionError, match="expected one of cortex-a53"):
        emulator_of("arm:z80")


def test_a_folder_without_an_emulator_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(OptionError, match=r"is no folder of an emulator.*arm_emulator\.sh"):
        find_emulator(environment={VARIABLE: str(tmp_path)})
    with pytest.raises(OptionError, match="No emulator of ARM was found"):
        find_emulator(environment={"HOME": str(tmp_path)})


def test_an_emulator_is_found_by_its_files_and_each_core_has_its_own_processor_file(tmp_path):
    for place in (
        "qemu/usr/bin/qemu-aarch64-static",
        "root/usr/bin/python3.11",
        "root/usr/bin/python3.11-config",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    (tmp_path / "site").mkdir()
    words = {}
    for core in ("cortex-a53", "i8mm"):
        words[core] = find_emulator(core, {VARIABLE: str(tmp_path)}).interpreter().words
        root = Path(words[core][2])
        assert f"{CORES[core].part:#x}" in (root / "proc/cpuinfo").read_text()
        assert words[core][-1] == str(root / "usr/bin/python3.11")
    assert words["i8mm"][4] == "max,sve=off,sme=off"


@pytest.mark.parametrize("place", ["arm", "phone"])
def test_what_is_computed_on_this_computer_has_no_latency(net, place):
    with pytest.raises(OptionError, match="has no latency"):
        benchmark(net, on=place)


# -- emulated ARM ---------------------------------------------------------------------------------


@needs_emulator
def test_integers_are_equal_on_an_emulated_core_and_int4_convolutions_are_told(tmp_path):
    for name, dtype in (("int8", "int8"), ("int4", "int4")):
        write_model(with_float_ends(conv(weight_dtype=dtype)), tmp_path / f"{name}.tflite")
    place, samples = find_place("arm:cortex-a72"), samples_for(with_float_ends(conv()))
    assert place_difference(tmp_path / "int8.tflite", place, samples).equal
    found = place_difference(tmp_path / "int4.tflite", place, samples)
    assert not found.failure
    assert found.steps <= 1


@needs_emulator
def test_an_emulated_child_may_allocate_what_its_model_needs_and_no_more(net):
    with Session(net, on=find_emulator("cortex-a53")) as session:
        limits = Path(f"/proc/{session._exchange._child._process.pid}/limits").read_text()
        said = next(line for line in limits.splitlines() if line.startswith("Max data size"))
        assert int(said.split()[3]) == model_limit(net) + EMULATOR_BYTES


# -- GPU ------------------------------------------------------------------------------------------


@needs_vulkan
def test_a_model_is_evaluated_on_the_gpu_and_its_difference_is_told(net, tmp_path):
    inputs = np.stack([s.inputs[next(iter(s.inputs))][0] for s in samples_for(conv_net(), 4)])
    np.savez(tmp_path / "set.npz", x=inputs, y=np.arange(4) % 3)
    found = evaluate(net, tmp_path / "set.npz", on="gpu")
    assert found[0].failure is None
    assert found.apart[0].relative < 1e-4
    assert "GPU accelerator" in found.notes[-1]
    assert found.rows()[0]["on"]["samples"] == 4


@needs_vulkan
def test_a_driver_that_computes_on_the_cpu_has_no_latency(net):
    found = benchmark(net, on="gpu", rounds=6, seconds=1)[0]
    if found.latency.median_ms is None:
        assert "computes on the CPU" in found.latency.reason
    assert found.machine["on"].startswith("the GPU")


# -- float16 --------------------------------------------------------------------------------------


def scaled(factor):
    """x · factor, then that ÷ factor: in float32 the input again."""
    x, big, y = Tensor("x", (1, 8)), Tensor("big", (1, 8)), Tensor("y", (1, 8))
    up, down = (
        Tensor(name, (1,), data=np.array([value], np.float32))
        for name, value in (("up", factor), ("down", 1 / factor))
    )
    graph = Graph()
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Op("MUL", [x, up], [big], {}, "MulOptions"))
    graph.append(Op("MUL", [big, down], [y], {}, "MulOptions"))
    return Model([graph])


@pytest.mark.parametrize(("factor", "overflows"), [(16.0, False), (1e6, True)])
def test_an_overflow_of_float16_is_seen_at_the_op_that_has_it(tmp_path, factor, overflows):
    write_model(scaled(factor), tmp_path / "m.tflite")
    found = float16_simulation(
        tmp_path / "m.tflite", [Sample({"x": np.linspace(0.5, 1.5, 8, dtype=np.float32)[None]})]
    )
    assert found.overflows == overflows
    assert [op.overflow > 0 for op in found.ops] == [overflows, overflows]
    if overflows:
        assert "'big' overflows float16" in found.notes[0]
    else:
        assert 60 < found.ops[1].snr_db < 90


def test_float16_rounds_constants_and_outputs_and_leaves_integers():
    rounded = rounded_to_float16(scaled(1 / 3))
    up = next(t for t in rounded.main.tensors() if t.name == "up")
    assert up.data[0] == np.float32(np.float16(1 / 3))
    assert [op.kind for op in rounded.main.ops].count("CAST") == 4
    integers = conv()
    assert len(rounded_to_float16(integers).main.ops) == len(integers.main.ops)


def loud_integers(scale):
    """One int8 RELU whose integers stand for reals up to 127 · scale."""
    x = Tensor("x", (1, 8), "int8", quantization=scales(scale))
    y = Tensor("y", (1, 8), "int8", quantization=scales(scale))
    graph = Graph()
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Op("RELU", [x], [y]))
    return Model([graph])


@pytest.mark.parametrize(("scale", "overflows"), [(100.0, False), (1000.0, True)])
def test_an_integer_op_overflows_where_its_reals_do(tmp_path, scale, overflows):
    write_model(loud_integers(scale), tmp_path / "m.tflite")
    sample = Sample({"x": np.arange(0, 120, 15, dtype=np.int8)[None]})
    found = float16_simulation(tmp_path / "m.tflite", [sample])
    assert [(op.overflow > 0, op.snr_db) for op in found.ops] == [(overflows, None)]


@pytest.mark.parametrize("factor", [16.0, 1e6])
def test_check_and_optimize_for_the_gpu_see_what_overflows_float16(tmp_path, factor):
    write_model(scaled(factor), tmp_path / "m.tflite")
    values = np.linspace(0.5, 1.5, 80, dtype=np.float32).reshape(10, 8)
    fits = factor < 1e6
    verdict = check(tmp_path / "m.tflite", "gpu", data={"x": values})
    assert (verdict.runs, verdict.on_data, verdict.float16.overflows) == (fits, True, not fits)
    assert "on 8 samples of the data" in verdict.notes[-1]
    policy = TargetPolicy(Budget(target="gpu"))
    samples = [Sample({"x": row[None]}) for row in values]
    judged = policy.judge(Candidate("float32", "float32"), tmp_path / "m.tflite", samples).targets["gpu"]
    assert judged.fits == fits
    assert fits or "overflows float16" in judged.reasons[0]


def test_check_names_data_that_no_judge_reads(net):
    with pytest.raises(OptionError, match="no judge of 'edge-tpu' runs the model here"):
        check(net, "edge-tpu", data={"x": np.zeros((1, 16, 16, 3), np.float32)})


# -- a device -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ThisComputer:
    """A transport to this computer: the same commands, by a shell."""

    url: str = "local://here"
    programs: tuple[str, ...] = ("sh", "cp")
    temporary: str = "mktemp -d -t tightfit.XXXXXXXX"
    hint: str = ""

    def words(self, command):
        return ["sh", "-c", command]

    def copy(self, files, folder):
        return ["cp", *map(str, files), folder]


def serving(path, program):
    def start(folder):
        return f"cd {folder} && exec {program}"

    return DeviceSession(ThisComputer(), path, start)


def worker(path):
    return (
        f'{sys.executable} -P -c \'import sys; sys.path.insert(0, "{PACKAGE}"); '
        f"from tightfit.evaluation.devices.stream_worker import main; main()' {path} "
        '\'{"signature": null, "inputs": ["x"], "outputs": ["y"]}\''
    )


def test_outputs_of_a_device_come_back_as_bytes_and_are_those_of_a_session(tmp_path):
    write_model(scaled(2.0), tmp_path / "m.tflite")
    sample = {"x": np.arange(8, dtype=np.float32)[None]}
    with (
        serving(tmp_path / "m.tflite", worker(tmp_path / "m.tflite")) as there,
        Session(tmp_path / "m.tflite") as here,
    ):
        for answer in there.run_many([sample, sample]):
            assert np.array_equal(answer["y"], here.run(sample)["y"])


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("sh -c 'echo no such program >&2; exit 1'", "ended before it answered: no such program"),
        (
            "sh -c 'printf \"error 1\\n\\003\\000\\000\\000\\000\\000\\000\\000bad\"'",
            "LiteRT on 'local://here' says: bad",
        ),
        ("sh -c 'head -c 100 /dev/zero; sleep 5'", "which is no answer"),
    ],
)
def test_a_device_that_does_not_serve_is_one_sentence(tmp_path, program, message):
    write_model(scaled(2.0), tmp_path / "m.tflite")
    with pytest.raises(RuntimeFailureError, match=message):
        serving(tmp_path / "m.tflite", program)


def test_what_a_device_announces_is_bounded_and_its_size_is_checked(tmp_path):
    write_model(scaled(2.0), tmp_path / "m.tflite")
    body = (
        "printf 'ok 0\\n'; head -c 46 >/dev/null; printf 'ok 1\\n\\003\\000\\000\\000\\000\\000\\000\\000bad'"
    )
    said = r"answered 3 bytes for 'y', which has \[1, 8\] values"
    with (
        serving(tmp_path / "m.tflite", f'sh -c "{body}"') as there,
        pytest.raises(RuntimeFailureError, match=said),
    ):
        there.run({"x": np.zeros((1, 8), np.float32)})
