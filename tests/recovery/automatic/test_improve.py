"""Int8 without options: good files stay as they are, others gain, and what is measured decides."""

from __future__ import annotations

import numpy as np
import pytest

from support.attention_models import LENGTH, WORDS, attention
from support.models import NONE, Builder
from tightfit.api.quantize import quantize
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import output_names
from tightfit.graph.writer import write_model
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.builder import Builder as FileBuilder
from tightfit.pipeline.source import open_source
from tightfit.quantization.arithmetic import activation_parameters
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.scheme import find_scheme
from tightfit.recovery.automatic.held_out_noise import HeldOutNoise, OutputScale
from tightfit.recovery.automatic.output_ranges import output_ranges, rounding_noise
from tightfit.runtime.session import Session

COUNT = 48


def leaky_chain(spread):
    """Convolution, leaky ReLU, 1×1 convolution; channels of unlike reach between them."""
    b = Builder(seed=3)
    x = b.conv(b.input("image", [1, 8, 8, 3]), 16, activation=NONE)
    leaky = b.op("LEAKY_RELU", [x], x.shape, table="LeakyReluOptions", options={"alpha": 0.1})
    model = b.model(b.conv(leaky, 6, kernel=1, activation=NONE))
    first, second = (op for op in model.main.ops if op.kind == "CONV_2D")
    scales = np.geomspace(1.0, spread, 16).astype(np.float32)
    first.inputs[1].data = first.inputs[1].data * scales.reshape(-1, 1, 1, 1)
    first.inputs[2].data = first.inputs[2].data * scales
    second.inputs[1].data = second.inputs[1].data / scales
    return model


def map_with_tails():
    """A model with a map as its output, and answers of which one score lies far below all others."""
    b = Builder(seed=4)
    model = b.model(b.conv(b.input("image", [1, 8, 8, 3]), 12, kernel=1, activation=NONE))
    random = np.random.default_rng(2)
    maps = random.standard_normal((16, 1, 8, 8, 12)).astype(np.float32)
    maps = maps * np.repeat(np.float32([0.3, 4.0]), 6)
    maps[3, 0, 0, 0, 6] -= 200.0
    key = model.main.keys()[model.main.outputs[0]]
    return model, key, [({}, {key: values}) for values in maps]


@pytest.fixture
def images(tmp_path):
    values = np.random.default_rng(0).uniform(-1, 1, (COUNT, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "images.npz", x=values)
    return str(tmp_path / "images.npz")


def made(model, data, folder, scheme="int8", **options):
    write_model(model, folder / "float.tflite")
    name = "-".join(map(str, options.values())) or "default"
    return quantize(folder / "float.tflite", scheme, folder / f"{name}.tflite", data=data, **options)


def automatic(result):
    return [note for note in result.notes if note.startswith("automatic: ")]


def noise(model, path, samples):
    """On samples that calibrated nothing."""
    with Session(_float(model, path.parent)) as session:
        outputs = [session.run(sample) for sample in samples]
    keys = model.main.keys()
    names = {name: keys[t] for name, t in output_names(model).items()}
    probes = [(s, {names[n]: v for n, v in o.items()}) for s, o in zip(samples, outputs, strict=True)]
    return HeldOutNoise(model, probes).of_model(read_model(path))


def _float(model, folder):
    write_model(model, folder / "reference.tflite")
    return folder / "reference.tflite"


def unseen(count=12):
    random = np.random.default_rng(7)
    return [{"image": random.uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)} for _ in range(count)]


def test_a_file_that_is_good_stays_as_it_is(images, tmp_path):
    plain = made(leaky_chain(1.0), images, tmp_path, effort=0, provenance=False)
    default = made(leaky_chain(1.0), images, tmp_path, provenance=False)
    assert automatic(default) == []
    assert default.path.read_bytes() == plain.path.read_bytes()


def test_channels_of_unlike_reach_behind_a_leaky_function_gain(images, tmp_path):
    model = leaky_chain(300.0)
    plain, default = (made(model, images, tmp_path, effort=e) for e in (0, 1))
    assert automatic(plain) == []
    assert "equalized" in automatic(default)[0]
    assert noise(model, default.path, unseen()) < 0.2 * noise(model, plain.path, unseen())


