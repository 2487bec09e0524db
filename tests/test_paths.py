from __future__ import annotations

import os
from pathlib import Path

import pytest

from tightfit.cli.options.configuration import read_config
from tightfit.conversion.open_model import open_model
from tightfit.errors import OptionError
from tightfit.evaluation.metrics.decoders import read_numbers
from tightfit.files import atomic_file
from tightfit.graph.format.mapped_files import map_file
from tightfit.paths import check_paths, refuse_irregular
from tightfit.report.report import read_report
from tightfit.search.devices.device_file import read_devices
from tightfit.search.run_file import read_run


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"model")
    return path


def test_places_of_their_own_pass_and_stay_as_they_are(model, tmp_path):
    check_paths(
        {"model": model, "data": "module:function"}, {"The output": tmp_path / "out.tflite", "The plan": None}
    )
    assert list(tmp_path.iterdir()) == [model]
    assert model.read_bytes() == b"model"


def same(model, _tmp_path):
    return model


def linked(model, tmp_path):
    (tmp_path / "link.tflite").symlink_to(model)
    return tmp_path / "link.tflite"


def hard_linked(model, tmp_path):
    os.link(model, tmp_path / "twin.tflite")
    return tmp_path / "twin.tflite"


def spelled_otherwise(model, tmp_path):
    (tmp_path / "sub").mkdir()
    return tmp_path / "sub" / ".." / model.name


@pytest.mark.parametrize("spelling", [same, linked, hard_linked, spelled_otherwise])
@pytest.mark.parametrize("what", ["model", "data"])
def test_what_is_read_is_never_written_however_it_is_spelled(spelling, what, model, tmp_path):
    with pytest.raises(OptionError, match=f"is the {what} itself, which is never changed"):
        check_paths({what: model}, {"The output": spelling(model, tmp_path)})


def test_arrays_chosen_in_a_file_are_that_file(tmp_path):
    data = tmp_path / "data.zipped"
    data.write_bytes(b"x")
    with pytest.raises(OptionError, match="is the data itself"):
        check_paths({"data": f"{data}:x_test,y_test"}, {"The output": data})


def test_two_results_have_two_places(model, tmp_path):
    for place in (tmp_path / "new.tflite", tmp_path / "old.tflite"):
        if place.name.startswith("old"):
            place.write_bytes(b"old")
        with pytest.raises(OptionError, match="is the place of another result"):
            check_paths({"model": model}, {"The output": place, "The plan": tmp_path / "." / place.name})


@pytest.mark.parametrize("name", ["data.npz", "photo.jpg", "model.keras", "loader.py", "list.csv"])
def test_files_that_tightfit_never_writes_are_not_replaced(name, model, tmp_path):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(OptionError, match="is no result of tightfit"):
        check_paths({"model": model}, {"The output": tmp_path / name})


@pytest.mark.parametrize(
    "place",
    [
        "best.tflite",
        "best-pi5.tflite",
        "report.json",
        "gate.md",
        "candidates/float32.tflite",
        "candidates/own.tflite",
    ],
)
def test_a_search_replaces_nothing_of_its_folder_that_it_reads(place, tmp_path):
    inside = tmp_path / "out" / place
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"model")
    with pytest.raises(OptionError, match="is the model itself"):
        check_paths({"model": inside}, {}, folder=tmp_path / "out")


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), ("/dev/null", "a device")):
        with pytest.raises(OptionError, match=f"is {kind}, which is not replaced"):
            check_paths({}, {"The output": path})
    with pytest.raises(OptionError, match="a pipe"), atomic_file(tmp_path / "pipe"):
        pass
    refuse_irregular(tmp_path / "nothing")


@pytest.mark.parametrize(
    "read", [read_config, read_run, read_devices, read_report, open_model, map_file, read_numbers]
)
def test_a_pipe_that_nobody_writes_into_is_refused_instead_of_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(OptionError, match="is a pipe; expected a regular file"):
        read(tmp_path / "pipe.tflite")
    with pytest.raises(OptionError, match="is a device"):
        read(Path("/dev/zero"))


def test_a_pipe_of_the_shell_is_read():
    reads, writes = os.pipe()
    os.write(writes, b"seed = 1")
    os.close(writes)
    assert read_run(f"/dev/fd/{reads}") == {"seed": 1}
    os.close(reads)
