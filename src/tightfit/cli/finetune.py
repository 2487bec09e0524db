"""``tightfit finetune``: train for the integers, zeros and shared values of the file that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tightfit.cli.options import data_options, in_working_folder, json_option, seed_option
from tightfit.cli.quality import quality_lines
from tightfit.cli.terminal_progress import Bars
from tightfit.units import format_bytes, format_interval, format_percent, format_points

if TYPE_CHECKING:
    from tightfit.api.finetune import FinetuneResult
    from tightfit.evaluation.accuracy import Accuracy
    from tightfit.evaluation.footprint import Footprint


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option("--scheme", help="int8, int16x8 or int8x4; without it the file stays float.")
@click.option("--io", "interface", default="float32", show_default=True, help="Type of inputs and outputs.")
@click.option("--sparsity", type=float, help="Share of zeros, a fraction: 0.8 is 80 %.")
@click.option(
    "--pattern",
    default="unstructured",
    show_default=True,
    help="Of the zeros: unstructured, 2:4, or blocks as 1x4, 4x1.",
)
@click.option(
    "--scope", default="layer", show_default=True, help="layer: each has the sparsity; global: all together."
)
@click.option("--schedule", default="polynomial", show_default=True, help="Or constant, or one-shot.")
@click.option("--clusters", type=int, help="How many values the weights of a tensor share.")
@click.option("--per", default="tensor", show_default=True, help="Share values in a tensor or a channel.")
@click.option("--initial", default="kmeans++", show_default=True, help="Of the values; or linear, density.")
@click.option("--ranges", default="learned", show_default=True, help="Of integers; or average, or fixed.")
@click.option("--epochs", default=5, show_default=True, type=int, help="Of all stages together.")
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Samples a step.")
@click.option("--learning-rate", type=float, help="Share of a weight that a step moves; by default it fits.")
@click.option(
    "--labels", default="auto", show_default=True, help="auto, yes or no: without, the float model teaches."
)
@click.option("--feature", "features", multiple=True, metavar="TENSOR", help="The teacher shows this too.")
@click.option("--augment", multiple=True, metavar="NAME", help="Change images: flip, shift, zoom, mix.")
@click.option("--teacher", metavar="MODEL", help="The float model that MODEL was pruned from.")
@click.option("--train", type=click.IntRange(1), help="Train with so many samples at most.")
@click.option("--layout", default="cpu", show_default=True, help="cpu, npu or micro.")
@click.option(
    "--storage", default="dense", show_default=True, help="dense; sparse: zeros left out where that is less."
)
@seed_option
@json_option
@in_working_folder
def finetune(model: Path, as_json: bool, **options: Any) -> int:
    """Train MODEL (float) for a scheme, zeros or shared values, by labels or by its own float outputs.

    The training curve is written beside the output, as .training.json and .training.html. A stopped
    training goes on when the same command runs again.
    """
    from tightfit.api.finetune import FinetuneOptions  # noqa: PLC0415 - loaded when used
    from tightfit.api.finetune import finetune as run  # noqa: PLC0415 - loaded when used
    from tightfit.data.image_options import ImageOptions  # noqa: PLC0415 - loaded when used
    from tightfit.report.training_page import write_training  # noqa: PLC0415 - loaded when used

    data, output, image = (options.pop(n) for n in ("data", "output", "image"))
    parsed = ImageOptions.parse(image) if image else None
    with Bars(quiet=as_json) as bars:
        result = run(
            model, data, output, FinetuneOptions(**options), image=parsed, listener=ProgressAdapter(bars)
        )
    facts = result.facts() | {"options": options}
    write_training(facts, output)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(as_text(result, Path(options["teacher"] or model)))
    return 0


class ProgressAdapter:
    """Draws a bar for each stage, with the loss in its title."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.name = ""

    def __call__(self, stage: str, done: int, total: int, metrics: dict[str, Any]) -> None:
        """Moves the bar on."""
        if stage != self.name:
            self.name = stage
            self.bars.stage(stage, total)
        self.bars.advance(done, total)
        if "loss" in metrics:
            self.bars.title(f"{stage}, loss {float(metrics['loss']):.4g}")


def as_text(result: FinetuneResult, model: Path) -> Group:
    """Gives a result for a person: the float model beside the trained file."""
    table = Table(
        "model", result.accuracy.metric, "drop", "95 %", "agreement", "bytes", "zip", box=None,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    table.add_row(Text(model.name), *_cells(result.original, result.before, first=True))
    table.add_row(Text(result.path.name), *_cells(result.accuracy, result.footprint, first=False))
    lines = [
        f"weights: {format_percent(result.zeros)} zeros, at most {result.values:,} different values in one",
        f"trained on {result.backend}, {len(result.history)} epochs, loss {_losses(result.history)}; "
        f"measured on {result.accuracy.n} samples that it did not see",
        *quality_lines(result.accuracy.outputs),
    ]
    notes = [Text(f"note: {note}") for note in result.notes]
    return Group(table, Text(), *map(Text, lines), *notes)


def _cells(accuracy: Accuracy, size: Footprint, *, first: bool) -> list[str]:
    sizes = [format_bytes(size.size_bytes), format_bytes(size.zip_bytes)]
    if accuracy.failure:
        return [accuracy.failure, "", "", "", *sizes]
    value = format_percent(accuracy.value)
    if first or accuracy.drop is None or accuracy.drop_low is None or accuracy.drop_high is None:
        return [value, "-", "-", "-", *sizes]
    interval = format_interval(accuracy.drop_low, accuracy.drop_high)
    return [value, format_points(accuracy.drop), interval, format_percent(accuracy.agreement), *sizes]


def _losses(history: list[dict[str, Any]]) -> str:
    return " → ".join(f"{row['loss']:.4g}" for row in (history[0], history[-1])) if history else "-"
