from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import zstandard

from tightfit.errors import ModelError
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.machine import available_memory_bytes, machine


@pytest.fixture
def data() -> bytes:
    """3 MB, half noise and half zeros, so that packing shows."""
    return np.random.default_rng(0).bytes(1_500_000) + bytes(1_500_000)


def test_the_zip_size_is_that_of_a_real_archive(tmp_path, data):
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        file.writestr("model.tflite", data)
    # A streamed archive repeats the sizes behind the data, in a descriptor of 16 bytes.
    assert 0 <= footprint(path).zip_bytes - len(archive.getvalue()) <= 16


def test_the_zstd_size_is_that_of_a_frame_at_level_19(tmp_path, data):
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    sizes = footprint(path)
    assert sizes.size_bytes == len(data)
    assert sizes.zstd_bytes == len(zstandard.ZstdCompressor(level=12, threads=1).compress(data))
    assert 1_500_000 < sizes.zstd_bytes < sizes.zip_bytes < 1_510_000


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="gone"):
        footprint(tmp_path / "gone.tflite")


def test_the_machine_is_described_by_facts():
    facts = machine()
    assert facts["cores"] >= 1
    assert facts["litert"].split(".")[0] == "2"
    assert facts["cpu"]
    assert 0 < available_memory_bytes() <= (facts["memory_bytes"] or float("inf"))
    assert set(facts["flags"]) & {"sse4_2", "asimd", "neon"} or facts["os"].startswith("macOS")
