from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from tightfit.errors import OptionError
from tightfit.files import atomic_file, checked_write
from tightfit.scratch import BESIDE, only_run, scratch_folder, sweep, sweep_temporary

HOLD = """
import sys, time
from pathlib import Path
from tightfit.files import atomic_file
from tightfit.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder, scratch_folder(), atomic_file(Path(sys.argv[1]) / "a.bin"):
    (folder / "half.tflite").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a folder beside an output, another for the system, and a half-written file."""
    place, system = tmp_path / "place", tmp_path / "system"
    place.mkdir()
    system.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(system)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process, place, system
    process.kill()
    process.wait()
    process.stdout.close()


def names(*folders):
    return sorted(entry.name[: len(BESIDE) - 1] for folder in folders for entry in folder.iterdir())


def test_what_a_living_process_holds_stays_and_what_a_killed_one_left_goes(holder, monkeypatch):
    process, place, system = holder
    monkeypatch.setattr("tempfile.tempdir", str(system))
    (place / "mine.tflite").write_bytes(b"mine")
    sweep(place)
    sweep_temporary()
    assert len(names(place, system)) == 4
    process.send_signal(signal.SIGKILL)
    process.wait()
    sweep(place)
    sweep_temporary()
    assert [entry.name for folder in (place, system) for entry in folder.iterdir()] == ["mine.tflite"]


def test_the_next_write_beside_it_sweeps(holder):
    process, place, _ = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    with checked_write(place / "new.tflite") as trial:
        trial.write_bytes(b"new")
    assert [entry.name for entry in place.iterdir()] == ["new.tflite"]


def test_links_and_files_of_other_names_are_not_swept(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_bytes(b"kept")
    (tmp_path / f"{BESIDE}link").symlink_to(target)
    names = ("tightfit-data", ".tightfit-notes.txt", ".tightfit-mine", "x.tightfit-abcdefgh")
    for name in names:
        (tmp_path / name).write_text("mine")
    sweep(tmp_path)
    assert (target / "kept").exists()
    assert all((tmp_path / name).exists() for name in names)


def test_folders_that_are_made_while_others_sweep_are_whole(tmp_path):
    done = threading.Event()

    def sweeping():
        while not done.is_set():
            sweep(tmp_path)

    thread = threading.Thread(target=sweeping)
    thread.start()
    try:
        for i in range(200):
            with scratch_folder(tmp_path) as folder:
                (folder / "file").write_bytes(b"x")
                assert (folder / "file").read_bytes() == b"x"
            with atomic_file(tmp_path / f"{i % 3}.bin") as file:
                file.write(b"y")
    finally:
        done.set()
        thread.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.bin", "1.bin", "2.bin"]


def test_a_second_run_on_one_folder_is_refused_until_the_first_ends(tmp_path):
    with only_run(tmp_path), pytest.raises(OptionError, match="Another run writes into"), only_run(tmp_path):
        pass
    with only_run(tmp_path):
        assert list(tmp_path.iterdir()) == []
