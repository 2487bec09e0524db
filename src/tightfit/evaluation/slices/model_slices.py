"""Measures the slices of a file's outputs beside float answers that are already there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.adapt import adapt_inputs, dequantize
from tightfit.data.sample import Sample
from tightfit.errors import ModelError
from tightfit.evaluation.output_matching import match_outputs
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.evaluation.slices.quality import qualities
from tightfit.evaluation.slices.trace import find_slices
from tightfit.graph.format.temporary_files import temporary_file
from tightfit.graph.ir import Model
from tightfit.graph.signatures import main_signature, output_names
from tightfit.graph.split_outputs import join_values
from tightfit.runtime.input_samples import TensorSpec
from tightfit.runtime.session import Session
from tightfit.streaming.slice_axes import NamedSlices, Slices, with_named
from tightfit.streaming.slice_sums import SliceSums
from tightfit.types import Array

THREADS: Final = 2

Probe = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Inputs by name, the float model's outputs by tensor key."""

Answered = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Inputs by name, the float model's outputs by name."""


def slices_of(model: Model, named: Iterable[NamedSlices] = ()) -> Slices:
    """Return the slices of a float model's outputs, those that the user named included.

    Raises:
        OptionError: a named slice does not fit the model.
    """
    ends = output_names(model)
    shapes = {name: t.shape for name, t in ends.items()}
    return with_named(find_slices(ends), named, shapes)


def by_name(model: Model, probes: Iterable[Probe]) -> list[Answered]:
    """Return probes with their outputs by name instead of by tensor key."""
    keys = model.main.keys()
    names = {keys[t]: name for name, t in output_names(model).items()}
    return [(x, {names[k]: v for k, v in y.items() if k in names}) for x, y in probes]


def answers_of(model: Model, samples: Sequence[Mapping[str, Array]]) -> list[Answered]:
    """Return samples with what a float model answers to them.

    Raises:
        RuntimeFailureError: LiteRT cannot run it. DataError: a sample does not fit.
    """
    signature = main_signature(model)
    key = None if signature is None else signature.key
    with temporary_file(model) as path, Session(path, threads=THREADS, signature=key, shared=True) as session:
        inputs = (adapt_inputs(Sample(dict(x), None), session.inputs) for x in samples)
        return list(zip(samples, session.run_many(inputs), strict=True))


def refuse_unanswered(model: Model, probes: Sequence[Probe]) -> None:
    """Check that the float model answers at least one number in each real output.

    Raises:
        ModelError: an output is NaN or infinite everywhere, in every sample.
    """
    for name in output_names(model):
        arrays = [y[name] for _, y in by_name(model, probes) if name in y and y[name].dtype.kind == "f"]
        if arrays and any(a.size for a in arrays) and not any(np.isfinite(a).any() for a in arrays):
            count = f"{len(arrays)} sample{'' if len(arrays) == 1 else 's'}"
            raise ModelError(
                f"The float model answers NaN or infinity everywhere in output '{name}', for all of {count}; "
                "no file made of it can be compared with it. Check the model's weights and the range of its "
                "inputs."
            )


def compare(
    model: Model, answers: Sequence[Mapping[str, Array]], probes: Sequence[Probe], slices: Slices
) -> list[OutputQuality]:
    """Return the quality of each output of a file that has answered probes.

    Args:
        model: the float model.
        answers: reals by tensor key of the float model, one a probe.
        probes: samples with the file's answers.
        slices: see ``slices_of``.
    """
    sums = SliceSums(slices)
    got = by_name(model, [({}, dict(answer)) for answer in answers])
    for (_, outputs), (_, wanted) in zip(got, by_name(model, probes), strict=False):
        sums.add(outputs, wanted)
    return qualities(sums)


def measure_file(
    file: str | Path | bytes, model: Model, answered: Sequence[Answered], slices: Slices | None = None
) -> list[OutputQuality]:
    """Return the quality of each output of a file on samples that the float model has answered.

    Args:
        file: path or bytes of the ``.tflite``.
        model: the float model.
        answered: samples with the answers of the float model.
        slices: see ``slices_of``; None finds them.

    Raises:
        RuntimeFailureError: LiteRT does not run the file.
        DataError, ModelError: it takes or gives other things.
    """
    sums = SliceSums(slices_of(model) if slices is None else slices)
    signature = main_signature(model)
    with Session(file, threads=THREADS, signature=None if signature is None else signature.key) as session:
        names = _names(session.outputs, model)
        inputs = (adapt_inputs(Sample(dict(x), None), session.inputs) for x, _ in answered)
        for outputs, (_, wanted) in zip(session.run_many(inputs), answered, strict=True):
            reals = join_values({s.name: _real(outputs[s.name], s) for s in session.outputs})
            sums.add({names[n]: v for n, v in reals.items() if n in names}, wanted)
    return qualities(sums)


def _names(specs: Sequence[TensorSpec], model: Model) -> dict[str, str]:
    ends = [TensorSpec(name, t.shape, t.dtype) for name, t in output_names(model).items()]
    try:
        return match_outputs(ends, specs)
    except ModelError:
        return {spec.name: spec.name for spec in specs}


def _real(values: Array, spec: TensorSpec) -> Array:
    if spec.scale is None or values.dtype.kind == "f":
        return values
    return dequantize(values, spec.scale, spec.zero_point or 0)
