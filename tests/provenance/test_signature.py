from __future__ import annotations

import contextlib

import pytest

from tightfit.api.verify import sign, verify
from tightfit.cli.app import app
from tightfit.demo import MODEL
from tightfit.errors import ModelError, OptionError
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.source import open_source
from tightfit.provenance.signature import is_signed_by

pytest.importorskip("cryptography", reason="cryptography is not installed: pip install 'tightfit[sign]'")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - optional
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - optional

    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        key = Ed25519PrivateKey.generate()
        (folder / f"{name}.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return folder


@pytest.fixture(scope="module")
def signed(keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signed")
    source = open_source(MODEL)
    source.facts = {}
    quantize_file(source, "float16", folder / "plain.tflite")
    return sign(folder / "plain.tflite", folder / "signed.tflite", keys / "own.pem")


def test_a_signed_file_is_known_by_its_key_and_answers_as_before(signed, keys):
    found = verify(signed, key=keys / "own.pub")
    assert found.signature_matches is True
    assert found.equal
    assert found.as_json()["signature_matches"] is True
    assert verify(signed, key=keys / "other.pub").signature_matches is False
    assert verify(signed).signature_matches is None


def test_any_changed_byte_breaks_the_signature(signed, keys, tmp_path):
    content = signed.read_bytes()
    for place in range(8, len(content), max(1, len(content) // 40)):
        changed = bytearray(content)
        changed[place] ^= 1
        path = tmp_path / "changed.tflite"
        path.write_bytes(changed)
        with contextlib.suppress(ModelError):  # a change that breaks the file is seen by itself
            assert not is_signed_by(path, keys / "own.pub"), place


def test_a_file_without_a_signature_is_not_signed(keys):
    assert not is_signed_by(MODEL, keys / "own.pub")


def test_the_command_ends_with_1_on_another_key(signed, keys):
    arguments = ["verify", str(signed), "--key"]
    assert app.main([*arguments, str(keys / "own.pub")], standalone_mode=False) == 0
    assert app.main([*arguments, str(keys / "other.pub")], standalone_mode=False) == 1


@pytest.mark.parametrize("name", ["own.pub", "missing.pem", "text.pem"])
def test_what_is_no_private_key_is_refused(name, keys, tmp_path):
    (keys / "text.pem").write_text("no key")
    with pytest.raises(OptionError, match="expected a private Ed25519 key"):
        sign(MODEL, tmp_path / "s.tflite", keys / name)
    assert list(tmp_path.iterdir()) == []
