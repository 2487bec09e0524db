"""Boards of a search: their file, the pool, a choice for each and for all."""

from __future__ import annotations

import json
import threading

import pytest

from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.errors import DataError, OptionError, RuntimeFailureError
from tightfit.evaluation.latency import Latency
from tightfit.report.text import render_text
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.devices import device_pool
from tightfit.search.devices.device_choice import choose_for, judge_for_all
from tightfit.search.devices.device_file import read_devices
from tightfit.search.devices.device_pool import DevicePool
from tightfit.search.verdict.budget import Budget

TWO = '[devices.pi5]\nssh = "ssh://pi@pi5:2222"\nthreads = 4\n[devices.phone]\nssh = "ssh://phone"\n'


@pytest.fixture
def boards(tmp_path):
    path = tmp_path / "devices.toml"
    path.write_text(TWO)
    return path


def test_a_file_names_boards_with_their_threads(boards):
    pi5, phone = read_devices(boards)
    assert (pi5.name, pi5.device.port, pi5.threads) == ("pi5", 2222, 4)
    assert (phone.device.host, phone.threads) == ("phone", 1)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", DataError, "names no device"),
        ("[devices.a", DataError, "cannot be read as TOML"),
        ("[devices.a]\nthreads = 1", OptionError, "has no address"),
        ('[devices.a]\nssh = "ssh://a"\nthread = 1', OptionError, "Did you mean 'threads'"),
        ('[devices.a]\nssh = "ssh://a"\nthreads = 0', OptionError, "expected 1 to"),
        ('[devices.a]\nssh = "http://a"', OptionError, "expected ssh://"),
        ('[devices."../a"]\nssh = "ssh://a"', OptionError, "device name"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_expected(tmp_path, text, error, words):
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(error, match=words):
        read_devices(tmp_path / "d.toml")


def candidates():
    one, other = (
        Candidate(name, name, [name], path=f"{name}.tflite", size_bytes=100, drop=0.0) for name in ("a", "b")
    )
    return [Candidate("float32", "float32", path="f.tflite", size_bytes=400, drop=0.0), one, other]


def fast(ratio):
    return Latency(10.0 * ratio, ratio=ratio, ratio_low=ratio * 0.99, ratio_high=ratio * 1.01)


RATIOS = {"pi5": (1.0, 0.5, 0.8), "phone": (1.0, 0.9, 0.7)}


def test_each_board_has_its_choice_and_all_boards_have_one(boards, tmp_path):
    found = candidates()
    pool = DevicePool(
        read_devices(boards), 1.0, lambda device, _: ({}, [fast(r) for r in RATIOS[device.name]])
    )
    found = pool.measure(tmp_path / "f.tflite", found, tmp_path, lambda *_: None)
    assert choose_for(found, Budget(max_drop=0.1), ["pi5", "phone"]) == {"pi5": "a", "phone": "b"}
    judged, best = judge_for_all(found, Budget(max_drop=0.1, max_latency_ratio=0.85), ["pi5", "phone"])
    assert best.name == "b", "a takes 0.9 on the phone"
    assert judged[1].meets_budget is False


def test_a_file_that_fails_on_one_board_is_not_chosen_for_all(boards, tmp_path):
    found = candidates()

    def measure(device, _):
        failed = Latency(reason="no kernel") if device.name == "phone" else fast(0.5)
        return {}, [fast(1.0), failed, fast(0.8)]

    pool = DevicePool(read_devices(boards), 1.0, measure)
    found = pool.measure(tmp_path, found, tmp_path, lambda *_: None)
    assert judge_for_all(found, Budget(), ["pi5", "phone"])[1].name == "b"
    assert choose_for(found, Budget(), ["pi5"]) == {"pi5": "a"}


def test_boards_measure_at_the_same_time_and_nothing_twice(boards, tmp_path):
    met, calls = threading.Barrier(2, timeout=20), []

    def measure(device, files):
        calls.append((device.name, len(files)))
        met.wait()
        return {}, [fast(r) for r in RATIOS[device.name]]

    found = candidates()
    for _ in range(2):
        pool = DevicePool(read_devices(boards), 1.0, measure)
        found = pool.measure(tmp_path, found, tmp_path, lambda *_: None)
    assert sorted(calls) == [("phone", 3), ("pi5", 3)]


def test_a_search_has_a_column_and_a_file_for_each_board(boards, tmp_path, monkeypatch):
    def measured(device, files, **_):
        if device.host == "phone":
            raise RuntimeFailureError("Cannot reach 'ssh://phone': no route.")
        return {"on": device.url}, [fast(1.0), *(fast(0.6) for _ in files[1:])]

    monkeypatch.setattr(device_pool, "latency_on", measured)
    out = tmp_path / "out"
    report = optimize(
        MODEL, "tightfit.demo:evaluation", out, only=["int8"], evaluation=20, calibration=10, max_drop=0.5,
        effort="quick", devices=boards,
    )  # fmt: skip
    assert report.devices["pi5"]["best"] == report.best == "int8"
    assert "no route" in report.devices["phone"]["failure"]
    assert (out / "best-pi5.tflite").read_bytes() == (out / "best.tflite").read_bytes()
    assert (
        json.loads((out / "report.json").read_text())["candidates"][1]["devices"]["pi5"]["latency_ratio"]
        == 0.6
    )
    assert "pi5: int8 0.60" in " ".join(render_text(report).split())
    assert "The latency on pi5" in (out / "report.html").read_text()
