"""``tightfit finetune``: quantization-aware training, pruning and clustering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.api.finetune import finetune as run_finetune
from tightfit.api.parameters.finetune_options import FinetuneOptions
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.options.choices import (
    AUGMENTATIONS,
    LABELS,
    RANGES,
    SCHEDULES,
    STORAGES,
    TRAINED,
    Names,
)
from tightfit.cli.options.ray_options import training_cluster, training_cluster_options
from tightfit.cli.options.shared_options import (
    data_options,
    json_option,
    metric_option,
    provenance_option,
    seed_option,
    signature_option,
)
from tightfit.cli.options.weight_options import (
    centroid_options,
    interface_option,
    layout_option,
    sparsity_options,
)
from tightfit.cli.terminal.accuracy_view import metric_tables
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.quality_view import quality_lines
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.paths import check_paths
from tightfit.plain_values import json_text
from tightfit.report.page.training_page import write_training
from tightfit.units import format_bytes, format_percent

if TYPE_CHECKING:
    from tightfit.api.results.finetune_result import FinetuneResult


_WORTH_A_TABLE: Final = 0.1
"""Zeros in a file from which they are listed layer by layer; rounding to integers makes a few."""


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option(
    "--scheme",
    type=Names("scheme", TRAINED),
    help="Scheme to train for: int8, int16x8 or int8x4; without it the result is a float model.",
)
@interface_option
@sparsity_options("unstructured, N:M such as 2:4, or blocks such as 1x4, 4x1")
@click.option(
    "--schedule",
    type=Names("schedule", SCHEDULES),
    default="polynomial",
    show_default=True,
    help="Sparsity schedule: polynomial, constant or one-shot.",
)
@click.option("--clusters", type=int, help="Number of centroids for weight clustering, 2 to 256.")
@centroid_options
@click.option(
    "--ranges",
    type=Names("range update", RANGES),
    default="learned",
    show_default=True,
    help="Range updates during training: learned, average or fixed.",
)
@click.option("--epochs", default=5, show_default=True, type=int, help="Total epochs of all stages.")
@click.option(
    "--batch",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Samples in a training step; the default takes all where there are fewer.",
)
@click.option(
    "--learning-rate",
    type=float,
    help="Learning rate, relative to the size of each channel's weights; by default set automatically.",
)
@click.option(
    "--labels",
    type=Names("use of labels", LABELS),
    default="auto",
    show_default=True,
    help="Train on labels: yes, no (distillation from the float model), auto (yes if there are labels), or "
    "input (the model gives back its input).",
)
@click.option(
    "--loss",
    multiple=True,
    metavar="[OUTPUT=]LOSS",
    help="Loss of the labels: crossentropy, focal, binary_crossentropy, mse, mae, huber, log_cosh, ordinal, "
    "input, none or module:function; by default from the labels. May be repeated for several outputs.",
)
@click.option(
    "--loss-weight",
    "loss_weights",
    multiple=True,
    metavar="OUTPUT=NUMBER",
    help="Weight of the loss of an output, 1 by default; may be repeated.",
)
@click.option(
    "--class-weight",
    "class_weights",
    multiple=True,
    metavar="CLASS=NUMBER",
    help="Weight of the samples of a class, or 'balanced' for all classes; may be repeated.",
)
@click.option("--validation", metavar="DATA", help="Data that chooses the best epoch.")
@click.option(
    "--test",
    metavar="DATA",
    help="Data that measures the result; by default a quarter of --data is held out.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="TENSOR",
    help="Also match this intermediate tensor of the teacher; may be repeated.",
)
@click.option(
    "--augment",
    type=Names("augmentation", AUGMENTATIONS, more=True),
    multiple=True,
    help="Image augmentation: flip, shift, zoom, mix or module:function; may be repeated.",
)
@click.option(
    "--teacher",
    metavar="MODEL",
    multiple=True,
    help="Teacher of the distillation, such as the model before pruning; by default MODEL. May be repeated.",
)
@click.option(
    "--teacher-output",
    "teacher_outputs",
    metavar="OURS=THEIRS",
    multiple=True,
    help="Output of MODEL and output of the teachers that belong together; may be repeated.",
)
@click.option("--train", type=click.IntRange(1), help="Largest number of training samples; by default all.")
@layout_option
@click.option(
    "--storage",
    type=Names("storage", STORAGES),
    default="dense",
    show_default=True,
    help="Storage of zeros: dense, or sparse where that is smaller.",
)
@metric_option
@signature_option
@provenance_option
@seed_option
@training_cluster_options
@json_option
def finetune(model: Path, as_json: bool, **options: Any) -> int:
    """Train the float MODEL for quantization, sparsity or clustering, with labels or by distillation.

    The training curve is written beside the output, as .training.json and .training.html. A stopped
    training goes on when the same command runs again.
    """
    data, output, image = (options.pop(n) for n in ("data", "output", "image"))
    parsed = ImageOptions.parse(image) if image else None
    cluster = training_cluster(options)
    options["loss"] = options["loss"] or "auto"
    options["teacher"] = list(options["teacher"]) or None
    options["teacher_outputs"] = tuple(_pair(text) for text in options["teacher_outputs"])
    pages = {f"The file {s}": output.with_suffix(s) for s in (".training.json", ".training.html")}
    check_paths(
        {"model": model, "data": data}
        | {n: options[n] for n in ("validation", "test")}
        | {f"teacher {i}": each for i, each in enumerate(options["teacher"] or ())},
        {"The output": output, **pages},
    )
    with Bars(quiet=as_json) as bars:
        result = run_finetune(
            model, data, output, FinetuneOptions(**options), image=parsed, cluster=cluster,
            listener=ProgressAdapter(bars),
        )  # fmt: skip
    facts = result.facts() | {"options": options}
    write_training(facts, output)
    if as_json:
        click.echo(json_text(facts))
    else:
        console().print(as_text(result, Path(options["teacher"][0] if options["teacher"] else model)))
    return 1 if result.ruined else 0


def _pair(text: str) -> tuple[str, str]:
    """OURS=THEIRS as a pair."""
    ours, _, theirs = text.partition("=")
    if not ours or not theirs:
        raise OptionError(f"Received --teacher-output {text}; expected OURS=THEIRS, such as logits=dense_3.")
    return ours, theirs


class ProgressAdapter:
    """Draws a bar for each stage, with the loss in its title."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.name = ""

    def __call__(self, stage: str, done: int, total: int, metrics: dict[str, Any]) -> None:
        """Move the bar on."""
        if stage != self.name:
            self.name = stage
            self.bars.stage(stage, total)
        self.bars.advance(done, total)
        if "loss" in metrics:
            epoch = f"epoch {metrics['epoch']}/{metrics['epochs']}"
            self.bars.title(f"{stage}, {epoch}, loss {float(metrics['loss']):.4g}")


