from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest

from tightfit.data.sources import InputSpec, open_data
from tightfit.errors import DataError

X = InputSpec("x", (1, 4), "float32")


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def save(request):
    return request.param


def test_rows_come_back_with_a_batch_of_one_and_their_label(tmp_path, save):
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    save(tmp_path / "a.npz", x=x, y=np.arange(10))
    data = open_data(str(tmp_path / "a.npz"), inputs=[X])
    samples = list(data.samples())
    assert len(data) == 10
    assert [s.label for s in samples] == list(range(10))
    assert all(s.inputs["x"].shape == (1, 4) for s in samples)
    np.testing.assert_array_equal(np.concatenate([s.inputs["x"] for s in samples]), x)


def test_samples_come_once_each_in_ascending_order_of_the_indices(tmp_path, save):
    save(tmp_path / "a.npz", x=np.arange(40, dtype=np.float32).reshape(10, 4), y=np.arange(10))
    data = open_data(str(tmp_path / "a.npz"), inputs=[X])
    assert [(s.index, s.label, s.inputs["x"][0, 0]) for s in data.samples([7, 2, 2, 5])] == [
        (2, 2, 8.0),
        (5, 5, 20.0),
        (7, 7, 28.0),
    ]
    assert data.labels([7, 2]).tolist() == [2, 7]


def test_column_major_arrays_are_read_right(tmp_path, save):
    x = np.asfortranarray(np.arange(40, dtype=np.float32).reshape(10, 4))
    save(tmp_path / "a.npz", x=x)
    data = open_data(str(tmp_path / "a.npz"), inputs=[X])
    np.testing.assert_array_equal(np.concatenate([s.inputs["x"] for s in data.samples()]), x)


def test_arrays_are_chosen_by_name(tmp_path):
    np.savez(
        tmp_path / "a.npz", x_test=np.ones((3, 4), np.float32), y_test=[1, 2, 3], x_train=np.zeros((9, 4))
    )
    data = open_data(f"{tmp_path}/a.npz:x_test,y_test", inputs=[X])
    assert len(data) == 3
    assert data.labels().tolist() == [1, 2, 3]
    assert not open_data(f"{tmp_path}/a.npz:x_test", inputs=[X]).has_labels


def test_arrays_of_several_inputs_carry_the_names_of_the_inputs(tmp_path):
    specs = [InputSpec("ids", (1, 3), "int32"), InputSpec("mask", (1, 3), "float32")]
    np.savez(tmp_path / "a.npz", mask=np.ones((2, 3)), ids=np.arange(6).reshape(2, 3), y=[0, 1])
    sample = list(open_data(str(tmp_path / "a.npz"), inputs=specs).samples())[1]
    assert sample.inputs["ids"].tolist() == [[3, 4, 5]]
    assert sample.inputs["ids"].dtype == np.int32
    assert sample.label == 1


def test_the_fingerprint_follows_content_not_compression_or_place(tmp_path):
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    np.savez(tmp_path / "a.npz", x=x)
    np.savez_compressed(tmp_path / "b.npz", x=x)
    np.savez(tmp_path / "c.npz", x=x + 1)
    a, b, c = (open_data(f"{tmp_path}/{n}.npz", inputs=[X]).fingerprint() for n in "abc")
    assert a == b != c


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path, save):
    rows, width = 2000, 2048
    save(tmp_path / "a.npz", x=np.zeros((rows, width), np.float32), y=np.zeros(rows, np.int64))
    tracemalloc.start()
    count = sum(
        1
        for _ in open_data(str(tmp_path / "a.npz"), inputs=[InputSpec("x", (1, width), "float32")]).samples()
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == rows
    assert peak < rows * width * 4 / 4  # the whole array is four times this


def test_labels_that_are_arrays_are_given_with_the_samples_only(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4)), y=np.arange(6.0).reshape(2, 3))
    data = open_data(str(tmp_path / "a.npz"), inputs=[X])
    assert data.labels() is None
    assert [s.label.tolist() for s in data.samples()] == [[0, 1, 2], [3, 4, 5]]


def test_a_description_names_the_file_without_its_folder(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 4)), y=[0, 0, 1, 1])
    assert open_data(str(tmp_path / "a.npz"), inputs=[X]).describe() == {
        "kind": "arrays",
        "name": "a.npz",
        "count": 4,
        "has_labels": True,
        "classes": 2,
    }


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 4)), "y": np.zeros(2, int)}, "different numbers of rows: 'x' 3, 'y' 2"),
        ({"x": np.zeros((0, 4))}, "'a.npz' have no rows"),
        ({"x": np.float32(1)}, "'x' of 'a.npz' is a single value"),
        ({"images": np.zeros((3, 4))}, "holds the arrays images. Expected 'x'"),
        ({"x": np.array([[1], [2, 3]], dtype=object)}, "pickled Python objects"),
    ],
)
def test_arrays_that_are_no_samples_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_data(str(tmp_path / "a.npz"), inputs=[X])


def test_labels_that_are_words_are_text_and_no_classes(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4)), y=["cat", "dog"])
    data = open_data(str(tmp_path / "a.npz"), inputs=[X])
    assert data.labels() is None
    assert [s.label for s in data.samples()] == ["cat", "dog"]


def test_a_wrong_array_name_gets_the_closest_one(tmp_path):
    np.savez(tmp_path / "a.npz", x_test=np.zeros((3, 4)), y_test=np.zeros(3))
    with pytest.raises(DataError, match=r"'x_tset'.*Did you mean 'x_test'"):
        open_data(f"{tmp_path}/a.npz:x_tset", inputs=[X])


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"'a.npz' is not an .npz file"):
        open_data(str(tmp_path / "a.npz"), inputs=[X])


def test_an_array_file_inside_that_is_damaged_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"garbage")
    with pytest.raises(DataError, match=r"Array 'x' of 'a.npz' cannot be read"):
        open_data(str(tmp_path / "a.npz"), inputs=[X])


def test_damaged_compressed_data_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).random((50, 4)))
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[600:700] = bytes(100)
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.npz"):
        list(open_data(str(tmp_path / "a.npz"), inputs=[X]).samples())


def test_an_index_out_of_range_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4)))
    with pytest.raises(DataError, match=r"Sample 3 was asked for, but 'a.npz' has 3 samples"):
        list(open_data(str(tmp_path / "a.npz"), inputs=[X]).samples([0, 3]))
