"""``tightfit convert``, and the other commands on a model that is no ``.tflite``."""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec

import pytest

from tightfit.conversion import formats

NEEDED = [name for name in ("keras", "jax", "litert_converter") if find_spec(name) is None]
with_keras = pytest.mark.skipif(bool(NEEDED), reason=f"needs {', '.join(NEEDED)}: the extra 'keras'")


def keras_file(path, config):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    return path


def assert_one_sentence(result, *words):
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("tightfit: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


@with_keras
def test_a_model_of_own_code_is_converted_and_quantized(tmp_path, monkeypatch, call):
    (tmp_path / "nets.py").write_text(
        "import keras\n\ndef small():\n"
        "    x = keras.Input((4,), name='x')\n"
        "    return keras.Model(x, keras.layers.Dense(3, activation='gelu', name='y')(x))\n"
    )
    monkeypatch.chdir(tmp_path)
    code, out, err = call("convert", "nets:small", "-o", "net.tflite", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["size_bytes"] == (tmp_path / "net.tflite").stat().st_size
    assert facts["differences"][0]["largest"] < 1e-5
    assert facts["route"].startswith("Keras on JAX")
    code, out, err = call("quantize", "nets:small", "float16", "-o", "half.tflite", "--json")
    assert code == 0, err
    assert json.loads(out)["size_bytes"] == (tmp_path / "half.tflite").stat().st_size


def test_a_lambda_is_one_sentence_and_exit_code_2(tmp_path, call):
    layer = {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "twice"}}
    config = {"class_name": "Sequential", "module": "keras", "config": {"layers": [layer]}}
    path = keras_file(tmp_path / "lambda.keras", config)
    for command in (["convert", path, "-o", tmp_path / "x.tflite"], ["inspect", path]):
        assert_one_sentence(call(*command), "Lambda layer 'twice'", "--trust")
    assert not (tmp_path / "x.tflite").exists()


def test_a_torch_pickle_is_one_sentence_and_exit_code_2(tmp_path, call):
    (tmp_path / "model.pth").write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    result = call("convert", tmp_path / "model.pth", "-o", tmp_path / "x.tflite")
    assert_one_sentence(result, "runs code when it is opened", "module:function")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("net.pt2", "litert_torch", "torch"),
        ("net.onnx", "onnx", "onnx"),
        ("saved", "tensorflow", "tensorflow"),
    ],
)
def test_a_missing_extra_is_one_sentence_with_the_pip_command(
    tmp_path, monkeypatch, call, name, package, extra
):
    monkeypatch.setattr(formats, "find_spec", lambda _: None)  # an environment without any extra
    if name == "saved":
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"x")
    else:
        (tmp_path / name).write_bytes(b"x")
    assert_one_sentence(call("inspect", tmp_path / name), package, f"pip install 'tightfit[{extra}]'")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch", "many"], "Received --batch many"),
        (["--input-shape", "1,x"], "Received the input shape '1,x'"),
        (["--backend", "jaxx"], "Did you mean 'jax'"),
        (["--uint8", "mean=1"], "expected mean=NUMBER,std=NUMBER"),
        (["--hold", "sr"], "for example sr=16000"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, call, words, said):
    assert_one_sentence(call("convert", "x.keras", "-o", tmp_path / "y.tflite", *words), said)
