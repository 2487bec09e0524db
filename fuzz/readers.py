"""What is fed: each reader of a stranger's file, with small, generated seeds."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from fuzz import seeds
from fuzz.mutation import (
    mutate_bytes,
    mutate_json,
    mutate_model,
    mutate_options,
    mutate_tar,
    mutate_zip,
)
from tightfit.cli.app import app
from tightfit.cli.optimize import job_of
from tightfit.cli.options.configuration import read_config
from tightfit.conversion.keras.safe_files import check_file
from tightfit.data.images.image_decoding import decode
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.demo import MODEL
from tightfit.errors import ModelError, OptionError, TightfitError
from tightfit.graph.reader import read_model
from tightfit.graph.summary import summary
from tightfit.graph.writer import serialize
from tightfit.provenance.record import ProvenanceRecord
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.exchange.read_recipe import read_recipe
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.report.gate import compare_reports, markdown
from tightfit.report.report import Report
from tightfit.runtime.child.memory import declared_bytes
from tightfit.search.devices.device_file import read_devices
from tightfit.search.journal import Journal
from tightfit.search.run_file import read_run
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target

_FOLDER: Final = Path(tempfile.mkdtemp(prefix="fuzzing-"))
_SPEC: Final = InputSpec("x", (1, 2, 2, 1), "float32")
_IMAGE: Final = ImageOptions.parse("size=2").for_input(_SPEC)
_OPTIMIZE: Final[Any] = app.get_command(click.Context(app), "optimize")
_MODEL: Final = read_model(MODEL)
_KEY: Final = Journal(_FOLDER / "none", {"model": "x"}).key


@dataclass(frozen=True)
class Reader:
    """One reader.

    Args:
        seeds: whole files. mutate: makes a mutant of one. read: takes a mutant; raises a ``TightfitError`` or
            nothing.
    """

    seeds: Callable[[], list[bytes]]
    mutate: Callable[[bytes, Random], bytes]
    read: Callable[[bytes], None]


def read_graph(data: bytes) -> None:
    """Reads a model, plans, places and writes it; what was written reads again equal."""
    declared_bytes(data)
    model = read_model(data)
    summary(model)
    check(model, find_target("ethos-u55-128"))
    with contextlib.suppress(ModelError):  # it is no float model
        make_plan(model, find_scheme("weight8"), Ranges([]))
    written = serialize(model)
    again = serialize(read_model(written))
    if again != written:
        raise AssertionError("a written file does not read again equal")


def read_data(suffix: str) -> Callable[[bytes], None]:
    """Return a reader of all samples of a data file."""

    def read(data: bytes) -> None:
        path = _FOLDER / f"data{suffix}"
        path.write_bytes(data)
        if suffix == ".csv" and not (_FOLDER / "a.png").exists():
            (_FOLDER / "a.png").write_bytes(seeds.images()[0])
        image = _IMAGE if suffix in (".csv", ".tar") else None  # arrays are refused with image options
        dataset = open_data(str(path), image=image, inputs=[_SPEC])
        dataset.fingerprint()
        for _ in dataset.samples():
            pass
        dataset.labels()

    return read


def read_keras(data: bytes) -> None:
    """Checks the config of a Keras archive."""
    path = _FOLDER / "model.keras"
    path.write_bytes(data)
    check_file(path, trust=False)


def read_report(data: bytes) -> None:
    """Reads a report and compares it with itself, as a gate does."""
    report = Report.from_json(data.decode("utf-8", "replace"))
    markdown(compare_reports(report, report))


def read_journal(data: bytes) -> None:
    """Reads a journal; whatever it holds, the search goes on."""
    (_FOLDER / "journal.json").write_bytes(data)
    journal = Journal(_FOLDER, {"model": "x"})
    journal.get("int8", _FOLDER)


def read_record(data: bytes) -> None:
    """Reads the provenance of a file."""
    ProvenanceRecord.decode(data)


def read_image(data: bytes) -> None:
    """Decodes a picture."""
    decode(data, _IMAGE, "the picture")


def read_options(data: bytes) -> None:
    """Reads a file of options: by command, of devices, and of a run, whose options are understood too."""
    path = _FOLDER / "options.toml"
    path.write_bytes(data)
    for read in (read_config, read_devices):
        with contextlib.suppress(TightfitError):
            read(path)
            return
    read_run(path)
    try:
        with _OPTIMIZE.make_context("optimize", ["--run", str(path), "-o", "out"]) as context:
            job_of(context.params.pop("model"), context.params)
    except click.ClickException as error:
        raise OptionError(error.format_message()) from error


def read_recipe_file(data: bytes) -> None:
    """Reads a recipe of litert-quantizer and applies it to the ops of a model."""
    path = _FOLDER / "recipe.json"
    path.write_bytes(data)
    make_plan(_MODEL, (found := read_recipe(path)).scheme, Ranges([]), overrides=found.overrides)


def read_onnx(data: bytes) -> None:
    """Checks where the weights of an ONNX model lie."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with onnx
    from onnx import load_model_from_string  # noqa: PLC0415 - an optional package

    from tightfit.conversion.onnx.external_weights import check_external  # noqa: PLC0415 - the same

    try:
        model = load_model_from_string(data)
    except DecodeError:
        return
    (_FOLDER / "w.bin").write_bytes(bytes(16))
    check_external(model, _FOLDER, "model.onnx")


READERS: Final = {
    "graph": Reader(seeds.models, mutate_model, read_graph),
    "npz": Reader(seeds.arrays, mutate_zip, read_data(".npz")),
    "jsonl": Reader(seeds.lines, mutate_json, read_data(".jsonl")),
    "csv": Reader(seeds.tables, mutate_bytes, read_data(".csv")),
    "tar": Reader(seeds.tars, mutate_tar, read_data(".tar")),
    "image": Reader(seeds.images, mutate_bytes, read_image),
    "keras": Reader(seeds.archives, mutate_zip, read_keras),
    "report": Reader(seeds.reports, mutate_json, read_report),
    "journal": Reader(lambda: seeds.journals(_KEY), mutate_json, read_journal),
    "provenance": Reader(seeds.records, mutate_bytes, read_record),
    "recipe": Reader(seeds.recipes, mutate_json, read_recipe_file),
    "options": Reader(seeds.options, mutate_options, read_options),
} | ({} if find_spec("onnx") is None else {"onnx": Reader(seeds.onnx_models, mutate_bytes, read_onnx)})
