"""Stand-ins for what hostile Keras and ONNX files name: a marker must stay unread, a size is not taken."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tightfit.conversion.load_model import load
from tightfit.errors import ModelError

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'tightfit[keras]'")

MARKER = b"only the owner reads this"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small dense model, as Keras saves it, written by hand."""
    path = tmp_path_factory.mktemp("saved") / "small.keras"
    write_keras(path, config())
    return path


def layer(kind: str = "Dense", module: Any = "keras.layers", **inner: Any) -> dict[str, Any]:
    plain = {"name": "one", "units": 2, "activation": "linear"} if kind == "Dense" else {"name": "one"}
    return {"module": module, "class_name": kind, "config": plain | inner, "registered_name": None}


def config(*layers: dict[str, Any]) -> dict[str, Any]:
    first = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 3], "dtype": "float32", "name": "x"},
        "registered_name": None,
    }
    inner = {"name": "small", "layers": [first, *(layers or (layer(),))], "build_input_shape": [None, 3]}
    return {"module": "keras", "class_name": "Sequential", "config": inner, "registered_name": None}


def weights(change=None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables["0"], variables["1"] = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
        if change is not None:
            change(file)
    return buffer.getvalue()


def write_keras(path: Path, architecture: Any, h5: bytes | None = None, extra=None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.0"}))
        archive.writestr("config.json", json.dumps(architecture))
        archive.writestr("model.weights.h5", weights() if h5 is None else h5)
        if extra is not None:
            extra(archive)


def test_the_file_that_the_stand_ins_are_made_of_converts(saved, tmp_path):
    assert load(saved, tmp_path / "small.tflite").differences


FUNCTION = {"class_name": "function", "registered_name": "function"}


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (layer("Activation", activation=FUNCTION | {"module": "os", "config": "getcwd"}), "module 'os'"),
        (layer("Activation", activation=FUNCTION | {"module": "builtins", "config": "open"}), "'open' of"),
        (
            layer("Activation", activation=FUNCTION | {"module": "keras.utils", "config": "get_file"}),
            "'get_file'",
        ),
        (
            layer(
                "Activation",
                activation=FUNCTION | {"module": "keras.config", "config": "enable_unsafe_deserialization"},
            ),
            "'enable_unsafe_deserialization'",
        ),
        (
            layer("Activation", activation=FUNCTION | {"module": "keras.models", "config": "load_model"}),
            "load_model",
        ),
        (layer("get_file", "keras.src.utils.file_utils"), "no part of a model"),
        (layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "x"}}), "Lambda"),
        (layer("TFSMLayer", filepath="elsewhere"), "another SavedModel"),
        (layer("StringLookup", vocabulary="words.txt"), "vocabulary is the file 'words.txt'"),
        (layer("TextVectorization", vocabulary="https://example.org/words.txt"), "vocabulary is the file"),
        (layer("IntegerLookup", vocabulary="/etc/hostname"), "vocabulary is the file '/etc/hostname'"),
    ],
)
def test_a_config_that_names_more_than_a_model_is_refused(node, words, tmp_path):
    path = tmp_path / "odd.keras"
    write_keras(path, config(layer(), node))
    with pytest.raises(ModelError, match=words):
        load(path, tmp_path / "odd.tflite")
    assert [p.name for p in tmp_path.iterdir()] == ["odd.keras"]


def test_activations_losses_and_ops_of_keras_are_part_of_models(tmp_path):
    kept = [
        FUNCTION | {"module": "builtins", "config": "relu"},
        FUNCTION | {"module": "keras.ops", "config": "tanh"},
    ]
    path = tmp_path / "plain.keras"
    write_keras(
        path, config(layer(), *(layer("Activation", activation=a, name=f"a{i}") for i, a in enumerate(kept)))
    )
    assert load(path, tmp_path / "plain.tflite").differences


def external_link(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("marker.h5", "/secret")


def soft_link(file):
    file["layers/dense/again"] = h5py.SoftLink("/layers/dense/vars")


def external_values(file):
    del file["layers/dense/vars/0"]
    file.create_dataset(
        "layers/dense/vars/0", (3, 2), np.float32, external=[("marker.bin", 0, h5py.h5f.UNLIMITED)]
    )


def virtual_values(file):
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource("marker.h5", "secret", (3, 2))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def enormous(file):
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (10**6, 10**6), np.float32, chunks=(1000, 1000))


@pytest.mark.parametrize("change", [external_link, soft_link, external_values, virtual_values, enormous])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_weights_that_read_other_files_or_declare_more_than_they_store_are_refused(change, suffix, tmp_path):
    (tmp_path / "marker.bin").write_bytes(MARKER)
    with h5py.File(tmp_path / "marker.h5", "w") as marker:
        marker["secret"] = np.full((3, 2), 7, np.float32)
    path, before = tmp_path / f"odd{suffix}", (tmp_path / "marker.bin").stat().st_atime_ns
    if suffix == ".keras":
        write_keras(path, config(), weights(change))
    else:
        path.write_bytes(weights(change))
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = json.dumps(config())
    with pytest.raises(ModelError, match="Keras writes no such file"):
        load(path, tmp_path / "odd.tflite")
    assert (tmp_path / "marker.bin").stat().st_atime_ns == before
    assert not (tmp_path / "odd.tflite").exists()


def outside(archive):
    archive.writestr("../outside.txt", "x")


def link(archive):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "marker")


def expanding(archive):
    archive.writestr("assets/zeros", bytes(1 << 25), zipfile.ZIP_BZIP2, 9)


