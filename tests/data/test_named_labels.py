from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tightfit.data.function_source import split_labels
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.errors import DataError

X = InputSpec("x", (1, 4), "float32")
OUTPUTS = ("digit", "parity")


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4), np.float32), **arrays)
    return str(tmp_path / "a.npz")


def test_arrays_named_as_the_outputs_are_labels(tmp_path):
    path = saved(tmp_path, digit=np.array([1, 2, 3]), parity=np.array([1, 0, 1]))
    data = open_data(path, inputs=[X], outputs=OUTPUTS)
    assert data.has_labels
    assert not data.notes
    assert [dict(s.labels) for s in data.samples()] == [
        {"digit": 1, "parity": 1}, {"digit": 2, "parity": 0}, {"digit": 3, "parity": 1}]  # fmt: skip
    assert data.named_labels([0, 2])["digit"].tolist() == [1, 3]
    assert data.classes().tolist() == [1, 2, 3]


def test_an_array_that_is_not_used_is_noted(tmp_path):
    path = saved(tmp_path, digits=np.arange(3), train=np.zeros(7))
    data = open_data(path, inputs=[X], outputs=OUTPUTS)
    (note,) = data.notes
    assert note.startswith(
        "'digits' of 'a.npz' is not used: labels are called y, or as the outputs (digit, parity)"
    )
    assert "a.npz:x,digits=digit" in note
    chosen = open_data(path + ":x,digits=digit", inputs=[X], outputs=OUTPUTS)
    assert [s.labels["digit"] for s in chosen.samples()] == [0, 1, 2]


def test_boxes_bring_their_classes(tmp_path):
    path = saved(tmp_path, boxes=np.zeros((3, 5, 4)), labels=np.full((3, 5), -1))
    data = open_data(path, inputs=[X], outputs=("raw",))
    assert set(next(data.samples()).labels) == {"boxes", "labels"}


def test_labels_change_the_fingerprint_by_their_names(tmp_path):
    path = saved(tmp_path, digit=np.arange(3), parity=np.arange(3))
    both = open_data(path, inputs=[X], outputs=OUTPUTS).fingerprint()
    assert both != open_data(path, inputs=[X], outputs=("digit",)).fingerprint()
    swapped = open_data(path + ":x,digit=parity,parity=digit", inputs=[X], outputs=OUTPUTS).fingerprint()
    assert both != swapped


def test_lines_may_label_each_output(tmp_path):
    rows = [
        {"x": [0, 0, 0, 0], "digit": 3, "parity": 1},
        {"x": [1, 0, 0, 0], "labels": {"digit": 4, "parity": [0, 1]}},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = open_data(str(tmp_path / "m.jsonl"), inputs=[X], outputs=OUTPUTS)
    first, second = data.samples()
    assert dict(first.labels) == {"digit": 3, "parity": 1}
    assert second.labels["digit"] == 4
    assert second.labels["parity"].tolist() == [0, 1]
    assert set(data.named_labels()) == {"digit"}
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, [rows[0], {"x": [0, 0, 0, 0], "digit": 1}])))
    with pytest.raises(DataError, match=r"1 of the 2 rows of 'm.jsonl' have no label 'parity'"):
        open_data(str(tmp_path / "m.jsonl"), inputs=[X], outputs=OUTPUTS)


def test_columns_may_be_named_as_the_outputs(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text('path,digit,boxes\na.png,3,"[[1, 2, 3, 4]]"\n')
    image = InputSpec("x", (1, 4, 4, 3), "float32")
    data = open_data(
        str(tmp_path / "m.csv"),
        inputs=[image],
        outputs=OUTPUTS,
        image=ImageOptions.parse("size=4,mean=0,std=1"),
    )
    (sample,) = data.samples()
    assert sample.labels["digit"] == 3
    assert sample.labels["boxes"].tolist() == [[1, 2, 3, 4]]


def test_a_mapping_names_labels_and_a_tuple_orders_them():
    assert split_labels({"a": 1})[1] == {"a": 1}
    named = split_labels((np.zeros(2), np.zeros((3, 4))))[1]
    assert list(named) == ["#0", "#1"]
    assert split_labels((1, 2)) == ((1, 2), {})
    assert split_labels([np.zeros(5), np.zeros(5)])[0].shape == (2, 5)


def test_yolo_label_files_beside_images_are_boxes_that_follow_the_crop(tmp_path):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png")
    (tmp_path / "a.txt").write_text("3 0.5 0.5 0.25 0.5\n1 0.05 0.5 0.1 0.2\n")
    spec = InputSpec("x", (1, 20, 20, 3), "float32")
    whole, cut = (
        list(open_data(str(tmp_path), inputs=[spec], image=ImageOptions.parse(text)).samples())
        for text in ("size=20,mean=0,std=1", "size=20,crop=1,mean=0,std=1")
    )
    assert whole[0].labels["boxes"].tolist() == [
        [0.375, 0.25, 0.625, 0.75],
        [0.0, 0.4, pytest.approx(0.1), 0.6],
    ]
    assert whole[0].labels["classes"].tolist() == [3, 1]
    assert whole[1].labels["boxes"].shape == (0, 4)
    # the middle 20 of 40 pixels are left: the second box is gone
    assert cut[0].labels["boxes"].tolist() == [[0.25, 0.25, 0.75, 0.75]]
    assert np.ravel(cut[0].labels["classes"]).tolist() == [3]


def test_other_text_beside_images_is_no_label(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a photo of a cat\n")
    spec = InputSpec("x", (1, 20, 20, 3), "float32")
    assert not open_data(
        str(tmp_path), inputs=[spec], image=ImageOptions.parse("size=20,mean=0,std=1")
    ).has_labels
