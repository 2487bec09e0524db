"""A model named by its place on the hub comes from the cache of huggingface_hub, offline."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

import tightfit
from support.models import conv_net
from tightfit.conversion.hub import fetch, is_hub_reference
from tightfit.graph.writer import write_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: the extra 'hub'")
    folder = tmp_path / "hub" / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    write_model(conv_net(), folder / "snapshots" / COMMIT / "net.tflite")
    return {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}


def run(cache, model):
    code = f"import tightfit; print(tightfit.inspect({model!r})['parameters'])"
    import os  # noqa: PLC0415 - one test's

    environment = {**os.environ, **cache}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_a_reference_is_read_from_the_cache(cache):
    done = run(cache, "hf://owner/name/net.tflite")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_what_is_not_in_the_cache_is_an_error_in_one_sentence(cache):
    done = run(cache, "hf://owner/name/other.tflite")
    assert "ModelError: 'hf://owner/name/other.tflite' is not in the cache" in done.stderr


def test_references_have_one_form():
    assert is_hub_reference("hf:/owner/name/a.tflite"), "a path joins the slashes"
    with pytest.raises(tightfit.OptionError, match="expected hf://owner/name/file"):
        fetch("hf://owner")


@pytest.mark.parametrize(
    "reference",
    [
        "hf://owner/name/../../secret.tflite",
        "hf://owner/name/a.tflite@../main",
        "hf://owner/name/..\\..\\secret.tflite",
        "hf://../name/a.tflite",
        "hf://owner/name/a\x1b[2J.tflite",
        "hf://owner/name/a\nb.tflite",
        f"hf://owner/name/{'a' * 5000}.tflite",
    ],
)
def test_a_name_that_leaves_its_folder_or_moves_the_cursor_is_refused(reference):
    with pytest.raises(tightfit.OptionError, match="expected hf://owner/name/file") as refused:
        fetch(reference)
    assert len(str(refused.value)) <= 300
    assert str(refused.value).isprintable()


def test_a_file_that_does_not_fit_the_disk_is_refused_before_it_is_read(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: the extra 'hub'")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none" / "yet"))
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda _: SimpleNamespace(size=1 << 60))
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(tightfit.ModelError, match="free some or set HF_HUB_CACHE"):
        fetch("hf://owner/name/net.tflite")
