"""Whole commands under faults: killed, interrupted, without room, without streams, two at once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from support.places import ROOT

sys.path.insert(0, str(ROOT))

from fuzz.kills import Setting, check

from tightfit.demo import MODEL

# Other tests of this process may have loaded JAX, whose threads make it warn of each start of a command.
pytestmark = [
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MAIN = [sys.executable, "-P", "-c", "from tightfit.cli import main; main()"]


@pytest.fixture
def place(tmp_path) -> Path:
    Setting.of(tmp_path)
    return tmp_path


def run(place, *words, **options):
    return subprocess.run(
        [*MAIN, *words], cwd=place, capture_output=True, text=True, check=False,
        env=os.environ | {"TMPDIR": str(place / "tmp")}, **options,
    )  # fmt: skip


def search(place):
    chosen = ("--only", "weight8", "--only", "int8")
    return subprocess.Popen(
        [*MAIN, "optimize", "m.tflite", "--data", "d.npz", "-o", "out", *chosen],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(place / "tmp")},
    )  # fmt: skip


def leftovers(place):
    hidden = [p for p in place.rglob(".*") if p.name.startswith(".tightfit")]
    return [*hidden, *(place / "tmp").iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize("kill", [(2, "before"), (6, "after"), (12, "before")])
def test_a_search_that_is_killed_at_a_rename_goes_on_with_equal_results(kill, tmp_path):
    setting = Setting.of(tmp_path)
    assert setting.run() in (0, 1)
    killed, wrong = check(setting, setting.results(), kill)
    assert killed
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_search_keeps_the_best_so_far_and_ends_with_130(number, place):
    process = search(place)
    end = time.monotonic() + 120
    while not (place / "out" / "best.tflite").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert (place / "out" / "best.tflite").read_bytes()
    assert json.loads((place / "out" / "report.json").read_text())["finished"] is False
    assert leftovers(place) == []


@pytest.mark.slow
def test_a_second_search_on_one_folder_is_refused_and_harms_nothing(place):
    first = search(place)
    end = time.monotonic() + 120
    while not (place / "out" / "candidates").exists() and time.monotonic() < end:
        time.sleep(0.02)
    second = run(place, "optimize", "m.tflite", "--data", "d.npz", "-o", "out", "--only", "weight8")
    assert second.returncode == 2
    assert "Another run writes into 'out'" in second.stderr
    assert first.wait(timeout=300) in (0, 1)
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()
    first.stderr.close()


@pytest.mark.parametrize("most", [1000, 20_000, 100_000])
def test_a_disk_without_room_leaves_no_part_of_a_file(most, place):
    """``RLIMIT_FSIZE`` stands for a full disk: a write beyond fails in the same way, at each size."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    before = {p.name for p in place.iterdir()}
    done = run(place, "quantize", "m.tflite", "float16", "-o", "q.tflite", preexec_fn=limit)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert {p.name for p in place.iterdir()} == before
    assert leftovers(place) == []


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_change_neither_the_file_nor_the_exit_code(closed, place):
    def close():
        for descriptor in closed:
            os.close(descriptor)

    process = subprocess.Popen(
        [*MAIN, "quantize", "m.tflite", "float16", "-o", "q.tflite"], cwd=place, preexec_fn=close,  # noqa: PLW1509 - one thread
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.wait(timeout=120) == 0
    assert run(place, "inspect", "q.tflite").returncode == 0


def test_a_full_answer_is_told_and_a_reader_who_leaves_is_not(place):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MAIN, "inspect", "m.tflite"], cwd=place, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert (
        done.stderr
        == b"tightfit: The answer cannot be written: No space left on device. Choose another place for it.\n"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*MAIN, "inspect", "m.tflite"], cwd=place, stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_ascii_and_names_that_are_not_utf_8_are_written_as_escapes(place):
    odd = os.fsencode(place) + b"/m\xff\xe9.tflite"
    Path(os.fsdecode(odd)).write_bytes(MODEL.read_bytes())
    for extra in ([], [b"--json"]):
        done = subprocess.run(
            [*MAIN, b"inspect", odd, *extra], capture_output=True, check=False,
            env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        if extra:
            json.loads(done.stdout)


def test_what_a_function_prints_stays_out_of_the_json(place):
    (place / "loud.py").write_text(
        "import os, numpy as np\nprint('loading')\n\n\ndef samples():\n"
        "    for i in range(12):\n        print('sample', i); os.system('echo child'); os.write(1, "
        "b'raw\\n')\n"
        "        yield np.full((28, 28, 1), i / 9, np.float32), i % 10\n"
    )
    done = run(place, "evaluate", "m.tflite", "--data", "loud:samples", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert "child" in done.stderr
    assert "raw" in done.stderr


@pytest.mark.parametrize("raised", ["sys.exit()", "sys.exit(0)", "raise GeneratorExit", "raise Own"])
def test_a_function_that_ends_the_process_is_a_sentence_and_2(raised, place):
    (place / "ending.py").write_text(
        f"import sys\nclass Own(BaseException): pass\n\n\ndef samples():\n    {raised}\n    yield 1\n"
    )
    done = run(place, "quantize", "m.tflite", "int8", "--data", "ending:samples", "-o", "q.tflite")
    assert done.returncode == 2
    assert done.stderr.startswith("tightfit: 'ending:samples' failed with ")
    assert done.stderr.count("\n") == 1
    assert not (place / "q.tflite").exists()


def test_the_clock_may_change_meanwhile(place):
    """A file that seems to come from the future, or from 1970, is read as any other."""
    for when in (0, 2**33):
        os.utime(place / "m.tflite", (when, when))
        os.utime(place / "d.npz", (when, when))
        assert run(place, "quantize", "m.tflite", "int8", "--data", "d.npz", "-o", "q.tflite").returncode == 0


def test_a_search_that_fails_removes_nothing_that_it_did_not_make(place):
    kept = place / "out" / "candidates" / "float32.tflite"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    np.savez(place / "odd.npz", x=np.full((30, 28, 28, 1), np.nan, np.float32))
    done = run(place, "optimize", "m.tflite", "--data", "odd.npz", "-o", "out")
    assert done.returncode == 2
    assert kept.read_bytes() == b"mine"
    assert run(place, "optimize", "m.tflite", "--data", "odd.npz", "-o", "new/deep").returncode == 2
    assert not (place / "new").exists()


def test_inputs_are_never_outputs(place):
    content = {p.name: p.read_bytes() for p in place.iterdir() if p.is_file()}
    os.mkfifo(place / "pipe")
    for words in (
        ("quantize", "m.tflite", "float16", "-o", "m.tflite"),
        ("quantize", "m.tflite", "float16", "-o", "q.tflite", "--plan", "m.tflite"),
        ("quantize", "m.tflite", "float16", "-o", "q.tflite", "--plan", "q.tflite"),
        ("quantize", "m.tflite", "int8", "--data", "d.npz", "-o", "d.npz"),
        ("quantize", "m.tflite", "float16", "-o", "pipe"),
        ("prune", "m.tflite", "--sparsity", "0.5", "-o", "./m.tflite"),
        ("cluster", "m.tflite", "--clusters", "4", "-o", "/dev/null"),
        ("convert", "m.tflite", "-o", "m.tflite"),
        ("check", "m.tflite", "--target", "ethos-u55-128", "--fix", "-o", "m.tflite"),
        ("explain", "m.tflite", "m.tflite", "--data", "d.npz", "--html", "m.tflite"),
        ("explain", "m.tflite", "m.tflite", "--data", "d.npz", "-o", "d.npz"),
    ):
        done = run(place, *words)
        assert done.returncode == 2, words
        assert done.stderr.count("\n") == 1, done.stderr
        assert {p.name: p.read_bytes() for p in place.iterdir() if p.is_file()} == content, words
