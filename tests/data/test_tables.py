"""Parquet files and tars of samples give the samples of the same arrays, block by block."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.data.tables.tar_blocks import _Header, _is_plain, tar_files
from tightfit.errors import DataError

SPEC = InputSpec("pixels", (1, 4, 4, 3), "float32")
COUNT = 11


def arrays():
    random = np.random.default_rng(1)
    return random.normal(size=(COUNT, 4, 4, 3)).astype(np.float32), random.integers(0, 5, COUNT)


def png(index):
    content = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), 20 * index, np.uint8)).save(content, "PNG")
    return content.getvalue()


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def write_tar(path, samples):
    with tarfile.open(path, "w") as archive:
        for key, members in samples:
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def same(dataset, indices=None):
    x, y = arrays()
    wanted = range(COUNT) if indices is None else sorted(indices)
    samples = list(dataset.samples(indices))
    assert [s.index for s in samples] == list(wanted)
    for sample in samples:
        assert (sample.inputs["pixels"][0] == x[sample.index]).all()
        assert sample.label == y[sample.index]
    assert dataset.labels().tolist() == y.tolist()
    assert len(dataset) == COUNT


@pytest.fixture
def parquet(tmp_path):
    pyarrow = pytest.importorskip(
        "pyarrow", reason="needs the extra 'parquet': pip install 'tightfit[parquet]'"
    )
    parquet = pytest.importorskip("pyarrow.parquet")
    x, y = arrays()
    for number, rows in enumerate((slice(0, 7), slice(7, COUNT))):
        table = pyarrow.table({"pixels": x[rows].reshape(-1, 48).tolist(), "label": y[rows]})
        shaped = table.set_column(0, "pixels", pyarrow.array(x[rows].tolist()))
        parquet.write_table(shaped, tmp_path / f"{number}.parquet", row_group_size=3)
    return tmp_path


def test_a_folder_of_parquet_files_is_the_arrays_in_order(parquet):
    same(open_data(str(parquet), inputs=[SPEC]))
    same(open_data(str(parquet), inputs=[SPEC]), [9, 2, 3])


def test_only_the_row_groups_that_are_wanted_are_read(parquet):
    dataset = open_data(str(parquet), inputs=[SPEC])
    read, plain = [], dataset.source.blocks.read
    dataset.source.blocks.read = lambda block, *rest: (read.append(block), plain(block, *rest))[1]
    assert [s.index for s in dataset.samples([4, 8])] == [4, 8]
    assert read == [1, 3]


def test_a_fingerprint_changes_with_a_value(parquet):
    first = open_data(str(parquet), inputs=[SPEC]).fingerprint()
    assert open_data(str(parquet), inputs=[SPEC]).fingerprint() == first
    (parquet / "1.parquet").write_bytes((parquet / "0.parquet").read_bytes())
    assert open_data(str(parquet), inputs=[SPEC]).fingerprint() != first


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet': pip install 'tightfit[parquet]'")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no parquet file"):
        open_data(str(tmp_path / "bad.parquet"), inputs=[SPEC])


def test_tars_of_arrays_are_read_over_a_range_of_names(tmp_path):
    x, y = arrays()
    samples = [(f"s{i:03}", {"npy": npy(x[i]), "cls": str(y[i]).encode()}) for i in range(COUNT)]
    write_tar(tmp_path / "set-00.tar", samples[:4])
    write_tar(tmp_path / "set-01.tar", samples[4:])
    for spec in (f"{tmp_path}/set-{{00..01}}.tar", str(tmp_path)):
        same(open_data(spec, inputs=[SPEC]))
    same(open_data(str(tmp_path), inputs=[SPEC]), [0, 4, 10])


def test_tars_of_images_are_decoded_by_the_image_options(tmp_path):
    write_tar(
        tmp_path / "a.tar", [(f"{i}", {"png": png(i), "json": json.dumps(i).encode()}) for i in range(3)]
    )
    options = ImageOptions.parse("size=4")
    samples = list(open_data(str(tmp_path / "a.tar"), image=options, inputs=[SPEC]).samples())
    assert [float(s.inputs["pixels"].max()) for s in samples] == [0.0, 20.0, 40.0]
    with pytest.raises(DataError, match="--image"):
        next(open_data(str(tmp_path / "a.tar"), inputs=[SPEC]).samples())


@pytest.mark.parametrize(
    ("member", "content"), [("y.pickle", b"x"), ("cls", b"three"), ("npy", b"no array"), ("png", b"no image")]
)
def test_members_that_cannot_be_read_are_refused(tmp_path, member, content):
    own = {"npy": npy(arrays()[0][0]), "cls": b"1"} | {member: content}
    if member == "png":
        del own["npy"]
    write_tar(tmp_path / "a.tar", [("0", own)])
    with pytest.raises(DataError):
        list(open_data(str(tmp_path / "a.tar"), image=ImageOptions.parse("size=4"), inputs=[SPEC]).samples())


def test_a_range_with_a_missing_file_is_refused(tmp_path):
    write_tar(tmp_path / "a-0.tar", [("0", {"npy": npy(arrays()[0][0])})])
    with pytest.raises(DataError, match=r"a-1\.tar"):
        open_data(f"{tmp_path}/a-{{0..1}}.tar", inputs=[SPEC])
    assert len(tar_files("a-{0..1}.tar")) == 2


def test_columns_that_are_no_input_are_named(tmp_path):
    write_tar(tmp_path / "a.tar", [("0", {"left.npy": npy(np.zeros(2)), "right.npy": npy(np.zeros(2))})])
    with pytest.raises(DataError, match="left, right"):
        open_data(str(tmp_path / "a.tar"), inputs=[SPEC])


def test_the_fingerprint_of_a_tar_is_that_of_its_bytes(tmp_path):
    write_tar(tmp_path / "a.tar", [("0", {"npy": npy(arrays()[0][0])})])
    first = open_data(str(tmp_path / "a.tar"), inputs=[SPEC]).fingerprint()
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[700] ^= 1  # of the values: names, sizes and times stay
    (tmp_path / "a.tar").write_bytes(content)
    assert open_data(str(tmp_path / "a.tar"), inputs=[SPEC]).fingerprint() != first


def test_a_tar_that_is_cut_is_refused(tmp_path):
    write_tar(tmp_path / "a.tar", [("0", {"npy": npy(arrays()[0][0]), "cls": b"12"})])
    content = (tmp_path / "a.tar").read_bytes()
    data = open_data(str(tmp_path / "a.tar"), inputs=[SPEC])
    for length in (1537, 600, 100):
        (tmp_path / "a.tar").write_bytes(content[:length])
        with pytest.raises(DataError, match="is no tar"):
            open_data(str(tmp_path / "a.tar"), inputs=[SPEC])
        with pytest.raises(DataError, match="was cut"):
            list(data.samples())


def test_headers_that_lead_back_or_have_gaps_are_refused():
    header = _Header("a")
    assert header._block(513) == 1024
    with pytest.raises(tarfile.ReadError, match="negative"):
        header._block(-512)
    header.sparse = [(0, 1)]
    with pytest.raises(tarfile.ReadError, match="gaps"):
        _is_plain(header)


def test_a_range_of_too_many_files_is_refused():
    with pytest.raises(DataError, match="more than"):
        tar_files("a-{0..99999999999999}.tar")


def test_headers_of_arrays_that_do_not_end_are_refused(tmp_path):
    content = npy(arrays()[0][0]).replace(b"}", b"(")
    write_tar(tmp_path / "a.tar", [("0", {"npy": content})])
    with pytest.raises(DataError, match="cannot be read"):
        list(open_data(str(tmp_path / "a.tar"), inputs=[SPEC]).samples())
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match="holds no array"):
        open_data(str(tmp_path / "a.npy"), inputs=[SPEC])