@pytest.mark.parametrize(
    ("extra", "words"), [(outside, "outside of"), (link, "a link"), (expanding, "in a few")]
)
def test_archives_with_members_that_keras_does_not_write_are_refused(extra, words, tmp_path):
    path = tmp_path / "odd.keras"
    write_keras(path, config(), extra=extra)
    with pytest.raises(ModelError, match=words):
        load(path, tmp_path / "odd.tflite")
    assert not (tmp_path.parent / "outside.txt").exists()


@pytest.mark.parametrize(
    "text", ["[1, 2]", "null", "{", '{"class_name": 3}', "[" * 100_000, '"a"', '{"config": {"layers": 5}}']
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_odd_configs_are_refused_in_a_sentence(text, suffix, tmp_path):
    path = tmp_path / f"odd{suffix}"
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", text)
            archive.writestr("model.weights.h5", weights())
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = text if len(text) < 60_000 else "[" * 30_000
    with pytest.raises(ModelError):
        load(path, tmp_path / "odd.tflite")


onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'tightfit[onnx]'")


def external_model(location: str, **places: str) -> Any:
    from onnx import TensorProto, helper  # noqa: PLC0415 - optional

    held = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL)
    for key, value in ({"location": location} | places).items():
        held.external_data.add(key=key, value=value)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [held])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_weights_in_a_plain_file_beside_the_model_are_read(tmp_path):
    (tmp_path / "w.bin").write_bytes(np.ones((3, 2), np.float32).tobytes())
    (tmp_path / "m.onnx").write_bytes(external_model("w.bin").SerializeToString())
    assert load(tmp_path / "m.onnx", tmp_path / "m.tflite").largest_difference < 1e-5


def test_weights_of_a_branch_without_ops_are_looked_at(tmp_path):
    """A branch may be one constant: a graph that holds a weight and no node."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - optional

    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2])])
    branch.initializer.append(external_model("../marker.bin").graph.initializer[0])
    for kind in ("g", "graphs"):
        model = external_model("w.bin")
        del model.graph.initializer[:]
        attribute = model.graph.node[0].attribute.add(name="then_branch")
        held = attribute.g if kind == "g" else attribute.graphs.add()
        held.CopyFrom(branch)
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="keeps the weight 'w'"):
            load(tmp_path / "m.onnx", tmp_path / "m.tflite")


def test_a_place_that_is_no_text_is_refused(tmp_path):
    content = external_model("w.bin").SerializeToString().replace(b"w.bin", b"w\xff\xfein")
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError):
        load(tmp_path / "m.onnx", tmp_path / "m.tflite")


def test_hdf5_is_read_in_the_confined_child_alone(tmp_path):
    path = tmp_path / "small.h5"
    path.write_bytes(weights())
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(
            config(layer("Lambda", function={"class_name": "__lambda__"}))
        )
    program = (
        "import sys\nfrom tightfit.errors import ModelError\n"
        "from tightfit.conversion.load_model import load\n"
        f"try: load({str(path)!r}, {str(tmp_path / 'small.tflite')!r})\n"
        "except ModelError as error: print('Lambda' in str(error), 'h5py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "True False\n", done.stderr


def linked(folder, marker):
    (folder / "w.bin").symlink_to(marker)
    return "w.bin", {}


def hard_linked(folder, marker):
    os.link(marker, folder / "w.bin")
    return "w.bin", {}


def in_linked_folder(folder, marker):
    (folder / "sub").symlink_to(marker.parent)
    return f"sub/{marker.name}", {}


def outside_of(_folder, marker):
    return f"../{marker.parent.name}/{marker.name}", {}


def absolute(_folder, marker):
    return str(marker), {}


def fixed(location, **places):
    return lambda _folder, _marker: (location, places)


PLACES = {
    "a parent folder": outside_of,
    "an absolute path": absolute,
    "a link": linked,
    "a hard link": hard_linked,
    "a link in a folder": in_linked_folder,
    "an unknown key": fixed("own.bin", __class__="x"),
    "an offset beyond the end": fixed("own.bin", offset="100000"),
    "a negative length": fixed("own.bin", length="-1"),
    "a length that is no number": fixed("own.bin", length="many"),
    "a device": fixed("../../../../../../dev/zero"),
    "nothing": fixed(""),
}


@pytest.mark.parametrize("kind", PLACES)
def test_weights_anywhere_but_in_a_plain_file_of_the_folder_are_refused(kind, tmp_path):
    folder, aside = tmp_path / "model", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    marker = aside / "marker.bin"
    marker.write_bytes(MARKER)
    (folder / "own.bin").write_bytes(bytes(24))
    location, places = PLACES[kind](folder, marker)
    before = marker.stat().st_atime_ns
    (folder / "m.onnx").write_bytes(external_model(location, **places).SerializeToString())
    with pytest.raises(ModelError, match="keeps the weight 'w'"):
        load(folder / "m.onnx", folder / "m.tflite")
    assert marker.stat().st_atime_ns == before
    assert not (folder / "m.tflite").exists()


def test_an_input_without_a_type_is_refused_in_a_sentence(tmp_path):
    model = external_model("w.bin")
    model.graph.initializer[0].data_location = 0
    model.graph.initializer[0].raw_data = np.ones((3, 2), np.float32).tobytes()
    model.graph.input[0].type.tensor_type.elem_type = 0
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="no tensor of a known type"):
        load(tmp_path / "m.onnx", tmp_path / "m.tflite")
