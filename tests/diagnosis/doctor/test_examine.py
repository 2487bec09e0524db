"""Planted faults, each with its clean twin: the doctor names the fault and is silent on the twin."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from support.colour_model import CLASSES, classifier, pictures, weights
from support.models import Builder
from tightfit import demo
from tightfit.cli.doctor import doctor as command
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.diagnosis.doctor.checks import CHECKS, diagnose
from tightfit.diagnosis.doctor.evidence import ERROR, Evidence
from tightfit.diagnosis.doctor.examine import doctor, examine
from tightfit.diagnosis.doctor.input_trials import FIRST, Trials
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.graph.writer import write_model

COUNT, CALIBRATION = 168, 120
IMAGE = InputSpec("image", (1, 8, 8, 3), "float32")
W1, B1, W2, B2 = weights()


@dataclass
class Case:
    """Samples, labels, which calibrate and evaluate, and the model."""

    x: Any
    y: Any
    calibrating: Any
    evaluating: Any
    model: Any


def clean():
    x, y = pictures(COUNT)
    return Case(x, y, np.arange(CALIBRATION), np.arange(CALIBRATION, COUNT), classifier())


def rescaled(case):
    case.x = (case.x + 1) * 127.5


def rescaled_to_unit(case):
    case.x = (case.x + 1) / 2


def blue_for_red(case):
    case.x = case.x[..., ::-1]


def negatives(case):
    case.x = -case.x


def broken_samples(case):
    case.x[5, 0, 0, 0], case.x[9, 1, 1, 1] = np.nan, np.inf


def repeated(case):
    case.x[60:CALIBRATION] = case.x[:60]
    case.y[60:CALIBRATION] = case.y[:60]


def one_class(case):
    case.calibrating = np.flatnonzero(case.y == 2)


def one_class_without_labels(case):
    one_class(case)
    case.y = None


def half_of_the_classes(case):
    case.calibrating = np.flatnonzero(case.y < CLASSES // 2)


def one_class_has_most(case):
    others = np.flatnonzero(case.y != 1)[:14]
    case.calibrating = np.sort(np.concatenate([np.flatnonzero(case.y == 1), others]))


def three_samples(case):
    case.x[1:3] *= np.float32([0.2, 0.05])[:, None, None, None]
    case.calibrating = np.arange(3)


def one_sample(case):
    case.calibrating = np.arange(1)


def one_loud_sample(case):
    case.x[17] *= 12


def blank_samples(case):
    case.x[[3, 40]] = -1.0


def half_of_the_channels_off(case):
    bias = B1.copy()
    bias[: len(bias) * 2 // 3] = -1000
    case.model = classifier(b1=bias)


def answers_at_the_ends(case):
    case.model = classifier(w2=W2 * 1e4, b2=B2 * 1e4)


def one_answer_for_all(case):
    case.model = classifier(w2=W2 * 0)


def a_weight_is_no_number(case):
    w2 = W2.copy()
    w2[1] = np.nan
    case.model = classifier(w2=w2)


def background_class(case):
    case.y = case.y + 1


def sorted_folders(case):
    case.y = np.array([3, 5, 0, 2, 1, 4])[case.y]


def shuffled_labels(case):
    case.y = np.random.default_rng(5).permutation(case.y)


def louder_evaluation(case):
    case.x[CALIBRATION:] *= 3


def evaluation_calibrates(case):
    case.evaluating = np.arange(100, COUNT)


def evaluation_is_copied(case):
    case.x[CALIBRATION:] = case.x[:48]
    case.y[CALIBRATION:] = case.y[:48]


def small_column(case):
    case.x = case.x * np.float32([1.0, 1e-3, 1.0])


def unused_class(case):
    case.model = classifier()
    last = [op for op in case.model.main.ops if op.kind == "FULLY_CONNECTED"][-1]
    last.inputs[2].data = np.array(last.inputs[2].data)
    last.inputs[2].data[0] = -500.0


def map_for_classes(case):
    b = Builder()
    case.model = b.model(b.conv(b.input("image", [1, 8, 8, 3]), 4))


def boxes_beside_scores(case):
    """A row of pixels and a row that moves by hundredths in one output."""
    b = Builder()
    y = b.conv(b.input("image", [1, 8, 8, 3]), 4)
    y.producer.inputs[1].data = (y.producer.inputs[1].data.T * np.float32([640, 640, 640, 0.01])).T
    case.model = b.model(y)


def ten_left(case):
    case.evaluating = case.evaluating[:10]


def alarms(findings):
    """All but that the few pictures of these tests cannot show a small loss."""
    return [f for f in findings if f.kind != "few_for_budget"]


FAULTS = [
    (rescaled, "input_range"),
    (rescaled_to_unit, "input_range"),
    (blue_for_red, "channel_order"),
    (negatives, "inverted"),
    (broken_samples, "not_finite"),
    (repeated, "duplicates"),
    (one_class, "single_class"),
    (one_class_without_labels, "single_class"),
    (half_of_the_classes, "missing_classes"),
    (one_class_has_most, "imbalance"),
    (three_samples, "few_samples"),
    (one_sample, "few_samples"),
    (one_loud_sample, "outlier_sample"),
    (blank_samples, "blank"),
    (half_of_the_channels_off, "dead_channels"),
    (answers_at_the_ends, "saturated_output"),
    (one_answer_for_all, "constant_output"),
    (a_weight_is_no_number, "bad_output"),
    (background_class, "shifted_labels"),
    (sorted_folders, "permuted_labels"),
    (shuffled_labels, "random_labels"),
    (louder_evaluation, "beyond_calibration"),
    (evaluation_calibrates, "overlap"),
    (evaluation_is_copied, "overlap"),
    (small_column, "mixed_units"),
    (unused_class, "dead_slices"),
    (map_for_classes, "labels_ignored"),
    (boxes_beside_scores, "mixed_outputs"),
    (ten_left, "few_for_budget"),
]


def findings_of(case, folder):
    model, data = folder / "model.tflite", folder / "data.npz"
    write_model(case.model, model)
    labels = {} if case.y is None else {"y": case.y}
    np.savez(data, x=np.ascontiguousarray(case.x), **labels)
    dataset = open_data(str(data), image=None, inputs=[IMAGE])
    return examine(model, dataset, case.calibrating, case.evaluating)


@pytest.mark.parametrize(("plant", "kind"), FAULTS, ids=[f.__name__ for f, _ in FAULTS])
def test_a_planted_fault_is_found_with_numbers_and_a_cure(plant, kind, tmp_path):
    case = clean()
    plant(case)
    found = {f.kind: f for f in findings_of(case, tmp_path)}
    assert kind in found
    finding = found[kind]
    assert finding.numbers
    assert all(np.isfinite(v) for v in finding.numbers.values())
    assert all(t.endswith(".") and (t[0].isupper() or t[0].isdigit()) for t in (finding.what, finding.why))


def test_every_check_has_a_planted_fault():
    assert {kind for _, kind in FAULTS} == set(CHECKS)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_twin_raises_no_alarm(seed, tmp_path):
    case = clean()
    case.x, case.y = pictures(COUNT, seed=10 + seed)
    assert alarms(findings_of(case, tmp_path)) == []


def test_a_clean_twin_without_labels_raises_no_alarm(tmp_path):
    case = clean()
    case.y = None
    assert alarms(findings_of(case, tmp_path)) == []


def test_a_reading_without_gain_stops_after_a_few_samples(tmp_path, monkeypatch):
    runs, run = [], Trials._run

    def counted(self, session, output, arrays, name, chosen):
        runs.append(len(chosen))
        return run(self, session, output, arrays, name, chosen)

    monkeypatch.setattr(Trials, "_run", counted)
    case = clean()
    case.y = None
    assert alarms(findings_of(case, tmp_path)) == []
    assert runs[1:].count(FIRST) >= 3
    assert len(runs) - 1 < 2 * runs.count(FIRST)


def test_data_sorted_by_class_is_clean(tmp_path):
    case = clean()
    order = np.argsort(case.y, kind="stable")
    case.x, case.y = case.x[order], case.y[order]
    case.calibrating = np.flatnonzero(np.arange(COUNT) % 7 != 0)
    case.evaluating = np.flatnonzero(np.arange(COUNT) % 7 == 0)
    assert alarms(findings_of(case, tmp_path)) == []


def test_the_demo_is_clean_and_its_faults_are_found():
    assert doctor(demo.MODEL, "tightfit.demo:everything") == []
    dark = doctor(demo.MODEL, f"{__name__}:demo_as_bytes")
    assert dark[0].kind == "input_range"
    assert dark[0].numbers["accuracy_otherwise"] > 0.85 > dark[0].numbers["accuracy"]
    assert "255" in dark[0].fix


def demo_as_bytes():
    return ((image * 255, label) for image, label in demo.calibration())


def unlabelled_demo_as_bytes():
    return (image * 255 for image, _ in demo.calibration())


def unlabelled_demo():
    return (image for image, _ in demo.calibration())


def test_wrong_range_of_unlabelled_data_is_found_by_the_answers():
    finding = doctor(demo.MODEL, f"{__name__}:unlabelled_demo_as_bytes")[0]
    assert finding.kind == "input_range"
    assert finding.numbers["confidence_otherwise"] > finding.numbers["confidence"] + 0.1
    assert finding.numbers["spread_otherwise"] > finding.numbers["spread"] + 0.15
    assert doctor(demo.MODEL, f"{__name__}:unlabelled_demo") == []


@pytest.mark.parametrize(
    ("count", "labelled"),
    [(n, True) for n in (8, 10, 13, 20, 50, 300)] + [(n, False) for n in (8, 10, 13, 50)],
)
def test_the_wrong_range_is_found_at_any_number_of_samples(count, labelled):
    rows = [*demo.calibration(), *demo.evaluation()][:count]
    x = np.stack([np.asarray(image) for image, _ in rows]) * 255
    y = np.array([label for _, label in rows])
    found = doctor(demo.MODEL, (x, y) if labelled else x)
    assert found[0].kind == "input_range"


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("count", [5, 6, 7, 8, 10, 13])
def test_few_clean_samples_raise_no_alarm_and_the_power_names_what_they_cannot_show(count, labelled):
    rows = [*demo.calibration(), *demo.evaluation()][40 : 40 + count]
    x = np.stack([np.asarray(image) for image, _ in rows])
    y = np.array([label for _, label in rows])
    found = doctor(demo.MODEL, (x, y) if labelled else x)
    assert alarms(found) == []
    assert "random_labels (from 20)" in found.power or not labelled
    assert ("saturated_output" in found.power) == (count < 8)


def test_errors_come_before_warnings(tmp_path):
    case = clean()
    repeated(case)
    background_class(case)
    severities = [f.severity for f in findings_of(case, tmp_path)]
    assert severities == sorted(severities, key=lambda s: s != ERROR)
    assert len(severities) >= 2


def test_no_evidence_gives_no_finding():
    assert diagnose(Evidence()) == []


def test_samples_are_judged_on_their_way_to_another_reader(tmp_path):
    x, y = pictures(40)
    x[20:] = x[:20]
    np.savez(tmp_path / "d.npz", x=x, y=y)
    log = SampleLog()
    dataset = open_data(str(tmp_path / "d.npz"), image=None, inputs=[IMAGE])
    assert sum(1 for _ in log.watch(dataset.samples())) == 40
    assert [f.kind for f in diagnose(log.evidence())] == ["duplicates"]


def large_pictures(count):
    random = np.random.default_rng(0)
    return ((random.random((1, 128, 128, 3), np.float32), i % 4) for i in range(count))


def sixty_large():
    return large_pictures(60)


def hundred_eighty_large():
    return large_pictures(180)


def test_memory_does_not_grow_with_the_samples(tmp_path):
    b = Builder()
    x = b.input("image", [1, 128, 128, 3])
    write_model(b.model(b.softmax(b.dense(b.mean(x), 4))), tmp_path / "m.tflite")
    peaks = []
    for source in ("sixty_large", "hundred_eighty_large"):
        spec = InputSpec("image", (1, 128, 128, 3), "float32")
        dataset = open_data(f"{__name__}:{source}", image=None, inputs=[spec])
        tracemalloc.start()
        examine(tmp_path / "m.tflite", dataset)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    sample_bytes = 128 * 128 * 3 * 4
    assert peaks[1] - peaks[0] < 10 * sample_bytes  # 120 samples more


def test_the_command_prints_json_and_words(tmp_path):
    case = clean()
    background_class(case)
    findings_of(case, tmp_path)
    arguments = [str(tmp_path / "model.tflite"), "--data", str(tmp_path / "data.npz")]
    document = json.loads(CliRunner().invoke(command, [*arguments, "--json"], standalone_mode=False).stdout)
    assert "shifted_labels" in [f["kind"] for f in document["findings"]]
    assert document["checks"] == len(CHECKS)
    words = CliRunner().invoke(command, arguments, standalone_mode=False).output
    assert "Fix: Subtract one from every label." in words


def test_few_samples_are_no_fault_of_counted_decisions_where_labels_are_amounts(tmp_path):
    case = clean()
    ten_left(case)
    case.y = np.random.default_rng(0).random((len(case.x), 3)).astype(np.float32)
    assert "few_for_budget" not in {f.kind for f in findings_of(case, tmp_path)}
