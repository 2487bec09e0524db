"""Loads and runs a written file in LiteRT and compares it with the float model before it is called done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.samples import Sample
from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Array, Model, Tensor
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration import Probe
from tightfit.runtime.session import Session


@dataclass(frozen=True)
class Check:
    """What a file did on the probes.

    Args:
        snr_db: ``10 · log10(Σ float² / Σ (float − file)²)`` over all outputs; infinite when equal.
        outputs: the file's outputs as float32, for each probe, by tensor key of the float model.
    """

    snr_db: float
    outputs: list[dict[str, Array]]


def output_names(model: Model) -> dict[str, Tensor]:
    """Gives the names by which the main graph's outputs are called: the signature's, else the tensors'."""
    for signature in model.signatures:
        if signature.graph_index == 0 and signature.outputs:
            return dict(signature.outputs)
    keys = model.main.keys()
    return {keys[t]: t for t in model.main.outputs}


def check_file(path: Path, model: Model, probes: Sequence[Probe], *, threads: int = 2) -> Check:
    """Runs the probes through a file and gives its signal-to-noise against the float model.

    Args:
        model: the float model that the file was made from.

    Raises:
        RuntimeFailureError: LiteRT refuses the file, dies on it, or it gives NaN or infinity.
    """
    keys = model.main.keys()
    names = {name: keys[t] for name, t in output_names(model).items()}
    with Session(path, threads=threads) as session:
        specs = {s.name: s for s in session.outputs}
        results = []
        for inputs, _ in probes:
            raw = session.run(adapt_inputs(Sample(dict(inputs)), session.inputs))
            results.append({names[n]: _real(v, specs[n]) for n, v in raw.items() if n in names})
    for result, (_, expected) in zip(results, probes, strict=True):
        _refuse_not_finite(result, expected, path)
    return Check(_snr(results, [expected for _, expected in probes]), results)


def snr_db(values: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Gives the signal-to-noise of one sample's outputs.

    Example:
        >>> snr_db({"y": np.array([1.0, 1.0])}, {"y": np.array([1.0, 0.0])})
        0.0
    """
    return _snr([values], [reference])


def _real(values: Array, spec: object) -> Array:
    scale = getattr(spec, "scale", None)
    if scale is None or values.dtype.kind == "f":
        return values
    return dequantize(values, scale, getattr(spec, "zero_point", 0) or 0)


def _snr(results: Sequence[Mapping[str, Array]], references: Sequence[Mapping[str, Array]]) -> float:
    signal = noise = 0.0
    for result, reference in zip(results, references, strict=True):
        for key, wanted in reference.items():
            if key in result and wanted.dtype.kind == "f":
                clean = np.nan_to_num(wanted.astype(np.float64))
                signal += float(np.square(clean).sum())
                noise += float(np.square(clean - result[key]).sum())
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(max(signal, 1e-300) / noise)


def _refuse_not_finite(result: Mapping[str, Array], expected: Mapping[str, Array], path: Path) -> None:
    for key, values in result.items():
        wanted = expected.get(key)
        if wanted is None or values.dtype.kind != "f" or not np.isfinite(wanted).all():
            continue
        if not np.isfinite(values).all():
            raise RuntimeFailureError(
                f"'{path.name}' gives NaN or infinity in '{key}' where the float model does not."
            )
