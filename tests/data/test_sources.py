from __future__ import annotations

import numpy as np
import pytest

from tightfit.data.sources import InputSpec, open_data
from tightfit.errors import DataError

X = InputSpec("x", (1, 4), "float32")
PAIR = [InputSpec("ids", (1, 4), "int32"), InputSpec("mask", (1, 4), "float32")]


@pytest.mark.parametrize("spec", ["nowhere", "nowhere.npz", "nowhere/photos", "a b:c", ""])
def test_data_that_does_not_exist_is_refused_with_the_forms_that_data_has(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"(does not exist|holds no images).*"):
        open_data(spec, inputs=[X])


def test_a_missing_npz_with_chosen_arrays_is_named():
    with pytest.raises(DataError, match=r"'gone.npz' does not exist. Expected an .npz file"):
        open_data("gone.npz:x,y", inputs=[X])


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(b"")
    with pytest.raises(DataError, match=r"'a.tfrecord' is a .tfrecord file. Expected an .npz file"):
        open_data(str(tmp_path / "a.tfrecord"), inputs=[X])


def test_arrays_of_a_model_of_two_inputs_are_chosen_in_any_order(tmp_path):
    np.savez(tmp_path / "a.npz", t=[1, 0], mask=np.ones((2, 4)), ids=np.zeros((2, 4), int), rest=np.zeros(9))
    data = open_data(f"{tmp_path}/a.npz:t,mask,ids", inputs=PAIR)
    assert data.labels().tolist() == [1, 0]
    assert set(next(data.samples()).inputs) == {"ids", "mask"}


@pytest.mark.parametrize("names", ["ids,t", "ids,mask,t,u"])
def test_a_choice_that_leaves_inputs_or_labels_open_is_refused(tmp_path, names):
    np.savez(tmp_path / "a.npz", ids=np.zeros((2, 4), int), mask=np.ones((2, 4)), t=[1, 0], u=[1, 0])
    with pytest.raises(DataError, match=rf"arrays of 'a.npz' were chosen: {', '.join(names.split(','))}"):
        open_data(f"{tmp_path}/a.npz:{names}", inputs=PAIR)


def test_only_npz_files_take_names_of_arrays(tmp_path):
    (tmp_path / "m.csv").write_text("path\n")
    with pytest.raises(DataError, match=r"m.csv' takes no ':x'"):
        open_data(f"{tmp_path}/m.csv:x", inputs=[X])


def test_a_folder_that_vanishes_is_an_error_of_the_data(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4)))
    data = open_data(str(tmp_path / "a.npz"), inputs=[X])
    (tmp_path / "a.npz").unlink()
    with pytest.raises(DataError, match=r"'a.npz' cannot be read: .*No such file"):
        list(data.samples())


def test_a_spec_is_taken_from_whatever_describes_an_input():
    class Described:
        name, shape, dtype, scale, zero_point = "x", (1, 1, 3), "int8", 0.5, 2
        shape_signature = (-1, -1, 3)

    assert InputSpec.of(Described()) == InputSpec("x", (-1, -1, 3), "int8", 0.5, 2)


def test_one_array_in_a_file_of_its_own_is_samples_without_labels(tmp_path):
    values = np.random.default_rng(0).normal(0, 1, (5, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    data = open_data(str(tmp_path / "x.npy"), inputs=[InputSpec("image", (1, 3), "float32")])
    assert len(data) == 5
    assert data.labels() is None
