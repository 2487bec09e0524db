"""Loads and runs a written file in LiteRT and compares it with the float model before it is called done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tightfit.errors import DataError, RuntimeFailureError
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.graph.ir import Model
from tightfit.graph.signatures import keeps_state, main_signature, output_names
from tightfit.graph.split_inputs import split_values
from tightfit.graph.split_outputs import join_values
from tightfit.provenance.probes import THREADS, Limits, answers
from tightfit.quantization.arithmetic import dequantize, quantize
from tightfit.quantization.calibration.calibrate import PROBES, Probe
from tightfit.runtime.free_sizes import runnable_inputs
from tightfit.runtime.input_samples import TensorSpec, random_sample
from tightfit.runtime.session import Session
from tightfit.types import Array


@dataclass(frozen=True)
class Check:
    """What a file did on the probes.

    Args:
        snr_db: see ``snr_db``, over all probes.
        outputs: the file's outputs (reals as float32) for each probe, by tensor key of the float model.
        answers: the file's raw outputs by name for seeded inputs, where asked for.
        unanswered: why LiteRT did not answer those, or "".
        quality: of each output, slice by slice, on the probes.
    """

    snr_db: float
    outputs: list[dict[str, Array]]
    answers: list[dict[str, Array]] = field(default_factory=list)
    unanswered: str = ""
    quality: list[OutputQuality] = field(default_factory=list)


def random_probes(path: Path, model: Model, *, threads: int = 2) -> list[Probe]:
    """Return one probe with seeded random inputs, for schemes that need no data.

    Raises:
        RuntimeFailureError: LiteRT cannot run the float model.
    """
    if not _is_callable(model):
        return []
    with _session(path, model, threads) as session:
        sample = random_sample(runnable_inputs(session))
        outputs = session.run(sample)
    return [(sample, _by_key(outputs, model))]


def own_probes(path: Path, model: Model, ranges: Mapping[str, tuple[float, float]]) -> list[Probe]:
    """Return noise within the input ranges of a quantized file, and what the file itself makes of it.

    Args:
        path: the quantized file.
        model: its float graph, by whose keys the answers are named.
        ranges: input's name → smallest and largest real that its integers stand for.

    Raises:
        RuntimeFailureError: LiteRT cannot run the file.
    """
    if not _is_callable(model):
        return []
    probes: list[Probe] = []
    with _session(path, model, 2) as session:
        outputs = {s.name: s for s in session.outputs}
        for seed in range(PROBES):
            generator = np.random.default_rng(seed)
            sample = {n: np.asarray(v) for n, v in random_sample(session.inputs, seed).items()}
            for spec in session.inputs:
                if spec.dtype == "float32" or spec.scale is not None:
                    values = _within(ranges.get(spec.name, (-1.0, 1.0)), spec.shape, generator)
                    sample[spec.name] = _stored(values, spec)
            raw = session.run(sample)
            reals = {s.name: _real(sample[s.name], s) for s in session.inputs}
            probes.append((reals, _by_key({n: _real(v, outputs[n]) for n, v in raw.items()}, model)))
    return probes


def _within(limits: tuple[float, float], shape: Sequence[int], generator: np.random.Generator) -> Array:
    """Noise inside a range, dense in its middle like most data; uniform noise saturates what follows."""
    low, high = limits
    values = generator.normal((low + high) / 2, (high - low) / 8, shape)
    return np.clip(values, low, high).astype(np.float32)


def check_file(
    path: Path, model: Model, probes: Sequence[Probe], *, threads: int = THREADS, seeded: Limits | None = None
) -> Check:
    """Runs the probes through a file and gives its signal-to-noise against the float model.

    Args:
        path: the quantized file.
        model: the float model that the file was made from.
        probes: inputs and what the float model makes of them.
        threads: CPU threads LiteRT may use.
        seeded: limits of seeded inputs to be answered too.

    Raises:
        RuntimeFailureError: LiteRT refuses the file, dies on it, or it gives NaN, infinity or another shape.
    """
    answered, unanswered = _answers(path, model, seeded) if keeps_state(model) else ([], "")
    with _session(path, model, threads) as session:
        outputs = {s.name: s for s in session.outputs}
        results = []
        for inputs, _ in probes if _is_callable(model) else ():
            split = split_values(inputs, [s.name for s in session.inputs])
            raw = session.run({s.name: _stored(split[s.name], s) for s in session.inputs})
            reals = join_values({n: _real(v, outputs[n]) for n, v in raw.items()})
            results.append(_by_key(reals, model))
        if not keeps_state(model):
            answered, unanswered = _ask(session, model, seeded)
    references = [expected for _, expected in probes][: len(results)]
    for result, expected in zip(results, references, strict=True):
        _refuse_broken(result, expected, path)
    return Check(snr_over(results, references), results, answered, unanswered)


def _answers(path: Path, model: Model, seeded: Limits | None) -> tuple[list[dict[str, Array]], str]:
    """The answers in a session of its own: a model with state answers by what it was asked before."""
    if seeded is None:
        return [], ""
    with _session(path, model, THREADS) as session:
        return _ask(session, model, seeded)


def _ask(session: Session, model: Model, seeded: Limits | None) -> tuple[list[dict[str, Array]], str]:
    if seeded is None or not _is_callable(model):
        return [], ""
    try:
        return answers(session, seeded), ""
    except (DataError, RuntimeFailureError) as error:
        return [], str(error)


def snr_db(values: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return ``10 · log10(Σ reference² / Σ (reference - values)²)`` over all outputs, infinite when equal.

    Values that are not finite in the reference do not count; where none is finite the ratio is NaN, as
    nothing could be compared. Where no output is a real, each decision counts as 1: the ratio is that of all
    decisions to different ones.

    Example:
        >>> snr_db({"y": np.array([1.0, 1.0])}, {"y": np.array([1.0, 0.0])})
        0.0
    """
    return snr_over([values], [reference])


