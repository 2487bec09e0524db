"""Arrays whose bytes are not what the file says: none is believed, none is filled from its neighbour."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from tightfit.data.sources import InputSpec, open_data
from tightfit.errors import DataError

X = InputSpec("x", (1, 4), "float32")
VALUES = np.arange(80, dtype=np.float32).reshape(20, 4)


def header(shape, dtype="<f4"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (118 - len(text) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def write(path, content, *, compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", header((20,), "<i8") + np.arange(20).tobytes())
    return path


def read(path):
    return list(open_data(str(path), inputs=[X]).samples())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["x", "y"])
def test_a_changed_byte_of_any_array_is_found_before_the_last_sample(tmp_path, save, name):
    path = tmp_path / "set.npz"
    save(path, x=VALUES, y=np.arange(20))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(info.filename) + info.compress_size - 3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"CRC-32|invalid|damaged"):
        read(path)
    with pytest.raises(DataError, match=r"CRC-32|invalid|damaged"):
        open_data(str(path), inputs=[X]).fingerprint()


def test_a_cut_array_is_not_filled_from_the_next(tmp_path):
    path = write(tmp_path / "cut.npz", header((20, 4)) + VALUES[:10].tobytes())
    with pytest.raises(DataError, match=r"declares 448 bytes and has 288"):
        read(path)


@pytest.mark.parametrize("shape", [(-1, 4), (20, -4), (2**62, 4), (20, 2**40)])
@pytest.mark.parametrize("compress", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_shapes_that_cannot_be_are_refused(tmp_path, shape, compress):
    path = write(tmp_path / "odd.npz", header(shape) + VALUES.tobytes(), compress=compress)
    with pytest.raises(DataError, match=r"declares|shape"):
        read(path)


def test_an_encrypted_member_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "locked.npz"
    np.savez(path, x=VALUES)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        read(path)


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, x=VALUES, y=np.arange(20))
    content = buffer.getvalue()
    for length in range(0, len(content), 37):
        path = tmp_path / "cut.npz"
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            read(path)


def test_the_fingerprint_is_that_of_the_bytes_not_of_the_directory(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x=VALUES)
    first = open_data(str(path), inputs=[X]).fingerprint()
    np.savez(path, x=VALUES + 1)
    assert open_data(str(path), inputs=[X]).fingerprint() != first
