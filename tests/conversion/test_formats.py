from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tightfit.conversion import formats
from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.formats import FORMATS, Format, find_format, is_spec, is_tflite
from tightfit.conversion.interface import plain_name
from tightfit.conversion.load_model import load
from tightfit.conversion.open_model import open_model
from tightfit.errors import ModelError, OptionError


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".joblib"])
def test_pickles_are_refused_unopened(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(ModelError, match=r"runs code when it is opened.*module:function"):
        open_model(path)


def test_weights_without_a_model_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(ModelError, match="weights without the model"):
        load(path)


def test_a_missing_model_names_what_is_expected():
    with pytest.raises(ModelError, match=r"no model 'nowhere.keras'.*SavedModel folder or module:attribute"):
        open_model("nowhere.keras")


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"folder without saved_model.pb"):
        find_format(tmp_path)


def test_a_missing_package_names_the_command_that_installs_it():
    row = Format("a model of Nemo", "nemo", ("nemo_of_nowhere",), "nemo", lambda _: True)
    with pytest.raises(OptionError, match=r"needs nemo_of_nowhere.*pip install 'tightfit\[nemo\]'"):
        row.check_installed()


def test_every_format_has_its_file_and_its_extra():
    folder = Path(formats.__file__).parent
    assert all((folder / f"{row.module.replace(chr(46), chr(47))}.py").is_file() for row in FORMATS)


def test_what_is_a_tflite_and_what_names_code(tmp_path):
    other = tmp_path / "model.bin"
    other.write_bytes(b"")
    assert is_tflite("x.tflite")
    assert is_tflite(other)
    assert not is_tflite("x.keras")
    assert is_spec("my.models:build")
    assert not is_spec("C:\\models\\x.keras")
    assert not is_spec("x.keras")


def test_the_output_is_never_the_model(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"a model")
    with pytest.raises(OptionError, match="never changed"):
        load(tmp_path / "a.tflite", tmp_path / "a.tflite")


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="There is no model"):
        load(tmp_path / "a.tflite", tmp_path / "b.tflite")


def test_options_survive_their_way_to_the_child():
    options = ConversionOptions(batch=None, shapes={"": (1, 2)}, uint8=(1.0, 2.0), channel_last=True)
    assert ConversionOptions.of(options.plain()) == options


def test_wrong_options_say_what_is_known():
    with pytest.raises(OptionError, match=r"Unknown Keras backend 'jaxx'.*Did you mean 'jax'"):
        ConversionOptions(backend="jaxx")
    with pytest.raises(OptionError, match="Received the batch 0"):
        ConversionOptions(batch=0)


def test_names_of_fused_ops_are_the_layers():
    assert plain_name("relu;StatefulPartitionedCall/net/conv/Conv2D") == "net/conv"
    assert plain_name("jit(f)/gelu/mul7") == "gelu/mul7"
    assert plain_name("jit(f)/conv/Conv2D", constant=True) == "conv/Conv2D"
    assert plain_name("plain") == "plain"


def test_the_boundary_loads_no_framework():
    code = (
        "import sys, tightfit.api.optimize; "
        "heavy = [m for m in sys.modules if m in ('keras', 'jax', 'torch', 'onnx', 'tensorflow')]; "
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_an_archive_in_the_place_of_the_model_is_named(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"PK")
    with pytest.raises(ModelError, match="is an archive: unpack it"):
        find_format(path)
