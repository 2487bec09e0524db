"""A phone over adb: the real C program and LiteRT, reached by a program that speaks as adb does."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from support.models import conv_net
from tightfit.api.evaluate import benchmark, evaluate
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.evaluation.devices.adb_device import VARIABLE, AdbDevice, open_on_phone, runner_files
from tightfit.graph.writer import write_model
from tightfit.runtime.native.c_api import package_folder
from tightfit.runtime.session import Session

COMPILER = shutil.which("gcc") or shutil.which("clang")
LITERT = package_folder() / "libLiteRt.so"
needs_compiler = pytest.mark.skipif(COMPILER is None or not LITERT.is_file(), reason="needs gcc or clang")

ADB = """#!/bin/sh
# As adb: -s SERIAL, shell -T COMMAND (stdin, stdout, exit code), push FILE … FOLDER/; other /data/local/tmp.
[ "$1" = -s ] && { [ "$2" = phone-1 ] || { echo "error: device '$2' not found" >&2; exit 1; }; shift 2; }
case "$1" in
shell) exec sh -c "$(printf %s "$3" | sed "s#/data/local/tmp#{folder}#g")";;
push) shift; cp -L "$@"; echo "pushed";;
*) exit 1;;
esac
"""


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("android")
    source = files("tightfit.deployment").joinpath("templates/device_runner.c")
    (folder / "libLiteRt.so").symlink_to(LITERT)
    command = [COMPILER, "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", str(source),
               "-o", str(folder / "device_runner"), f"-L{folder}", "-lLiteRt",
               "-Wl,--unresolved-symbols=ignore-in-shared-libs"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def phone(runner, tmp_path, monkeypatch):
    programs, store = tmp_path / "programs", tmp_path / "store"
    programs.mkdir()
    store.mkdir()
    (programs / "adb").write_text(ADB.replace("{folder}", str(store)))
    (programs / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv(VARIABLE, str(runner))
    yield store
    assert not list(store.iterdir()), "what was copied is removed"


@pytest.fixture
def net(tmp_path):
    write_model(conv_net(), tmp_path / "net.tflite")
    return tmp_path / "net.tflite"


@needs_compiler
@pytest.mark.usefixtures("phone")
def test_a_file_runs_on_a_phone_without_python_and_answers_as_here(net):
    sample = {"image": np.random.default_rng(0).standard_normal((1, 16, 16, 3)).astype(np.float32)}
    with open_on_phone(AdbDevice("phone-1"), net) as there, Session(net) as here:
        for _ in range(2):
            found, own = there.run(sample), here.run(sample)
            assert list(found) == list(own)
            np.testing.assert_allclose(*found.values(), *own.values(), rtol=0, atol=1e-6)
        assert len(there.time(3, 1)) == 3


@needs_compiler
@pytest.mark.usefixtures("phone")
def test_latency_and_accuracy_are_of_the_phone(net, tmp_path):
    inputs = np.random.default_rng(0).standard_normal((4, 16, 16, 3)).astype(np.float32)
    np.savez(tmp_path / "set.npz", x=inputs, y=np.arange(4) % 3)
    found = evaluate(net, tmp_path / "set.npz", on="adb://phone-1")
    assert found[0].failure is None
    assert found.apart[0].relative < 1e-6
    timed = benchmark([net, net], rounds=6, seconds=1, on="adb://phone-1")
    assert timed[0].machine["on"] == "adb://phone-1"
    assert timed[1].latency.ratio_low <= timed[1].latency.ratio <= timed[1].latency.ratio_high


@needs_compiler
@pytest.mark.usefixtures("phone")
def test_a_phone_that_is_not_there_or_refuses_a_file_is_one_sentence(net, tmp_path):
    with pytest.raises(RuntimeFailureError, match="'adb://other' failed: error: device 'other' not found"):
        open_on_phone(AdbDevice("other"), net)
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(net.read_bytes())
    with open_on_phone(AdbDevice("phone-1"), bad) as session:
        session._send(b"run 1\n", [b"abc"])
        with pytest.raises(RuntimeFailureError, match="the size of an input"):
            session._answer()


def test_what_runs_files_must_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(OptionError, match=r"received no folder with both in TIGHTFIT_ANDROID"):
        runner_files()


@pytest.mark.parametrize("url", ["adb:phone", "adb://-s", "adb://a b", "adb://x/tpu", "adb://x;reboot"])
def test_what_is_no_phone_is_refused(url):
    with pytest.raises(OptionError, match="expected adb://SERIAL"):
        AdbDevice.parse(url)
