"""State what a release was built from, sign the statement, and check it.

    python bench/release.py dist [--key private.pem]     writes SHA256SUMS, provenance.json and its signature
    python bench/release.py dist --check public.pem      exit code 1 where a file or the statement was changed

``provenance.json`` is an in-toto statement: the SHA-256 of each file, the commit, the tools that built it.
Keys are Ed25519 in PEM, as ``openssl genpkey -algorithm ed25519`` writes them.

Source: in-toto Statement v1; SLSA provenance v1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

STATEMENT, SUMS, SIGNATURE = "provenance.json", "SHA256SUMS", "provenance.json.sig"
_TOOLS: Final = ("build", "cyclonedx-bom")


def digests(folder: Path) -> dict[str, str]:
    """Return name → SHA-256 of the files of a release, without what ``write`` adds."""
    own = {STATEMENT, SUMS, SIGNATURE}
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in own)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def statement(folder: Path, commit: str) -> dict[str, Any]:
    """Return the statement: which files, from which commit, by which tools."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in digests(folder).items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "make release",
                "resolvedDependencies": [{"name": "source", "digest": {"gitCommit": commit}}],
            },
            "runDetails": {
                "builder": {
                    "version": {"python": platform.python_version()} | {t: version(t) for t in _TOOLS}
                }
            },
        },
    }


def write(folder: Path, key: Path | None, commit: str) -> None:
    """Write the sums and the statement, and its signature where there is a key."""
    lines = [f"{digest}  {name}\n" for name, digest in digests(folder).items()]
    (folder / SUMS).write_text("".join(lines))
    content = json.dumps(statement(folder, commit), indent=1).encode() + b"\n"
    (folder / STATEMENT).write_bytes(content)
    (folder / SIGNATURE).unlink(missing_ok=True)
    if key is not None:
        private: Any = serialization.load_pem_private_key(key.read_bytes(), password=None)
        (folder / SIGNATURE).write_bytes(private.sign(content))


def problems(folder: Path, key: Path) -> list[str]:
    """Return what is not as it was signed; empty when all is."""
    public: Any = serialization.load_pem_public_key(key.read_bytes())
    try:
        content = (folder / STATEMENT).read_bytes()
        public.verify((folder / SIGNATURE).read_bytes(), content)
    except (OSError, InvalidSignature):
        return [f"{STATEMENT} is not signed by this key"]
    signed = {each["name"]: each["digest"]["sha256"] for each in json.loads(content)["subject"]}
    found = digests(folder)
    return [f"{name} was changed" for name in sorted(signed | found) if signed.get(name) != found.get(name)]


def main() -> int:
    """Writes or checks the statement of a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--check", type=Path)
    asked = parser.parse_args()
    if asked.check is not None:
        found = problems(asked.folder, asked.check)
        print("; ".join(found) or f"{len(digests(asked.folder))} files are as they were signed")
        return 1 if found else 0
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S607 - of this repository
    write(asked.folder, asked.key, head.stdout.strip())
    print(f"{len(digests(asked.folder))} files, {'signed' if asked.key else 'not signed: no key'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
