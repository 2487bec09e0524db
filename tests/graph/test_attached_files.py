"""Files packed behind a model are read, kept by every copy, and written where their readers look."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.models import conv_net
from tightfit.errors import ModelError
from tightfit.graph.copying import copy_model
from tightfit.graph.format.attached_files import pack_attached, read_attached
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

FILES = {"labels.txt": b"cat\ndog\n", "folder/vocab.txt": "é\n".encode(), "empty": b""}


def with_files(**files):
    """A model as Python's zipfile packs files behind it in mode "a"."""
    stream = io.BytesIO(serialize(conv_net()))
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a", **files) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_zipfile_appended_is_read_and_written_again(compression):
    model = read_model(with_files(compression=compression))
    assert model.attached == FILES
    data = serialize(copy_model(model))
    assert read_model(data).attached == FILES
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == FILES
        assert all(e.compress_type == zipfile.ZIP_STORED for e in archive.infolist())
        # Readers in C++ take the offsets as they stand: from the start of the model.
        first = archive.infolist()[0].header_offset
    assert data[first : first + 4] == b"PK\x03\x04"


def test_litert_runs_a_model_with_files_behind_it():
    data = serialize(read_model(with_files()))
    with Session(data) as session:
        (spec,) = session.inputs
        assert session.run({spec.name: np.zeros(spec.shape, np.float32)})


def test_constants_behind_the_flatbuffer_and_files_go_together():
    data = serialize(read_model(with_files()), external=True)
    model = read_model(data)
    assert model.attached == FILES
    assert serialize(model) == serialize(read_model(with_files()))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_model_are_no_error(tail):
    data = serialize(conv_net()) + tail + b"PK\x05\x06" + tail
    assert read_model(data).main.ops


def test_a_damaged_zip_is_left_out():
    data = bytearray(with_files())
    start = data.rfind(b"PK\x01\x02")
    data[start : start + 4] = b"XXXX"
    assert read_attached(bytes(data)) == {}


def test_files_that_unpack_without_bound_are_refused():
    stream = io.BytesIO(serialize(conv_net()))
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(257):
            file.write(bytes(2**20))
    with pytest.raises(ModelError, match="256 MiB"):
        read_model(stream.getvalue())


def test_no_files_add_no_bytes():
    assert pack_attached({}, 100) == b""