def snr_over(results: Sequence[Mapping[str, Array]], references: Sequence[Mapping[str, Array]]) -> float:
    """Return ``snr_db`` over several samples."""
    reals = [0.0, 0.0]
    decisions = [0.0, 0.0]
    broken = compared = 0
    for result, reference in zip(results, references, strict=True):
        for key, wanted in reference.items():
            if key not in result:
                continue
            if wanted.dtype.kind == "f":
                finite = np.isfinite(wanted)
                clean = wanted[finite].astype(np.float64)
                compared += clean.size
                broken += wanted.size - clean.size
                reals[0] += float(np.square(clean).sum())
                reals[1] += float(np.square(clean - result[key][finite]).sum())
            else:
                decisions[0] += float(wanted.size)
                decisions[1] += float((wanted != result[key]).sum())
    if broken and not compared and not decisions[0]:
        return math.nan
    signal, noise = reals if any(reals) else decisions
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(max(signal, 1e-300) / noise)


def _is_callable(model: Model) -> bool:
    """False where every signature enters another graph than the main one: then nothing can call it."""
    return not model.signatures or main_signature(model) is not None


def _session(path: Path, model: Model, threads: int) -> Session:
    signature = main_signature(model)
    key = None if signature is None else signature.key
    return Session(path, threads=threads, signature=key, shared=True)


def _by_key(outputs: Mapping[str, Array], model: Model) -> dict[str, Array]:
    keys = model.main.keys()
    names = {name: keys[t] for name, t in output_names(model).items()}
    return {names[n]: v for n, v in outputs.items() if n in names}


def _stored(values: Array, spec: TensorSpec) -> Array:
    """The integers that an integer input takes for reals; other inputs as they are."""
    if spec.scale is None or values.dtype.kind != "f" or np.dtype(spec.dtype).kind not in "iu":
        return values
    return quantize(values, spec.scale, spec.zero_point or 0, spec.dtype)


def _real(values: Array, spec: TensorSpec) -> Array:
    if spec.scale is None or values.dtype.kind == "f":
        return values
    return dequantize(values, spec.scale, spec.zero_point or 0)


def _refuse_broken(result: Mapping[str, Array], expected: Mapping[str, Array], path: Path) -> None:
    for key, values in result.items():
        wanted = expected.get(key)
        if wanted is None:
            continue
        if values.shape != wanted.shape:
            raise RuntimeFailureError(
                f"'{path.name}' gives '{key}' the shape {list(values.shape)}, the float model "
                f"{list(wanted.shape)}."
            )
        finite = values.dtype.kind != "f" or np.isfinite(values).all()
        if not finite and np.isfinite(wanted).all():
            raise RuntimeFailureError(
                f"'{path.name}' gives NaN or infinity in '{key}' where the float model does not."
            )
