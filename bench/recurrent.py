"""An LSTM as one op, or a GRU as loops, beside its steps written out: bytes, signal-to-noise, time.

    python bench/recurrent.py [--layer gru] [--steps 64] [--depth 16] [--units 32] [--schemes int8,dynamic]

Time is the CPU time of the process, as the median of interleaved calls on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter  # noqa: TID251 - calls of two files are interleaved in one process

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.recurrent_loop import GRU, Cell, add_layer
from tightfit.graph.ops.sequence_lstm import Gates, layer_ops
from tightfit.graph.passes.unrolled_loops import unroll_loops
from tightfit.graph.passes.unrolled_lstm import unroll_lstms
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.quantization.scheme import find_scheme


def gru(steps: int, depth: int, units: int) -> Model:
    """One GRU from zero with random weights, as loops behind the product with the input."""
    draw, rows = np.random.default_rng(0), 3 * units
    shapes = (rows, depth), (rows, units), (rows,)
    w, r, b = ((draw.normal(size=s) / np.sqrt(s[-1])).astype(np.float32) for s in shapes)
    x, gates = Tensor("x", (steps, 1, depth)), Tensor("gates", (steps, 1, rows))
    states, y = Tensor("states", (steps, 1, units)), Tensor("y", (steps, 1, units))
    graph = Graph()
    graph.inputs, graph.outputs, model = [x], [y], Model([graph])
    dense = {"fusedActivationFunction": 0, "weightsFormat": 0, "keepNumDims": True}
    weights = [Tensor("w", w.shape, data=w), Tensor("b", b.shape, data=b)]
    graph.append(Op("FULLY_CONNECTED", [x, *weights], [gates], dense, "FullyConnectedOptions"))
    last = graph.append(Op("TANH", [states], [y]))
    first = Tensor("first", (1, units), data=np.zeros((1, units), np.float32))
    add_layer(model, last, gates, first, Cell(GRU, r, b), states)
    return model


def lstm(steps: int, depth: int, units: int) -> Model:
    """One LSTM from zero with random weights."""
    draw = np.random.default_rng(0)
    shapes = (4 * units, depth), (4 * units, units), (4 * units,)
    rows = [(draw.normal(size=s) / np.sqrt(s[-1])).astype(np.float32) for s in shapes]
    graph = Graph()
    x, y = Tensor("x", (1, steps, depth)), Tensor("y", (1, steps, units))
    graph.inputs, graph.outputs = [x], [y]
    for op in layer_ops(x, Gates.of_rows(*rows), y):
        graph.append(op)
    return Model([graph])


def loaded(path: Path) -> Interpreter:
    """A session on one thread."""
    made = Interpreter(model_path=str(path), num_threads=1)
    made.allocate_tensors()
    return made


def answer(session: Interpreter, x: np.ndarray) -> np.ndarray:
    """What one call gives."""
    session.set_tensor(session.get_input_details()[0]["index"], x)
    session.invoke()
    return session.get_tensor(session.get_output_details()[0]["index"])


def times_ms(paths: list[Path], x: np.ndarray, rounds: int = 40) -> list[float]:
    """The median CPU time of a call of each file."""
    sessions, spent = [loaded(p) for p in paths], [[] for _ in paths]
    for _ in range(rounds):
        for session, found in zip(sessions, spent, strict=True):
            began = time.process_time()
            answer(session, x)
            found.append(1e3 * (time.process_time() - began))
    return [float(np.median(found)) for found in spent]


def main() -> None:
    """Print a row for each scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("steps", 64), ("depth", 16), ("units", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--layer", choices=("lstm", "gru"), default="lstm")
    parser.add_argument("--schemes", default="float,float16,weight8,dynamic,int8")
    options = parser.parse_args()
    draw = np.random.default_rng(1)
    whole = (gru if options.layer == "gru" else lstm)(options.steps, options.depth, options.units)
    shape = whole.main.inputs[0].shape
    samples = [draw.normal(size=shape).astype(np.float32) for _ in range(40)]
    written_out = copy_model(whole)
    unroll_lstms(written_out)
    unroll_loops(written_out)
    print(f"{'scheme':10}{'form':12}{'bytes':>10}{'dB':>8}{'ms':>9}{'whole / unrolled':>18}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for form, model in (("whole", whole), ("unrolled", written_out)):
            write_model(model, folder / f"{form}.float.tflite")
        wanted = [answer(loaded(folder / "whole.float.tflite"), x) for x in samples[30:]]
        for scheme in options.schemes.split(","):
            paths = [folder / f"{form}.{scheme}.tflite" for form in ("whole", "unrolled")]
            for path in paths if scheme != "float" else []:
                source = folder / f"{path.name.partition('.')[0]}.float.tflite"
                given = [{"x": x} for x in samples[:30]] if find_scheme(scheme).needs_data else None
                quantize_file(source, scheme, path, given, mend=False)
            spent = times_ms(paths, samples[0])
            for path, ms in zip(paths, spent, strict=True):
                found = [answer(session, x) for session in [loaded(path)] for x in samples[30:]]
                noise = max(float(np.square(np.subtract(found, wanted)).sum()), 1e-30)
                snr = 10 * np.log10(float(np.square(wanted).sum()) / noise)
                ratio = f"{spent[0] / spent[1]:.2f}" if path is paths[0] else ""
                form = path.name.partition(".")[0]
                print(f"{scheme:10}{form:12}{path.stat().st_size:>10,}{snr:>8.1f}{ms:>9.3f}{ratio:>18}")


if __name__ == "__main__":
    main()
