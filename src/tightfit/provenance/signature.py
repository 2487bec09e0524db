"""Sign a whole file with an Ed25519 key, so that any change of its record, probes or weights is found.

The metadata entry ``tightfit.signature`` contains a mark, the public key (32 bytes) and the signature (64
bytes) of the SHA-512 of the file, in which the signature itself counts as zeros. Keys are PEM files, as
``openssl genpkey -algorithm ed25519`` writes them. Needs the package ``cryptography`` (the extra ``sign``).

Source: RFC 8032 (Ed25519); RFC 8410 (keys in PEM).
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError, OptionError
from tightfit.files import checked_write
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.kinds import Pathlike
from tightfit.paths import refuse_endless

KEY: Final = "tightfit.signature"
_MARK: Final = b"tightfit-ed25519"
_PUBLIC_BYTES, _SIGNATURE_BYTES = 32, 64
_ENTRY_BYTES: Final = len(_MARK) + _PUBLIC_BYTES + _SIGNATURE_BYTES


def sign(model: Pathlike, output: Pathlike, private_key: Pathlike) -> Path:
    """Write a signed copy of a ``.tflite`` and return its path.

    Args:
        model: the file to sign; it is not changed.
        output: the file to write.
        private_key: a PEM file with an Ed25519 key, without a password.

    Raises:
        OptionError: the key cannot be used, or ``cryptography`` is missing.
        ModelError: the file cannot be read or written.
    """
    key = _load(private_key, private=True)
    public = key.public_key().public_bytes_raw()
    copy = read_model(Path(model))
    copy.metadata[KEY] = _MARK + public + bytes(_SIGNATURE_BYTES)
    with checked_write(Path(output)) as trial:
        write_model(copy, trial)
        content = bytearray(trial.read_bytes())
        place = _place(content)
        content[place : place + _SIGNATURE_BYTES] = key.sign(_digest(content, place))
        trial.write_bytes(content)
    return Path(output)


def is_signed_by(model: Pathlike, public_key: Pathlike) -> bool:
    """Return True when a file has a signature of this key and was not changed since.

    Args:
        model: the file.
        public_key: a PEM file with an Ed25519 key.

    Raises:
        OptionError: the key cannot be used, or ``cryptography`` is missing.
        ModelError: the file cannot be read.
    """
    key = _load(public_key, private=False)
    entry = read_model(Path(model)).metadata.get(KEY)
    if entry is None or len(entry) != _ENTRY_BYTES or not entry.startswith(_MARK):
        return False
    content = bytearray(Path(model).read_bytes())
    if content.count(entry) != 1 or entry[len(_MARK) : -_SIGNATURE_BYTES] != key.public_bytes_raw():
        return False
    place = content.find(entry) + _ENTRY_BYTES - _SIGNATURE_BYTES
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an optional package

    try:
        key.verify(entry[-_SIGNATURE_BYTES:], _digest(content, place))
    except InvalidSignature:
        return False
    return True


def _place(content: bytearray) -> int:
    """The offset of the signature in a file with an unsigned entry."""
    if content.count(_MARK) != 1:
        raise ModelError("The model holds the mark of a signature in its constants; it cannot be signed.")
    return content.find(_MARK) + len(_MARK) + _PUBLIC_BYTES


def _digest(content: bytearray, place: int) -> bytes:
    """SHA-512 of the file with zeros in place of the signature."""
    digest = hashlib.sha512(memoryview(content)[:place])
    digest.update(bytes(_SIGNATURE_BYTES))
    digest.update(memoryview(content)[place + _SIGNATURE_BYTES :])
    return digest.digest()


def _load(path: Pathlike, *, private: bool) -> Any:
    if find_spec("cryptography") is None:
        raise OptionError(
            "Signatures need the package cryptography, which is not installed: pip install 'tightfit[sign]'."
        )
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an optional package
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - the same
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - the same

    kind = ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey
    refuse_endless(Path(path), "The key")
    try:
        data = Path(path).read_bytes()
        if private:
            key: Any = serialization.load_pem_private_key(data, password=None)
        else:
            key = serialization.load_pem_public_key(data)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionError(
            f"The key '{path}' cannot be read ({error}); {_expected(private=private)}."
        ) from error
    if not isinstance(key, kind):
        raise OptionError(f"The key '{path}' is of another kind; {_expected(private=private)}.")
    return key


def _expected(*, private: bool) -> str:
    if private:
        return "expected a private Ed25519 key as PEM without a password (openssl genpkey -algorithm ed25519)"
    return "expected a public Ed25519 key as PEM (openssl pkey -in private.pem -pubout)"
