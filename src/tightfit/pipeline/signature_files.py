"""A file with several entry points: each is built as a model of its own, then all are joined to one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.files import checked_write, refuse_input_as_output
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signature_models import entry_points, join_models, signature_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantization_result import QuantizationResult
from tightfit.pipeline.source import Source
from tightfit.pipeline.write import finish, provenance, write_recorded
from tightfit.quantization.checking import random_probes
from tightfit.quantization.plan import Plan
from tightfit.runtime.input_samples import random_sample
from tightfit.runtime.session import Session
from tightfit.scratch import scratch_folder

_SAMPLES: Final = 2
"""Random samples that each signature of a joined file is compared on."""

Make = Callable[[str, Source, Path], QuantizationResult]
"""Builds the file of one entry point: its key, its float model, the file to write."""


@dataclass(frozen=True)
class _Part:
    """One entry point: its float model, the file made of it, and the graphs of the whole model it runs."""

    key: str
    source: Source
    made: QuantizationResult
    origins: Sequence[int]


def has_entry_points(model: Model) -> bool:
    """Return whether signatures call several graphs, or another one than the main graph."""
    return len(entry_points(model)) > 1 or bool(model.signatures and min(entry_points(model).values()))


def build_by_signature(source: Source, make: Make, output: Path) -> QuantizationResult:
    """Build every entry point by itself, join the files, and check that each still answers the same.

    Args:
        source: a float model whose signatures call several graphs.
        make: builds one entry point.
        output: the file to write.

    Returns:
        The joined file; names of outputs and notes begin with the signature, ``snr_db`` is the least.

    Raises:
        RuntimeFailureError: a signature of the joined file answers differently from the file it was made of.
        TightfitError: see ``make``.
    """
    refuse_input_as_output(output, source.path)
    with scratch_folder() as folder:
        parts = []
        for i, key in enumerate(entry_points(source.model)):
            model, origins = signature_model(source.model, key)
            path = Path(folder) / f"float{i}.tflite"
            write_model(model, path)
            part = Source(path, model, list(source.notes), facts=None)
            parts.append(_Part(key, part, make(key, part, Path(folder) / f"part{i}.tflite"), origins))
        result = _joined_result(parts, output)
        model = join_models([(read_model(p.made.path), p.origins) for p in parts])
        finish(model)
        facts = provenance(source, result.plan, result.layout, result.notes)
        first = parts[0].source
        with checked_write(output) as trial:
            write_recorded(model, trial, first.model, random_probes(first.path, first.model), facts)
            for each in parts:
                _compare(trial, each)
        return result


def _joined_result(parts: Sequence[_Part], output: Path) -> QuantizationResult:
    """Return what the parts' files are together."""
    plans = [part.made.plan for part in parts]
    plan = Plan(plans[0].scheme, [g for p in plans for g in p.graphs], [n for p in plans for n in p.notes])
    layout: dict[str, int] = {}
    for part in parts:
        for name, count in part.made.layout.items():
            layout[name] = layout.get(name, 0) + count
    return QuantizationResult(
        output,
        plan,
        layout,
        min(part.made.snr_db for part in parts),
        [f"{part.key}: {note}" for part in parts for note in part.made.notes],
        [named(part.key, quality) for part in parts for quality in part.made.outputs],
        min(part.made.samples for part in parts),
    )


def named(key: str, quality: OutputQuality) -> OutputQuality:
    """Return the quality of an output under ``signature:output``, its slices included."""
    return replace(quality, name=f"{key}:{quality.name}")


def _compare(joined: Path, part: _Part) -> None:
    """Check that a signature of the joined file answers as the file that it was made of.

    Raises:
        RuntimeFailureError: an answer differs, or LiteRT does not run the signature.
    """
    with Session(joined, signature=part.key) as new, Session(part.made.path, signature=part.key) as old:
        for seed in range(_SAMPLES):
            sample = random_sample(old.inputs, seed)
            expected, answers = old.run(sample), new.run(sample)
            for name, values in expected.items():
                if not np.array_equal(values, answers[name], equal_nan=values.dtype.kind == "f"):
                    raise RuntimeFailureError(
                        f"The signature '{part.key}' answers '{name}' differently in the joined file; "
                        "quantize it alone."
                    )