def as_text(result: FinetuneResult, model: Path) -> Group:
    """Return a result for a person: the float model beside the trained file."""
    names, results = [model.name, result.path.name], [result.original, result.accuracy]
    table = Table("model", "bytes", "zip", box=None, padding=(0, 2, 0, 0))
    for name, size in zip(names, (result.before, result.footprint), strict=True):
        table.add_row(Text(name), format_bytes(size.size_bytes), format_bytes(size.zip_bytes))
    lines = [
        f"weights: {format_percent(result.zeros)} zeros, at most {result.values:,} distinct values a tensor",
        f"trained on {result.backend}, {len(result.history)} epochs, loss {_losses(result.history)}; "
        f"measured on {result.accuracy.n} samples that it did not see",
        *quality_lines(result.accuracy.outputs),
    ]
    notes = [Text(f"note: {note}") for note in result.notes]
    layers = [_layers_table(result)] if result.zeros > _WORTH_A_TABLE else []
    return Group(*metric_tables(names, results), table, *layers, Text(), *map(Text, lines), *notes)


def _layers_table(result: FinetuneResult) -> Table:
    """The weights and zeros of each layer."""
    table = Table("layer", "op", "weights", "zeros", "", box=None, padding=(0, 2, 0, 0))
    for row in result.layers:
        weights, zeros = int(str(row["weights"])), int(str(row["zeros"]))
        share = format_percent(zeros / max(weights, 1))
        table.add_row(Text(str(row["name"])), str(row["op"]), f"{weights:,}", f"{zeros:,}", share)
    return table


def _losses(history: list[dict[str, Any]]) -> str:
    return " → ".join(f"{row['loss']:.4g}" for row in (history[0], history[-1])) if history else "-"
