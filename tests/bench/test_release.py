"""A signed release is found to be changed when a byte of it is."""

from __future__ import annotations

import importlib.metadata

import pytest

serialization = pytest.importorskip(
    "cryptography.hazmat.primitives.serialization",
    reason="needs the extra 'sign': pip install 'tightfit[sign]'",
)

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402 - the same

import release  # noqa: E402 - needs cryptography


@pytest.fixture
def keys(tmp_path):
    private = Ed25519PrivateKey.generate()
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "private.pem").write_bytes(private.private_bytes(*plain))
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public.pem").write_bytes(private.public_key().public_bytes(*public))
    return tmp_path / "private.pem", tmp_path / "public.pem"


@pytest.fixture
def dist(tmp_path, keys, monkeypatch):
    monkeypatch.setattr(release, "version", lambda _name: "1")
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "a.whl").write_bytes(b"wheel")
    (folder / "a.cdx.json").write_bytes(b"{}")
    release.write(folder, keys[0], "0" * 40)
    return folder


def test_what_was_signed_is_found_whole(dist, keys):
    assert release.problems(dist, keys[1]) == []
    assert "  a.whl\n" in (dist / "SHA256SUMS").read_text()


@pytest.mark.parametrize("name", ["a.whl", "a.cdx.json", "provenance.json", "provenance.json.sig"])
def test_a_changed_byte_is_found(name, dist, keys):
    content = bytearray((dist / name).read_bytes())
    content[1] ^= 1
    (dist / name).write_bytes(content)
    assert release.problems(dist, keys[1])


def test_a_file_more_and_another_key_are_found(dist, keys, tmp_path):
    (dist / "more.whl").write_bytes(b"x")
    assert release.problems(dist, keys[1]) == ["more.whl was changed"]
    (dist / "more.whl").unlink()
    other = Ed25519PrivateKey.generate().public_key()
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "other.pem").write_bytes(other.public_bytes(*public))
    assert release.problems(dist, tmp_path / "other.pem") == ["provenance.json is not signed by this key"]


def test_a_tool_that_is_not_installed_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "_TOOLS", ("no-such-tool",))
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        release.statement(tmp_path, "0" * 40)
