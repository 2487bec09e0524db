"""What a child may use: its memory, the network, the disk; and how a limit is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from support.small_models import adder, negation
from tightfit.conversion import conversion_process
from tightfit.errors import ModelError, OptionError, RuntimeFailureError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.child import memory, process, sandbox
from tightfit.runtime.session import Session

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux enforces it")
CONFINED = (
    "import json, sys; from tightfit.runtime.child.confinement import confine; "
    "confine(json.loads(sys.argv[1])); exec(sys.argv[2])"
)


def confined(code, confinement, **environment):
    settings = json.dumps(asdict(confinement) | {"parent": os.getpid()})
    return subprocess.run(
        [sys.executable, "-c", CONFINED, settings, code],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


@linux
def test_a_process_gets_no_more_memory_than_it_may_have():
    done = confined("x = bytearray(400 << 20)", process.Confinement(memory_bytes=200 << 20))
    assert "MemoryError" in done.stderr
    assert confined("x = bytearray(40 << 20)", process.Confinement(memory_bytes=200 << 20)).returncode == 0


@pytest.mark.skipif("landlock" not in sandbox.available(), reason="this kernel has no Landlock")
def test_a_sandboxed_process_writes_into_its_folder_alone(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "kept").write_text("kept")
    code = (
        "import os\n"
        f"open({str(own / 'new')!r}, 'w').write('x'); open('/dev/null', 'w').write('x')\n"
        "for action in (\n"
        f"    lambda: open({str(other / 'new')!r}, 'w'), lambda: os.remove({str(other / 'kept')!r}),\n"
        f"    lambda: os.truncate({str(other / 'kept')!r}, 0), lambda: os.mkdir({str(other / 'dir')!r}),\n"
        f"    lambda: os.rename({str(other / 'kept')!r}, {str(own / 'kept')!r})):\n"
        "    try: action()\n"
        "    except OSError: continue\n"
        "    raise SystemExit('it wrote')\n"
        f"assert open({str(other / 'kept')!r}).read() == 'kept'\n"
    )
    done = confined(code, process.Confinement(sandbox=True, writable=(str(own),)))
    assert (done.returncode, done.stderr) == (0, "")
    assert (own / "new").read_text() == "x"
    assert [p.name for p in other.iterdir()] == ["kept"]


@pytest.mark.skipif("namespaces" not in sandbox.available(), reason="this system gives no namespaces")
def test_a_sandboxed_process_reaches_no_network():
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "try: s.sendto(b'x', ('127.0.0.1', 9))\n"
        "except OSError: raise SystemExit(7)\n"
    )
    assert confined(code, process.Confinement()).returncode == 0
    assert confined(code, process.Confinement(sandbox=True)).returncode == 7


def test_what_the_sandbox_could_not_do_is_a_note():
    assert sandbox.missing_note(("namespaces", "landlock")) == []
    (note,) = sandbox.missing_note(())
    assert "network namespace" in note
    assert "Landlock" in note


def test_a_conversion_notes_that_its_sandbox_was_incomplete(tmp_path):
    answer = {"route": "keras", "notes": ["a"], "probes": [], "confined": "landlock"}
    (tmp_path / "raw.tflite").write_bytes(b"a model")
    assert conversion_process._read(answer, tmp_path).notes == ["a", *sandbox.missing_note(["landlock"])]
    assert conversion_process._read(answer | {"confined": None}, tmp_path).notes == ["a"]


def test_the_sandbox_can_be_switched_off(monkeypatch):
    assert sandbox.is_wanted()
    monkeypatch.setenv("TIGHTFIT_SANDBOX", "off")
    assert not sandbox.is_wanted()


@pytest.mark.skipif(not sandbox.available(), reason="this system has no sandbox")
def test_entering_the_sandbox_takes_at_most_20_ms():
    code = (
        "import time; from tightfit.runtime.child.sandbox import enter; "
        "s = time.process_time(); enter(['/tmp']); print(time.process_time() - s)"
    )
    least = min(float(confined(code, process.Confinement()).stdout) for _ in range(3))
    assert least <= 0.020


@linux
def test_a_child_ends_with_its_parent():
    code = (
        "import subprocess, sys, json, os, time\n"
        "settings = "
        "json.dumps({'memory_bytes': None, 'sandbox': False, 'writable': [], 'dies_with_parent': True, "
        "'parent': os.getpid()})\n"
        f"p = subprocess.Popen([sys.executable, '-c', {CONFINED!r}, settings, \"print('up', flush=True); "
        'import time; time.sleep(60)"], stdout=subprocess.PIPE)\n'
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the child outlives its parent")


def huge(elements: int) -> bytes:
    """``y = -x`` on so many values, of which the file holds none."""
    graph = Graph()
    graph.inputs, graph.outputs = [Tensor("x", (1, elements))], [Tensor("y", (1, elements))]
    graph.append(Op("NEG", graph.inputs, graph.outputs))
    return serialize(Model([graph]))


def test_what_a_file_declares_is_counted_without_reading_it_whole(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(huge(1000))
    assert memory.declared_bytes(path) == (path.stat().st_size, 8000, 4000)
    assert memory.declared_bytes(huge(1000))[1:] == (8000, 4000)
    assert memory.declared_bytes(b"TFL3 and no more")[1:] == (0, 0)
    assert memory.declared_bytes(tmp_path / "missing") == (0, 0, 0)


def test_a_tensor_larger_than_the_limit_is_refused_before_a_child_starts(monkeypatch):
    monkeypatch.setenv("TIGHTFIT_MEMORY", "3GB")
    with pytest.raises(ModelError, match=r"declares a tensor of 4\.0 GB; a process may allocate 3\.0 GB"):
        Session(huge(10**9))


@linux
def test_a_child_that_gets_no_memory_says_its_limit(monkeypatch):
    monkeypatch.setenv("TIGHTFIT_MEMORY", "600MB")
    with pytest.raises(RuntimeFailureError, match=r"TIGHTFIT_MEMORY sets another limit"):
        Session(huge(10**8))  # 400 MB in and 400 MB out


@pytest.mark.parametrize("text", ["3 apples", "-1GB", "GB", "0"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv("TIGHTFIT_MEMORY", text)
    with pytest.raises(OptionError, match="expected a size such as 8GB, or none"):
        memory.memory_limit()


def test_the_limit_follows_the_file_the_machine_and_the_variable(monkeypatch):
    plain = memory.model_limit(adder())
    assert plain is not None
    assert memory.RUNTIME_BYTES <= plain <= memory.machine_bytes()
    monkeypatch.setenv("TIGHTFIT_MEMORY", "none")
    assert memory.model_limit(adder()) is None
    monkeypatch.setenv("TIGHTFIT_MEMORY", "100MB")
    assert memory.model_limit(adder()) == 100_000_000


def test_only_a_child_that_serves_user_code_looks_into_the_unnamed_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend("")
    assert str(tmp_path) not in process.module_folders()
    assert str(tmp_path) in process.module_folders(own_code=True)


def test_a_child_runs_though_foreign_modules_lie_in_the_folder(tmp_path, monkeypatch):
    for name in ("numpy", "ai_edge_litert", "psutil", "ml_dtypes"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    with Session(negation()) as unharmed:
        assert unharmed.run({"x": np.ones((1, 4))})["y"][0, 0] == -1.0


def test_confinement_is_plain_data():
    plain = process.Confinement(memory_bytes=1, writable=("a",))
    assert json.loads(json.dumps(asdict(replace(plain, sandbox=True))))["writable"] == ["a"]
