"""The verb ``convert``: any model becomes a ``.tflite``, a quantized one with the scales it has."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.formats import is_spec, is_tflite
from tightfit.conversion.load_model import ConversionResult, load, temporary_place
from tightfit.files import atomic_file
from tightfit.graph.reader import read_model
from tightfit.paths import check_paths
from tightfit.pipeline.builder import BuildSpec
from tightfit.pipeline.own_scales import build_with_own_scales, loss, own_answers
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_float
from tightfit.provenance.record import grouped
from tightfit.quantization.from_integers.held import is_quantized


def convert(
    source: Any,
    output: str | Path,
    options: ConversionOptions | None = None,
    *,
    dequantize: bool = False,
    layout: str = "cpu",
) -> ConversionResult:
    """Return the ``.tflite`` of a model of any framework, compared with its source.

    A float model becomes a float file. A quantized one (a ``.tflite`` of integers, ONNX with QuantizeLinear
    or QLinear ops) becomes an integer file with the scales of the source; the notes name what LiteRT cannot
    hold so.

    Args:
        source: see ``load``.
        output: the file to write.
        options: see ``ConversionOptions``.
        dequantize: write the float model that the integers stand for instead.
        layout: ``cpu``, ``npu`` or ``micro``: how the integer file is arranged.

    Raises:
        ModelError: it cannot be converted.
        OptionError: an option is wrong, or a package is missing.
    """
    began, place = time.perf_counter(), Path(output)
    check_paths({"model": source}, {"The output": output})
    converted = _loaded(source, options)
    if not is_quantized(read_model(converted.path)):
        with atomic_file(place) as file:
            file.write(converted.path.read_bytes())
        return replace(converted, path=place)
    opened = open_source(converted.path)
    assert opened.start is not None  # noqa: S101 - the file is quantized
    opened.facts = {"converted": {"source": converted.source, "route": converted.route}}
    if dequantize:
        notes = _write_float(opened, place)
    else:
        written = build_with_own_scales(opened, BuildSpec(opened.start.plan.scheme, layout=layout), place)
        reasons = grouped([(p.kind, p.reason) for p in written.plan.refusals()])
        notes = [*written.notes, *(f"{line}" for line in reasons)]
    notes = [*converted.notes, *notes]
    return replace(converted, path=place, notes=notes, seconds=time.perf_counter() - began)


def _loaded(source: Any, options: ConversionOptions | None) -> ConversionResult:
    """What ``load`` makes of a source; an integer ``.tflite`` stays the file that it is."""
    is_file = isinstance(source, str | os.PathLike) and not is_spec(str(source)) and is_tflite(str(source))
    if is_file and is_quantized(read_model(Path(source))):
        return ConversionResult(Path(source), str(source), "an integer .tflite", [], 0.0)
    label = str(source) if isinstance(source, str | os.PathLike) else type(source).__name__
    return load(source, temporary_place(label), options)


def _write_float(opened: Source, output: Path) -> list[str]:
    """Writes the float graph, with how far its answers are from those of the integers."""
    assert opened.start is not None  # noqa: S101 - the caller saw a quantized source
    probes = own_answers(opened)
    check = write_float(opened.model, opened, output, probes=probes)
    said = loss(check.snr_db, len(probes))
    return [opened.start.summary(), "Written in float: the values that the integers stand for.", said]
