"""The verb ``convert``: any model becomes a ``.tflite``, a quantized one with the scales it has."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.conversion_result import ConversionResult
from tightfit.conversion.formats import is_spec, is_tflite
from tightfit.conversion.held_models import held_file, label_of, temporary_place
from tightfit.conversion.load_model import load
from tightfit.conversion.unread_options import refuse_unread
from tightfit.errors import OptionError, unknown_name
from tightfit.files import atomic_file
from tightfit.graph.reader import read_model
from tightfit.kinds import ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.own_scales import build_with_own_scales, loss, own_answers
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_float
from tightfit.provenance.record import grouped
from tightfit.quantization.from_integers.held import is_quantized
from tightfit.quantization.layouts import LAYOUTS
from tightfit.spoken import verb


@verb(source="model", shapes="input_shape", held="hold")
def convert(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    output: Pathlike | None = None,
    options: ConversionOptions | None = None,
    *,
    dequantize: bool = False,
    layout: str = "cpu",
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    batch: int | Literal["dynamic"] | None = 1,
    channel_last: bool = False,
    hold: Mapping[str, float] | None = None,
    signature: str | None = None,
    backend: str = "auto",
    recurrent: str = "fused",
    uint8: tuple[float, float] | None = None,
    trust: bool = False,
) -> ConversionResult:
    """Return the ``.tflite`` of a model of any framework, compared with its source.

    A float model becomes a float file. A quantized one (a ``.tflite`` of integers, ONNX with QuantizeLinear
    or QLinear ops) becomes an integer file with the scales of the source; the notes name what LiteRT cannot
    hold so.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        output: the file to write; None: one that lives as long as this process.
        options: the options below as one object, instead of them.
        dequantize: write the float model that the integers stand for instead.
        layout: ``cpu``, ``npu`` or ``micro``: how the integer file is arranged.
        input_shape: shape of the input with the batch, or input name → shape, where the model has none.
        batch: samples in a call; ``"dynamic"`` leaves it free.
        channel_last: image inputs of torch and ONNX models become NHWC.
        hold: input name → the number that an ONNX input always has.
        signature: of a SavedModel with several: only this one.
        backend: of Keras: ``jax``, ``tensorflow``, ``torch`` or ``auto``.
        recurrent: ``fused``: an LSTM is one op where the op computes the same; ``unrolled``: step by step.
        uint8: ``(mean, std)``: image inputs take bytes, and the file computes ``(x - mean) / std``.
        trust: run code that the file names or holds.

    Returns:
        the file, the format and framework of the source, and the largest difference of outputs.

    Raises:
        ModelError: it cannot be converted.
        OptionError: an option is wrong, or a package is missing.

    Example:
        ``tightfit.convert("model.onnx", "model.tflite")``
    """
    began, source = time.perf_counter(), model
    if layout not in LAYOUTS:
        raise OptionError(unknown_name("layout", layout, LAYOUTS))
    place = temporary_place(label_of(source)) if output is None else Path(output)
    check_paths({"model": source}, {"The output": output})
    chosen = options or ConversionOptions(
        trust=trust,
        batch=None if batch == "dynamic" else batch,
        shapes=_shapes(input_shape),
        signature=signature,
        backend=backend,
        recurrent=recurrent,
        channel_last=channel_last,
        held=hold or {},
        uint8=uint8,
    )
    refuse_unread(source, chosen)
    converted = _loaded(source, chosen)
    if not is_quantized(read_model(converted.path)):
        with atomic_file(place) as file:
            file.write(converted.path.read_bytes())
        unread = (
            [f"--layout {layout} arranges quantized models; this one is float."] if layout != "cpu" else []
        )
        return replace(converted, path=place, notes=[*converted.notes, *unread])
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


def _shapes(given: Sequence[int] | Mapping[str, Sequence[int]] | None) -> dict[str, tuple[int, ...]]:
    """Return input name → shape; the name of a shape alone is empty."""
    if isinstance(given, Mapping):
        return {name: tuple(shape) for name, shape in given.items()}
    return {} if given is None else {"": tuple(given)}


def _loaded(source: ModelLike, options: ConversionOptions) -> ConversionResult:
    """What ``load`` makes of a source; an integer ``.tflite`` stays the file that it is."""
    if isinstance(source, bytes | bytearray):
        source = held_file(bytes(source))
    if isinstance(source, str | os.PathLike) and not is_spec(str(source)) and is_tflite(str(source)):
        path = Path(source)
        if is_quantized(read_model(path)):
            if options.uint8 is not None:
                raise OptionError(
                    f"Received --uint8 for '{path.name}', which is quantized; it is for float models. "
                    "Leave it out."
                )
            return ConversionResult(path, str(source), "an integer .tflite", [], 0.0)
    return load(source, temporary_place(label_of(source)), options)


def _write_float(opened: Source, output: Path) -> list[str]:
    """Writes the float graph, with how far its answers are from those of the integers."""
    assert opened.start is not None  # noqa: S101 - the caller saw a quantized source
    probes = own_answers(opened)
    check = write_float(opened.model, opened, output, probes=probes)
    said = loss(check.snr_db, len(probes))
    return [opened.start.summary(), "Written in float: the values that the integers stand for.", said]
