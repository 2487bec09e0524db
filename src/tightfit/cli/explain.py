"""``tightfit explain``: error per op, its cause, and the measured gain of remedies."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tightfit.api.parameters.signature_data import model_of_signature
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.options import completions
from tightfit.cli.options.shared_options import (
    data_options,
    json_option,
    seed_option,
    signature_option,
)
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.quality_view import quality_lines
from tightfit.data.images.image_options import ImageOptions
from tightfit.diagnosis.explain.attribution import explain as run_explain
from tightfit.diagnosis.explain.explanation import ExplainRequest
from tightfit.files import atomic_file
from tightfit.paths import check_paths
from tightfit.plain_values import json_text
from tightfit.report.page.explanation_page import write_explanation
from tightfit.units import MINUS, format_percent

if TYPE_CHECKING:
    from tightfit.diagnosis.explain.explanation import Explanation, OpReport, Remedy

_OPS = 10
_LONGEST = 44


@click.command()
@click.argument("model", metavar="FLOAT", type=click.Path(path_type=Path))
@click.argument("quantized", type=click.Path(path_type=Path))
@data_options(required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the .tflite of the best remedy to this file.",
)
@click.option(
    "--overlay", type=click.Path(path_type=Path), help="Write node data for Model Explorer to this file."
)
@click.option(
    "--html", "page", type=click.Path(path_type=Path), help="Write the result as an HTML page to this file."
)
@click.option(
    "--calibration", default=100, show_default=True, type=click.IntRange(1), help="Calibration samples."
)
@click.option(
    "--evaluation", default=64, show_default=True, type=click.IntRange(1), help="Evaluation samples."
)
@click.option(
    "--metric",
    metavar="METRICS",
    shell_complete=completions.metrics,
    default="auto",
    show_default=True,
    help="Metric: top1, top5, agreement … or module:function.",
)
@click.option(
    "--remedies/--no-remedies",
    default=True,
    help="Measure remedies too, or only error and cause per op. On by default.",
)
@seed_option
@signature_option
@json_option
def explain(model: Path, quantized: Path, as_json: bool, overlay: Path | None, **options: Any) -> int:
    """Find the ops of QUANTIZED with the most error against FLOAT, its cause, and measure remedies."""
    page = options.pop("page")
    reading = typed(data=options["data"], image=options["image"])
    options["image"] = ImageOptions.parse(options["image"]) if options["image"] else None
    check_paths(
        {"float model": model, "quantized model": quantized, "data": options["data"]},
        {"The output": options["output"], "The overlay": overlay, "The page": page},
    )
    key = options.pop("signature")
    first, second = (model_of_signature(path, key) for path in (model, quantized))
    with Bars(quiet=as_json) as bars:
        found = run_explain(ExplainRequest(first, second, **options), stage=bars.stage, advance=bars.advance)
    if overlay is not None:
        with atomic_file(overlay) as file:
            file.write(found.overlay.encode())
    if page is not None:
        write_explanation(found, page)
    if as_json:
        click.echo(as_document(found))
    else:
        console().print(as_text(found, reading))
    return 0


def as_document(found: Explanation) -> str:
    """Return an explanation as JSON; its overlay is an object in it."""
    plain = asdict(found)
    plain["accuracy"].pop("scores")
    plain["accuracy"]["outputs"] = [output.to_dict() for output in found.accuracy.outputs]
    plain["overlay"] = json.loads(found.overlay)
    return json_text(plain)


def as_text(found: Explanation, reading: str) -> Group:
    """Return an explanation for a person."""
    accuracy = found.accuracy
    lines = [
        f"{found.file}: {found.scheme}, {found.metric} {_number(accuracy.value, 4)} (float "
        f"{_number(found.float_value, 4)}), agreement {_number(accuracy.agreement, 3)}, "
        f"{_number(accuracy.snr_db)} dB, on {accuracy.n} samples",
        *quality_lines(accuracy.outputs),
    ]
    parts: list[RenderableType] = [Text(line) for line in lines]
    if not found.ops:
        return Group(*parts, Text("No op adds an error."))
    parts += [Text(), _ops(found.ops[:_OPS]), Text(), *_reasons(found.ops)]
    if found.remedies:
        parts += [Text(), _remedies(found.remedies), *advice(found, reading)]
    return Group(*parts, *(Text(f"note: {note}") for note in found.notes))


def _ops(ops: list[OpReport]) -> Table:
    table = Table(
        "op", "", "outputs dB", "agreement", "op alone dB", "all before dB", box=None, padding=(0, 2, 0, 0)
    )
    for op in ops:
        numbers = (op.effect_db, op.effect_agreement, op.own_db, op.all_db)
        table.add_row(
            Text(short(op.name)), op.kind, *(_number(v, 3 if i == 1 else 1) for i, v in enumerate(numbers))
        )
    return table


def _reasons(ops: list[OpReport]) -> list[Text]:
    caused = [op for op in ops if op.causes]
    return [Text(f"{short(op.name)}: {'; '.join(c.words for c in op.causes)}.") for op in caused]


def _remedies(remedies: list[Remedy]) -> Table:
    table = Table(
        "remedy", "gain dB", "dB", "agreement", "drop", "on int8", "bytes", box=None, padding=(0, 2, 0, 0)
    )
    for remedy in remedies:
        title = Text(remedy.title.replace(remedy.op, short(remedy.op)) if remedy.op else remedy.title)
        if remedy.failure is not None:
            table.add_row(title, "-", remedy.failure)
            continue
        share = "-" if remedy.int8_share is None else format_percent(remedy.int8_share, 0)
        fidelity = (_number(remedy.gain_db), _number(remedy.snr_db), _number(remedy.agreement, 3))
        table.add_row(title, *fidelity, _number(remedy.drop, 4), share, f"{remedy.size_bytes or 0:,}")
    return table


def typed(**options: str | None) -> str:
    """Options as they are typed; those that were not given are left out."""
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in options.items() if value)


def advice(found: Explanation, reading: str) -> list[Text]:
    """Return how to apply the first remedy that the quantize command knows."""
    usable = next((r for r in found.remedies if r.helps and r.options), None)
    if usable is None:
        return []
    options = [reading, found.made_with, usable.options, "-o fixed.tflite"]
    words = [shlex.quote(found.model), found.scheme, *filter(None, options)]
    return [Text(), Text(f"To apply: tightfit quantize {' '.join(words)}")]


def short(name: str) -> str:
    """Return a name of at most 44 characters: that of a fused op begins with its first part.

    Example:
        >>> short("block/relu;block/add;block/convolution"), len(short("x" * 99))
        ('block/relu', 44)
    """
    first = name.partition(";")[0]
    return first if len(first) <= _LONGEST else f"…{first[1 - _LONGEST :]}"


def _number(value: float | None, digits: int = 1) -> str:
    """The number with a typographic minus; one that rounds to zero has no sign."""
    if value is None:
        return "-"
    text = f"{abs(value):.{digits}f}"
    return MINUS + text if value < 0 and float(text) else text
