"""``tightfit convert``: a model of any framework becomes a ``.tflite``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tightfit.api.convert import convert as run_convert
from tightfit.api.evaluate import evaluate
from tightfit.cli.options.choices import LAYOUTS, Names
from tightfit.cli.options.shared_options import (
    json_option,
    metric_option,
    parse_assignments,
    parse_held,
    parse_shapes,
)
from tightfit.cli.terminal.accuracy_view import value_lines
from tightfit.conversion.conversion_options import BACKENDS, RECURRENT, ConversionOptions
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.evaluation.accuracy import wanted_metrics
from tightfit.plain_values import json_text
from tightfit.units import format_bytes


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option(
    "--trust", is_flag=True, help="Allow code in the model file to run (Lambda layers, custom classes)."
)
@click.option(
    "--batch",
    metavar="NUMBER|dynamic",
    default="1",
    show_default=True,
    help="Batch size of the model, or 'dynamic'.",
)
@click.option(
    "--input-shape",
    multiple=True,
    metavar="[NAME=]SHAPE",
    help="Full shape of an input with its batch, such as 1,224,224,3; may be repeated.",
)
@click.option("--signature", metavar="KEY", help="Signature to convert, for a SavedModel with several.")
@click.option(
    "--backend",
    type=Names("Keras backend", BACKENDS),
    default="auto",
    show_default=True,
    help="Keras backend: auto, jax, tensorflow or torch.",
)
@click.option(
    "--recurrent",
    type=Names("form", RECURRENT),
    default="fused",
    show_default=True,
    help="An LSTM as one op (fused), or step by step for devices that refuse variables (unrolled).",
)
@click.option(
    "--channel-last", is_flag=True, help="Change image inputs of torch and ONNX models from NCHW to NHWC."
)
@click.option(
    "--hold",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Replace an ONNX input by a constant; may be repeated.",
)
@click.option(
    "--uint8", metavar="mean=M,std=S", help="Make image inputs uint8; the file computes (x - M) / S."
)
@click.option("--data", metavar="DATA", help="Samples to measure the converted file with; labels are used.")
@click.option(
    "--image", metavar="OPTIONS", help="How images become arrays, such as size=224,mean=127,std=128."
)
@metric_option
@click.option("--dequantize", is_flag=True, help="Write the float model that a quantized MODEL stands for.")
@click.option(
    "--layout",
    type=Names("layout", LAYOUTS),
    default="cpu",
    show_default=True,
    help="Arrangement of the file of a quantized MODEL: cpu, npu or micro.",
)
@json_option
def convert(model: Path, as_json: bool, **options: Any) -> int:
    """Convert MODEL to a .tflite and compare it with its source on random inputs.

    A float model becomes a float file, a quantized one an integer file with the same scales.

    MODEL: a .tflite, .keras, .h5, .onnx or .pt2 file, a SavedModel folder, or module:attribute.
    """
    output, dequantize, layout = (options.pop(name) for name in ("output", "dequantize", "layout"))
    data, image, metric = (options.pop(name) for name in ("data", "image", "metric"))
    wanted_metrics(metric)
    result = run_convert(
        str(model), output, ConversionOptions(**_chosen(options)), dequantize=dequantize, layout=layout
    )
    facts, words = result.as_json(), _words(result)
    if data:
        accuracy = _measured(result.path, data, image, metric)
        facts["accuracy"] = accuracy.to_dict()
        words += "".join(f"\n{line}" for line in value_lines(accuracy))
    click.echo(json_text(facts) if as_json else words)
    return 0


def _measured(path: Path, data: str, image: str | None, metric: str) -> Any:

    return evaluate([path], data, image=ImageOptions.parse(image) if image else None, metric=metric)[0]


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    uint8 = None
    if options["uint8"] is not None:
        numbers = parse_assignments(options["uint8"], ("mean", "std"))
        uint8 = numbers["mean"], numbers["std"]
    same = {name: options[name] for name in ("trust", "signature", "backend", "channel_last", "recurrent")}
    return same | {
        "batch": _batch(options["batch"]),
        "shapes": parse_shapes(options["input_shape"]),
        "held": parse_held(options["hold"]),
        "uint8": uint8,
    }


def _batch(text: str) -> int | None:

    if text == "dynamic":
        return None
    if not text.isdigit():
        raise OptionError(f"Received --batch {text}; expected a number of samples, or 'dynamic'.")
    return int(text)


def _words(result: Any) -> str:

    size = format_bytes(result.path.stat().st_size)
    lines = [f"{result.path}: {size}, {result.route}, {result.seconds:.1f} s"]
    lines += [str(d) for d in result.differences]
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])