def test_an_output_gives_up_rare_values_for_finer_steps():
    model, key, probes = map_with_tails()
    check = HeldOutNoise(model, probes)
    values = np.stack(check.wanted[next(iter(check.wanted))])
    whole = float(values.min()), float(values.max())
    found = output_ranges(model, Ranges.given({key: whole}), check, "int8")
    low, high = found[key]
    assert low > 0.6 * whole[0]
    assert high <= whole[1]
    (scale,) = check.scales.values()
    before, after = (rounding_noise(list(values), scale, limits, "int8") for limits in (whole, found[key]))
    assert after < 0.9 * before


def test_the_same_samples_give_the_same_file(images, tmp_path):
    model = leaky_chain(300.0)
    first = made(model, images, tmp_path, seed=0).path.read_bytes()
    assert made(model, images, tmp_path, seed=0).path.read_bytes() == first


def test_a_masked_transformer_is_held_by_float_activations_on_a_cpu_alone(tmp_path):
    random = np.random.default_rng(1)
    ids = random.integers(0, WORDS, (COUNT, LENGTH)).astype(np.int32)
    mask = (np.arange(LENGTH) < random.integers(4, LENGTH + 1, (COUNT, 1))).astype(np.int32)
    np.savez(tmp_path / "text.npz", ids=ids, mask=mask)
    model, data = attention(loud=20.0), str(tmp_path / "text.npz")
    for layout, kept in (("cpu", True), ("npu", False)):
        default = made(model, data, tmp_path, layout=layout)
        (note,) = automatic(default)
        assert ("keep float activations" in note) == kept


def test_named_recoveries_and_observers_are_taken_as_they_are_named(images, tmp_path):
    for options in ({"recovery": ("bias-correction",)}, {"observers": {"int8": "mse"}}):
        assert automatic(made(leaky_chain(300.0), images, tmp_path, **options)) == []


def test_a_channel_counts_by_what_it_varies():
    rows = np.random.default_rng(0).standard_normal((8, 1, 6, 6, 2)).astype(np.float32)
    maps = [row * np.float32([1.0, 100.0]) for row in rows]
    scale = OutputScale(maps)
    assert scale.is_map
    step, _ = activation_parameters(-300.0, 300.0, "int8")
    rounded = [np.round(m / step) * np.float32(step) for m in maps]
    quiet, loud = np.float32([1, 0]), np.float32([0, 1])
    lost = [scale.share(m, m + (r - m) * quiet) for m, r in zip(maps, rounded, strict=True)]
    kept = [scale.share(m, m + (r - m) * loud) for m, r in zip(maps, rounded, strict=True)]
    assert np.mean(lost) > 100 * np.mean(kept)


def test_candidates_of_a_search_share_one_repair(images, tmp_path):
    write_model(leaky_chain(300.0), tmp_path / "float.tflite")
    source = open_source(tmp_path / "float.tflite")
    rows = [{"image": image[None]} for image in np.load(images)["x"]]
    builder = FileBuilder(source, lambda: iter(rows))
    plain = BuildSpec(find_scheme("int8"), effort=1)
    ends = BuildSpec(find_scheme("int8", "int8"), effort=1)
    first = builder.improved(builder.begin(plain), plain)
    second = builder.improved(builder.begin(ends), ends)
    assert first.notes == second.notes != []
    assert second.model is first.model
    assert (first.plan.scheme.interface, second.plan.scheme.interface) == ("float32", "int8")
    second.notes.append("more")
    assert builder.improved(builder.begin(plain), plain).notes == first.notes


def test_corrected_biases_alone_end_the_search_where_they_suffice(tmp_path, monkeypatch):
    model = leaky_chain(1.0)
    for op in model.main.ops:
        if op.kind == "CONV_2D":  # all are rounded up: an error of the mean, which biases take away
            steps = np.abs(op.inputs[1].data).max(axis=(1, 2, 3), keepdims=True) / 127
            moved = (np.floor(op.inputs[1].data / steps) + 0.49).clip(-127, 127) * steps
            op.inputs[1].data = moved.astype(np.float32)
    bright = np.random.default_rng(0).uniform(0.6, 1, (COUNT, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "bright.npz", x=bright)
    noises, of_plan = [], HeldOutNoise.of_plan

    def measured(self, model, plan):
        noises.append(of_plan(self, model, plan))
        return noises[-1]

    monkeypatch.setattr(HeldOutNoise, "of_plan", measured)
    monkeypatch.setattr(HeldOutNoise, "allowed", lambda self, noise: 0.01)  # noqa: ARG005 - the method's
    written = made(model, str(tmp_path / "bright.npz"), tmp_path)
    assert noises[0] > 0.01 >= noises[1] / 0.3
    assert len(noises) == 2
    assert "biases corrected" in next(note for note in written.notes if note.startswith("automatic"))
