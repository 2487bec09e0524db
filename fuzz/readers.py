"""What is fed: each reader of a stranger's file, with small, generated seeds."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from fuzz.mutation import mutate_bytes, mutate_json, mutate_model, mutate_zip
from tightfit.conversion.keras.safe_files import check_file
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.demo import MODEL
from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Model, Op, Quantization, Signature, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.summary import summary
from tightfit.graph.writer import serialize
from tightfit.provenance.record import ProvenanceRecord
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.report.report import Report
from tightfit.runtime.child.memory import declared_bytes
from tightfit.search.journal import Journal
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target

_FOLDER: Final = Path(tempfile.mkdtemp(prefix="fuzzing-"))
_SPEC: Final = InputSpec("x", (1, 2, 2, 1), "float32")


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
        dataset = open_data(str(path), inputs=[_SPEC])
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
    """Reads a report."""
    Report.from_json(data.decode("utf-8", "replace"))


def read_journal(data: bytes) -> None:
    """Reads a journal; whatever it holds, the search goes on."""
    (_FOLDER / "journal.json").write_bytes(data)
    journal = Journal(_FOLDER, {"model": "x"})
    journal.get("int8", _FOLDER)


def read_record(data: bytes) -> None:
    """Reads the provenance of a file."""
    ProvenanceRecord.decode(data)


# -- seeds -----------------------------------------------------------------------------------------


def models() -> list[bytes]:
    """Return small models with most kinds of tables, and the demo, which is large and so comes rarely."""
    return [MODEL.read_bytes(), *[dense(), two_graphs()] * 8]


def dense() -> bytes:
    """Return an int8 FULLY_CONNECTED between QUANTIZE and DEQUANTIZE, with a signature and metadata."""
    one = Quantization(np.full(1, 0.1, np.float32), np.zeros(1, np.int64))
    rows = Quantization(np.full(3, 0.1, np.float32), np.zeros(3, np.int64))
    graph = Graph("main")
    x, y = Tensor("x", (1, 4)), Tensor("y", (1, 3))
    inside, outside = (
        Tensor("q", (1, 4), "int8", quantization=one),
        Tensor("r", (1, 3), "int8", quantization=one),
    )
    weights = Tensor("w", (3, 4), "int8", np.arange(12, dtype=np.int8).reshape(3, 4), quantization=rows)
    bias = Tensor("b", (3,), "int32", np.zeros(3, np.int32), quantization=rows)
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Op("QUANTIZE", [x], [inside], {}, "QuantizeOptions"))
    graph.append(Op("FULLY_CONNECTED", [inside, weights, bias], [outside], {}, "FullyConnectedOptions"))
    graph.append(Op("DEQUANTIZE", [outside], [y], {}, "DequantizeOptions"))
    model = Model([graph], [Signature("serving_default", {"x": x}, {"y": y})])
    model.metadata["note"] = b"kept"
    return serialize(model)


def two_graphs() -> bytes:
    """Return a model of two graphs, each with a signature of its own."""
    graphs, signatures = [], []
    for index, kind in enumerate(("NEG", "ABS")):
        graph = Graph(kind.lower())
        graph.inputs, graph.outputs = [Tensor("x", (1, 2))], [Tensor("y", (1, 2))]
        graph.append(Op(kind, graph.inputs, graph.outputs))
        signatures.append(Signature(kind, {"x": graph.inputs[0]}, {"y": graph.outputs[0]}, graph_index=index))
        graphs.append(graph)
    return serialize(Model(graphs, signatures))


def arrays() -> list[bytes]:
    """Return ``.npz`` files, stored and compressed, in both orders."""
    values = np.arange(24, dtype=np.float32).reshape(6, 2, 2, 1)
    made = []
    for save in (np.savez, np.savez_compressed):
        for x in (values, np.asfortranarray(values)):
            buffer = io.BytesIO()
            save(buffer, x=x, y=np.arange(6))
            made.append(buffer.getvalue())
    return made


def lines() -> list[bytes]:
    """Return ``.jsonl`` manifests of arrays, with and without labels."""
    rows = [{"x": [[[i], [1]], [[2], [3]]], "label": i} for i in range(4)]
    return [
        "\n".join(json.dumps(r) for r in rows).encode(),
        json.dumps({"x": [[[0], [1]], [[2], [3]]]}).encode(),
    ]


def archives() -> list[bytes]:
    """Return a ``.keras`` archive of one dense layer."""
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2, "activation": "relu"}}
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
    return [buffer.getvalue()]


def reports() -> list[bytes]:
    """Return a report with one candidate."""
    candidate = {"name": "int8", "scheme": "int8", "size_bytes": 5, "path": "candidates/int8.tflite"}
    plain = {"model": {}, "data": {}, "machine": {}, "budget": {}, "candidates": [candidate], "best": "int8"}
    return [json.dumps(plain).encode()]


def journals() -> list[bytes]:
    """Return a journal of the key that ``read_journal`` asks for."""
    key = Journal(_FOLDER / "none", {"model": "x"}).key
    candidate = {"name": "int8", "scheme": "int8", "path": "candidates/int8.tflite", "sha256": "0" * 64}
    return [json.dumps({"key": key, "candidates": [candidate]}).encode()]


def records() -> list[bytes]:
    """Return a provenance record."""
    facts = {"versions": {"tightfit": "0"}, "steps": ["a"], "source": {"name": "m"}, "data": {}}
    return [ProvenanceRecord(facts, {"x": (0.0, 1.0)}).encode()]


READERS: Final = {
    "graph": Reader(models, mutate_model, read_graph),
    "npz": Reader(arrays, mutate_zip, read_data(".npz")),
    "jsonl": Reader(lines, mutate_json, read_data(".jsonl")),
    "csv": Reader(lambda: [b"path,label\na.png,1\n"], mutate_bytes, read_data(".csv")),
    "keras": Reader(archives, mutate_zip, read_keras),
    "report": Reader(reports, mutate_json, read_report),
    "journal": Reader(journals, mutate_json, read_journal),
    "provenance": Reader(records, mutate_bytes, read_record),
}
