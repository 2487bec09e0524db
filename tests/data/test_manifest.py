from __future__ import annotations

import json

import pytest
from PIL import Image

from tightfit.data.sources import ImageOptions, InputSpec, open_data
from tightfit.errors import DataError

PHOTO = InputSpec("image", (1, 4, 4, 3), "float32")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    for i in range(3):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"img/{i}.png")
    return tmp_path


def opened(path, *specs):
    image = None if specs else ImageOptions.parse("size=4")
    return open_data(str(path), image=image, inputs=list(specs) or [PHOTO])


def test_a_csv_lists_images_beside_it_with_labels(folder):
    (folder / "m.csv").write_text("\ufeffpath,label\nimg/2.png,5\nimg/0.png, 1\n", encoding="utf-8")
    data = opened(folder / "m.csv")
    assert data.labels().tolist() == [5, 1]
    assert [s.inputs["image"][0, 0, 0, 0] for s in data.samples()] == [2, 0]


def test_a_csv_without_labels_has_none(folder):
    (folder / "m.csv").write_text("path\nimg/2.png\n")
    assert not opened(folder / "m.csv").has_labels


def test_real_labels_stay_real(folder):
    (folder / "m.csv").write_text("path,label\nimg/0.png,0.5\nimg/1.png,2\n")
    data = opened(folder / "m.csv")
    assert data.labels().tolist() == [0.5, 2.0]
    assert float(next(data.samples()).label) == 0.5


def test_jsonl_lists_images(folder):
    lines = [{"path": "img/1.png", "label": 3}, {"path": "img/0.png", "label": 4}]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert opened(folder / "m.jsonl").labels().tolist() == [3, 4]


def test_jsonl_holds_arrays_for_each_input(tmp_path):
    lines = [{"a": [1, i], "b": [[0.5]], "label": i} for i in range(4)]
    (tmp_path / "m.jsonl").write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    data = opened(tmp_path / "m.jsonl", InputSpec("a", (1, 2), "int32"), InputSpec("b", (1, 1, 1), "float32"))
    assert len(data) == 4
    assert [(s.label, s.inputs["a"].tolist()) for s in data.samples([3, 1])] == [(1, [[1, 1]]), (3, [[1, 3]])]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "m.csv",
            "file,class\na,1\n",
            "header of 'm.csv' is 'file', 'class'. Expected the columns path,label",
        ),
        ("m.csv", "", "header of 'm.csv' is nothing"),
        ("m.csv", "path,label\n", "lists no samples"),
        ("m.csv", "path,label\nimg/9.png,1\n", "Line 2 of 'm.csv' names 'img/9.png', which does not exist"),
        ("m.csv", "path,label\nimg/0.png,cat\n", "Line 2 of 'm.csv' has the label 'cat'. Expected a number"),
        ("m.csv", "path,label\nimg/0.png,1\nimg/1.png,\n", "1 of the 2 rows of 'm.csv' have no label"),
        ("m.jsonl", "", "lists no samples"),
        ("m.jsonl", "{nope\n", "Line 1 of 'm.jsonl' is not JSON"),
        ("m.jsonl", "[1]\n", "Line 1 of 'm.jsonl' is not an object"),
        ("m.jsonl", '{"path": 3}\n', "Line 1 of 'm.jsonl' has no path"),
    ],
)
def test_a_manifest_that_is_not_understood_names_the_line(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        opened(folder / name)


def test_ragged_json_arrays_are_refused(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"a": [[1], [2, 3]]}\n')
    with pytest.raises(DataError, match="'a' has rows of different lengths"):
        list(opened(tmp_path / "m.jsonl", InputSpec("a", (1, 2), "int32")).samples())
