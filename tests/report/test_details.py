"""What the report says of the chosen file."""

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from tightfit.data.sample import Sample
from tightfit.evaluation.parallel_runs import RunRound
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.report.page.details import DecisionCounts, details_of, storage_of
from tightfit.report.page.html import render_html
from tightfit.report.page.snippets import snippets

X = np.random.default_rng(0).standard_normal((30, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    write_model(conv_net(), folder / "net.tflite")
    report = tightfit.optimize(
        folder / "net.tflite",
        (X, np.arange(30) % 3),
        folder / "out",
        only=["int8"],
        judge="estimate",
        max_drop=0.9,
        calibration=10,
        effort="quick",
    )
    return folder, report


def round_of(label, before, after):
    outputs = [{"y": np.eye(3)[[decided]]} for decided in (before, after)]
    return RunRound(label, outputs[0], tuple(outputs), inputs={"x": X[:1]})


def test_classes_confusions_and_flipped_samples_are_counted():
    decisions = DecisionCounts(until=np.inf)
    decisions.take([round_of(0, 0, 0), round_of(0, 0, 1), round_of(1, 1, 1), round_of(2, 1, 2)])
    facts = decisions.facts()
    assert (facts["decided"], facts["changed"]) == (4, 2)
    assert facts["classes"][0] == {"class": 0, "samples": 2, "original": 1.0, "chosen": 0.5}
    assert facts["confusion"] == [{"label": 0, "decision": 1, "samples": 1}]
    assert [(f["index"], f["original"], f["chosen"]) for f in facts["flipped"]] == [(1, 0, 1), (3, 1, 2)]
    assert facts["flipped"][0]["picture"].startswith("data:image/png;base64,")


def test_time_ends_the_decisions():
    decisions = DecisionCounts(until=0.0)
    decisions.take([round_of(0, 0, 0)] * 5)
    assert decisions.count == 1


def test_the_parts_of_a_file_add_up(searched):
    _, report = searched
    size = report.path.stat().st_size
    assert sum(row["bytes"] for row in storage_of(read_model(report.path), size)) == size


def test_details_without_decisions_have_bytes_and_memory(searched):
    folder, report = searched
    samples = [Sample({"image": np.zeros((1, 3), np.float32)})]
    found = details_of(folder / "net.tflite", report.path, samples, seconds=1.0)
    assert found["memory"]["activations"] > 0
    assert "classes" not in found


def test_the_page_has_each_section(searched):
    folder, report = searched
    assert report.details["decided"] == 20
    page = render_html(report)
    for words in ("Accuracy by class", "Where the bytes are", "Memory plan", "Code that runs it", "Next:"):
        assert words in page
    assert "tightfit optimize " in page
    assert (folder / "out" / "report.html").read_text().count("Accuracy by class") == 1


def test_the_python_snippet_runs(searched):
    _, report = searched
    model = read_model(report.path)
    code = snippets(model, str(report.path), None)[0].code
    space = {}
    exec(code, space)  # noqa: S102 - the code is of this project
    assert space["y"].shape == (1, *model.main.outputs[0].shape[1:])


@pytest.mark.parametrize("language", ["C++", "Kotlin", "tflite-micro"])
def test_other_snippets_name_types_and_preprocessing(searched, language):
    _, report = searched
    code = {s.language: s.code for s in snippets(read_model(report.path), "best.tflite", "size=16")}[language]
    assert "size=16" in code
    assert "{" not in code.replace("{}", "")
