"""What ``deploy`` writes for a microcontroller: measured in tflite-micro, compiled by a C compiler."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

import tightfit
from support.integer_models import conv, unary, with_float_ends
from tightfit.cli.deploy import deploy as command
from tightfit.deployment.c_project import check_name
from tightfit.deployment.c_tensors import c_values
from tightfit.deployment.host_build import VARIABLE, named_sources
from tightfit.deployment.resolver import resolver_methods
from tightfit.deployment.strip import PLANNED, strip_model
from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Quantization
from tightfit.graph.writer import serialize, write_model
from tightfit.targets.profile import targets

needs_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None,
    reason="tflite-micro is not installed: pip install 'tightfit[micro]'",
)
CC = shutil.which("cc") or "cc"
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed")
BOARDS = [t for t in targets().values() if t.flash_bytes is not None]


def net():
    """An int8 convolution with a scale a channel and 5 values, between float ends."""
    model = with_float_ends(conv(shape=(1, 8, 8, 16), output=(1, 8, 8, 12)))
    op = next(op for op in model.main.ops if op.kind == "CONV_2D")
    values = np.random.default_rng(0).choice([0, 0, 0, 0, 9, -40, 77], (12, 3, 3, 16)).astype(np.int8)
    op.operand(1).data = values
    op.operand(1).quantization = Quantization(np.full(12, 0.01, np.float32), np.zeros(12, np.int64), 0)
    return model


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deploy")
    write_model(net(), folder / "net.tflite")
    return tightfit.deploy(folder / "net.tflite", folder / "out", compress="smallest", name="net")


@needs_micro
def test_flash_and_arena_are_measured_with_and_without_compression(deployed):
    assert deployed.deployed.flash_bytes == (deployed.folder / "net.tflite").stat().st_size
    assert deployed.deployed.flash_bytes < deployed.plain.flash_bytes < deployed.given_bytes
    assert deployed.deployed.arena_bytes > deployed.plain.arena_bytes
    assert (
        f"#define NET_ARENA_BYTES {deployed.deployed.arena_bytes}u"
        in (deployed.folder / "net_info.h").read_text()
    )
    assert sum(layer.flash_bytes for layer in deployed.layers) < deployed.deployed.flash_bytes


@needs_micro
def test_the_report_holds_what_was_measured(deployed):
    report = json.loads((deployed.folder / "deployment.json").read_text())
    assert report["equal_on_samples"] == 8
    assert sorted(report["files"]) == sorted(p.name for p in deployed.folder.iterdir())
    assert report["deployed"] == vars(deployed.deployed)


@needs_micro
@needs_compiler
def test_every_file_but_the_runner_compiles_without_warnings_and_without_tflite_micro(deployed):
    assert {"main.c", "net_data.c", "net_test.c"} <= set(deployed.host.compiled)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]
    subprocess.run([CC, *flags, "main.c", "net_data.c", "net_test.c"], cwd=deployed.folder, check=True)


@needs_micro
@needs_compiler
def test_the_array_in_c_is_the_file(deployed, tmp_path):
    (tmp_path / "dump.c").write_text(
        '#include <stdio.h>\n#include "net_data.h"\n'
        "int main(void) { fwrite(net_data, 1, NET_BYTES, stdout); return (int)((size_t)net_data % 16); }\n"
    )
    sources = [str(tmp_path / "dump.c"), "net_data.c"]
    built = [CC, "-std=c11", f"-I{deployed.folder}", *sources, "-o", str(tmp_path / "dump")]
    subprocess.run(built, cwd=deployed.folder, check=True)
    printed = subprocess.run([str(tmp_path / "dump")], capture_output=True, check=True).stdout
    assert printed == (deployed.folder / "net.tflite").read_bytes()


@needs_micro
@needs_compiler
def test_reals_become_integers_in_c_as_in_the_model(tmp_path):
    write_model(conv(), tmp_path / "net.tflite")
    found = tightfit.deploy(tmp_path / "net.tflite", tmp_path / "out")
    (tmp_path / "t.c").write_text(
        '#include <stdio.h>\n#include "model_info.h"\nint main(void) {\n'
        'printf("%d %d %d %g", model_quantize_input_0(0.26f), model_quantize_input_0(-9e9f), '
        "model_quantize_input_0(9e9f), model_real_output_0(-7)); return 0; }\n"
    )
    built = [CC, "-Wall", "-Wextra", "-Werror", f"-I{found.folder}", "t.c", "-o", "t"]
    subprocess.run(built, cwd=tmp_path, check=True)
    printed = subprocess.run([str(tmp_path / "t")], capture_output=True, check=True, text=True).stdout
    assert printed == "5 -128 127 -0.7"


@needs_micro
@needs_compiler
@pytest.mark.skipif(named_sources(None) is None, reason=f"{VARIABLE} names no sources of tflite-micro")
def test_the_example_runs_with_the_sources_of_tflite_micro(deployed, tmp_path):
    folder = deployed.folder
    found = tightfit.deploy(folder.parent / "net.tflite", tmp_path / "out", compress="smallest")
    assert found.host.ran, found.host.said
    assert "model_runner.cc" in found.host.compiled


@needs_micro
def test_a_board_that_is_too_small_is_an_exit_code(tmp_path, monkeypatch):
    write_model(conv(), tmp_path / "net.tflite")
    words = [str(tmp_path / "net.tflite"), "--for", "stm32f411", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False).return_value == 0
    board = targets()["stm32f411"]
    monkeypatch.setitem(vars(board), "memory_bytes", 1000)
    result = CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False)
    assert result.return_value == 1
    assert "does not fit the 1,000 bytes of RAM" in result.output


@needs_micro
def test_a_model_that_the_interpreter_refuses_is_refused_with_its_reason(tmp_path):
    write_model(unary("GELU"), tmp_path / "net.tflite")
    with pytest.raises(ModelError, match="no kernel for GELU"):
        tightfit.deploy(tmp_path / "net.tflite", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_use_is_refused(tmp_path):
    write_model(conv(), tmp_path / "net.tflite")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match="holds other files"):
        tightfit.deploy(tmp_path / "net.tflite", tmp_path / "full")
    with pytest.raises(OptionError, match="microcontrollers; received the target 'gpu'"):
        tightfit.deploy(tmp_path / "net.tflite", tmp_path / "out", "gpu")
    with pytest.raises(OptionError, match="form of compressed weights"):
        tightfit.deploy(tmp_path / "net.tflite", tmp_path / "out", compress="zip")
    with pytest.raises(OptionError, match="lower-case letters"):
        check_name("Größe")
    with pytest.raises(OptionError, match="expected 'tensorflow/lite"):
        tightfit.deploy(tmp_path / "net.tflite", tmp_path / "out", sources=tmp_path)


def test_a_custom_op_without_a_method_is_refused():
    model = conv()
    model.main.ops[0].kind, model.main.ops[0].custom_code = "CUSTOM", "Mine"
    with pytest.raises(ModelError, match="custom op 'Mine'"):
        resolver_methods(model)


def test_a_file_with_a_memory_plan_is_left_as_it_is():
    model = net()
    model.metadata[PLANNED] = b"plan"
    assert serialize(strip_model(model)) == serialize(model)


def test_scales_that_kernels_read_stay():
    stripped = strip_model(net())
    kept = [
        t.quantization.scale.size for op in stripped.main.ops for t in op.inputs if t.quantization is not None
    ]
    assert kept == [1, 12, 1, 1]
    assert not any(t.name for t in stripped.main.tensors())


def test_values_in_c_are_the_values():
    assert c_values(np.array([1e-45, 0.1, np.nan, -np.inf], np.float32)) == "  1e-45f, 0.1f, NAN, -INFINITY,"
    assert c_values(np.array([-(2**63), 2**40])) == "  (-9223372036854775807LL - 1), 1099511627776LL,"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_has_sizes_and_a_source(board):
    assert 16_384 <= board.memory_bytes < board.flash_bytes
    assert len(board.source) > 30


@needs_micro
def test_the_model_and_what_was_changed_by_hand_are_not_replaced(deployed):
    folder = deployed.folder
    with pytest.raises(OptionError, match="the model itself"):
        tightfit.deploy(folder / "net.tflite", folder, name="net")
    example = folder / "main.c"
    written = example.read_bytes()
    example.write_bytes(written + b"/* mine */\n")
    with pytest.raises(OptionError, match=r"main\.c' was changed"):
        tightfit.deploy(folder.parent / "net.tflite", folder, name="net")
    assert example.read_bytes().endswith(b"/* mine */\n")
    example.write_bytes(written)
    (folder / "other_data.c").write_text("mine")
    with pytest.raises(OptionError, match=r"other_data\.c' is no file of the earlier"):
        tightfit.deploy(folder.parent / "net.tflite", folder, name="other")
    (folder / "other_data.c").unlink()


@needs_micro
def test_a_link_in_the_folder_is_replaced_and_not_followed(deployed, tmp_path):
    folder, kept = tmp_path / "again", tmp_path / "kept.txt"
    shutil.copytree(deployed.folder, folder)
    kept.write_bytes((folder / "main.c").read_bytes())
    (folder / "main.c").unlink()
    (folder / "main.c").symlink_to(kept)
    write_model(net(), tmp_path / "net.tflite")
    tightfit.deploy(tmp_path / "net.tflite", folder, name="net")
    assert not (folder / "main.c").is_symlink()
    assert kept.is_file()
